"""`make bench-growth`: what a large archive costs. For each size: start-up, images/s, calls, memory, bytes a record.

An archive is filled once and kept in `--archive`; on SQLite each run works on a copy. On a running stack the database
stays with the stack and grows by what each run feeds. A size that fails is told with its reason; the others go on.
Nothing here passes or fails: targets are printed beside the figures. Figures of a busy machine mean nothing.
"""

import argparse
import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import psutil
from astrolens.platform.settings import PACKAGED_BUNDLE, Settings
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.open import image_store, record_store
from astrolens.platform.stores.records import Document, Query
from astrolens.science.bundle import Bundle
from astrolens.usecases.image_queries import ORDERS, Sort

from tests.bench import archive, calls, sizes
from tests.bench.arrivals import visit_folder
from tests.bench.growth_report import report
from tests.bench.main import describes
from tests.bench.memory import MemorySampler, rest
from tests.bench.pipeline import engines_of, feed, runs, servers_of, variables
from tests.e2e.system import System
from tests.engines.health import HEALTH, readiness, sentences
from tests.engines.stack_control import Stack

SIZES = (0, 100_000, 1_000_000)
_LOOK_EVERY_S = 0.1
_INDEX_S = 600.0
_FEED_S = 900.0
_STOP_S = 90.0
_REST_S = 10.0
_CURSOR_PAGE = 2_000
_ROOM_BYTES = 8_000
"""An image with its receipt, its indexes and the write-ahead log takes no more."""
_PROCESS = "supervisor and broker"

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured on one engine.

    Attributes:
        folder: Where filled archives are kept.
        scratch: Where copies and pictures of this run lie.
        model: Whose analyses the archive holds.
        images: Pictures of one feed.
        rounds: Feeds.
        fill_s: Longest filling of one archive, seconds.
        start_s: Longest start, seconds.
        stack: The variables of a running stack; None is the embedded default.
    """

    folder: Path
    scratch: Path
    model: archive.Model
    images: int
    rounds: int
    fill_s: float
    start_s: float
    stack: dict[str, str] | None = None

    @property
    def engine(self) -> str:
        """What the figures are of."""
        return "stack" if self.stack else "sqlite"


@dataclass
class Prepared:
    """An archive that services can be started on."""

    settings: dict[str, str]
    images: int
    figures: dict[str, Any] = field(default_factory=dict)


def main() -> None:
    """Measure every size on every engine; print progress, one table, and write JSON after each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archive", type=Path, required=True, help="folder that keeps filled archives")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="analysed images, such as 0,100000")
    parser.add_argument("--only", choices=("sqlite", "stack"), help="one engine instead of all that run")
    parser.add_argument("--stack", type=Path, help="stack.env of a running stack")
    parser.add_argument("--images", type=int, default=1_500, help="pictures of one feed")
    parser.add_argument("--rounds", type=int, default=3, help="feeds; the median counts")
    parser.add_argument("--fill-limit", type=float, default=3_600.0, help="longest filling of one archive, seconds")
    parser.add_argument("--start-limit", type=float, default=300.0, help="longest start, seconds")
    parser.add_argument("--json", type=Path, help="write the figures here (default: in the archive folder)")
    options = parser.parse_args()
    counts = [int(text) for text in options.sizes.split(",")]
    options.archive.mkdir(parents=True, exist_ok=True)
    lock = (options.archive / "lock").open("w")  # held until this process ends
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise SystemExit(f"another run uses {options.archive}: wait for its end, or take another --archive") from None
    target = options.json or options.archive / "bench-growth.json"
    model = archive.Model.of(Bundle.load(PACKAGED_BUNDLE))
    figures: dict[str, Any] = {"cores": len(os.sched_getaffinity(0)), "runs": []}
    # On the archive's own disk, so that a copy may share its blocks.
    with tempfile.TemporaryDirectory(prefix="scratch-", dir=options.archive) as scratch:
        for stack in _engines(options.only, options.stack):
            plan = Plan(
                folder=options.archive,
                scratch=Path(scratch),
                model=model,
                images=options.images,
                rounds=options.rounds,
                fill_s=options.fill_limit,
                start_s=options.start_limit,
                stack=stack,
            )
            for count in counts:
                figures["runs"].append(_size(plan, count))
                target.write_text(json.dumps(figures, indent=2) + "\n")
    report(figures)
    print(f"figures: {target}")


def _engines(only: str | None, stack: Path | None) -> Iterator[dict[str, str] | None]:
    if only != "stack":
        yield None
    if only != "sqlite":
        if stack is not None and runs(stack):
            yield variables(stack)
        else:
            print("no stack runs: its figures are left out (`make stack`)", flush=True)


def _size(plan: Plan, count: int) -> dict[str, Any]:
    """The figures of one size, as many as were reached."""
    row: dict[str, Any] = {"engine": plan.engine, "archive": count}
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{plan.engine} {count:,}] {time.monotonic() - began:5.0f} s  {text}", flush=True)

    try:
        prepared = _stack_archive(plan, count, say) if plan.stack else _sqlite_archive(plan, count, say)
        row |= {"images_at_start": prepared.images, **prepared.figures}
        _measure(plan, count, prepared, row, say)
    except Exception as error:  # noqa: BLE001 - one size must not take the others' figures along
        row["failed"] = (str(error).splitlines() or [type(error).__name__])[0][:300]
        trace = plan.folder / f"failed-{plan.engine}-{count}.txt"
        trace.write_text(traceback.format_exc())
        say(f"FAILED: {row['failed']} (all of it: {trace})")
    row["seconds"] = round(time.monotonic() - began)
    return row


def _sqlite_archive(plan: Plan, count: int, say: Say) -> Prepared:
    """Fill the cached archive where it is missing, and copy it into a home of this run's own."""
    home = plan.scratch / f"home-{count}"
    home.mkdir()
    settings = {"home": str(home), "records_url": f"sqlite:///{home / 'records.sqlite'}"}
    if not count:
        return Prepared(settings, 0)
    cached = plan.folder / f"sqlite-{count}-{plan.model.fingerprint()}"
    figures: dict[str, Any] = {}
    if not cached.exists():
        part = _filling_folder(cached, count)
        part.mkdir(exist_ok=True)
        say(f"filling in {part}")
        figures["fill_per_s"] = _fill(plan, f"sqlite:///{part / 'records.sqlite'}", count, say)
        shutil.rmtree(whole := cached.with_suffix(".whole"), ignore_errors=True)
        shutil.move(part, whole)
        whole.rename(cached)
    told = sizes.of_sqlite(cached, cached / "records.sqlite")
    documents = asyncio.run(_counts(f"sqlite:///{cached / 'records.sqlite'}"))
    figures |= {"store": told, "documents": documents, "bytes_a_record": sizes.a_record(told, documents)}
    say(f"{told['bytes'] / 2**20:,.0f} MiB of archive, copying")
    for path in cached.iterdir():
        subprocess.run(["cp", "-r", "--reflink=auto", str(path), str(home)], check=True, timeout=900)
    os.sync()  # a start that waits for the copy to reach the disk would be no start of this archive
    return Prepared(settings, documents[Collection.IMAGES], figures)


def _filling_folder(cached: Path, count: int) -> Path:
    """Where an archive is filled: in memory where there is plenty, since a disk makes every commit wait.

    The name is the same in every run: a filling that was cut off goes on.
    """
    memory = Path("/dev/shm")
    wanted = _ROOM_BYTES * count
    if memory.is_dir() and min(shutil.disk_usage(memory).free, psutil.virtual_memory().available) > 2 * wanted:
        return memory / f"astrolens-bench-{cached.name}"
    return cached.with_suffix(".part")


def _stack_archive(plan: Plan, count: int, say: Say) -> Prepared:
    """Fill the stack's database of this size where it is missing; the empty one is new in every run."""
    assert plan.stack is not None
    Stack(plan.stack).purge()
    settings = engines_of(plan.stack)
    home = plan.scratch / f"home-stack-{count}"
    home.mkdir()
    settings["home"] = str(home)
    if not count:
        return Prepared(settings, 0)
    name = f"growth-{count}-{plan.model.fingerprint()}"
    settings["records_url"] = urlunsplit(urlsplit(settings["records_url"])._replace(path=f"/{name}"))
    figures: dict[str, Any] = {}
    say("filling, where anything is missing")
    rate = _fill(plan, settings["records_url"], count, say)
    if rate:
        figures["fill_per_s"] = rate
    told = sizes.of_mongodb(settings["records_url"])
    documents = asyncio.run(_counts(settings["records_url"]))
    figures |= {"store": told, "documents": documents, "bytes_a_record": sizes.a_record(told, documents)}
    return Prepared(settings, documents[Collection.IMAGES], figures)


def _fill(plan: Plan, url: str, count: int, say: Say) -> float:
    async def filled() -> float:
        records = record_store(url)
        await records.open()
        try:
            return await archive.fill(records, plan.model, count, report=say, limit_s=plan.fill_s)
        finally:
            await records.close()

    return round(asyncio.run(filled()))


async def _counts(url: str) -> dict[str, int]:
    records = record_store(url)
    await records.open()
    try:
        tallies = await records.tallies(
            [(Collection.IMAGES, "state"), (Collection.RECEIPTS, "outcome"), (Collection.ALERTS, "kind")]
        )
        found = {name.value: sum(tally.values()) for name, tally in zip(sizes.COUNTED, tallies, strict=True)}
        updates = sum(n for (kind, *_), n in tallies[2].items() if kind == "update")
        return {**found, "alert_updates": updates}
    finally:
        await records.close()


def _measure(plan: Plan, count: int, prepared: Prepared, row: dict[str, Any], say: Say) -> None:
    home = Path(prepared.settings.pop("home"))
    system = System(home, max_in_flight="2048", **prepared.settings)
    asyncio.run(_put_sample(system, count))
    servers = servers_of(plan.stack) if plan.stack else {}

    def processes() -> dict[str, int]:
        if system.process is None or system.process.poll() is not None:
            return {}
        return {**system.pids(), _PROCESS: system.process.pid}

    try:
        with MemorySampler(processes, alone=frozenset({_PROCESS})) as sampler:
            say("first start: nothing but the records is there")
            row["first_start"] = start(system, plan.start_s)
            row["similarity_index"] = _wait_for_index(system, prepared.images)
            row["memory_peak_start_mib"] = _rounded(sampler.peaks())
            row["first_stop_s"] = _stop(system)
            say(f"{row['first_start']['seconds']} s; starting again")
            row["start"] = start(system, plan.start_s)
            row["start"]["similarity_index"] = _wait_for_index(system, prepared.images)
            row["memory_rest_mib"] = _rounded(rest(sampler, wait_s=_REST_S))
            say(f"{row['start']['seconds']} s, {row['memory_rest_mib']['total']} MiB at rest; feeding")
            sampler.reset()
            row["feeds"] = [_feed(system, plan, f"{count}-{number}", say) for number in range(plan.rounds)]
            row["images_per_s"] = round(statistics.median(row["feeds"]), 1)
            row["memory_peak_feed_mib"] = _rounded(sampler.peaks())
            say(f"{row['images_per_s']} images/s; calling")
            row["calls"] = {}
            documents, cursors = _documents(plan, count, system), asyncio.run(_deep_cursors(system))
            for name, figures in calls.measured(system.url, documents, cursors):
                row["calls"][name] = figures
            row["memory_peak_mib"] = _rounded(sampler.peaks())
            if servers:
                row["memory_servers_mib"] = _rounded(MemorySampler(lambda: servers).sample())
            row["stop_s"] = _stop(system)
            row["documents_after"] = asyncio.run(_counts(system.environment["ASTROLENS_RECORDS_URL"]))
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            if system.process is not None and system.process.poll() is None:
                system.kill_all()
        system.http.close()
        shutil.copytree(home / "logs", plan.folder / f"logs-{plan.engine}-{count}", dirs_exist_ok=True)
        shutil.rmtree(home, ignore_errors=True)


def start(system: System, limit_s: float) -> dict[str, Any]:
    """Start everything; seconds until the console, each service's `/readyz` and the model server have answered well.

    Raises:
        AssertionError: It ended, or something did not become ready in time.
    """
    log_path = system.home.parent / f"{system.home.name}-up.log"
    waiting: dict[str, Callable[[], bool]] = {
        "console /api/health": lambda: _ok(f"{system.url}/api/health"),
        "model server RPC": lambda: describes(f"127.0.0.1:{system.port + 1}") is not None,
        **{
            name: lambda offset=offset: _ok(f"http://127.0.0.1:{system.port + offset}/readyz")  # type: ignore[misc]
            for name, offset in HEALTH.items()
        },
    }
    ready: dict[str, float] = {}
    began = time.monotonic()
    with log_path.open("a") as log:
        system.process = subprocess.Popen(
            [sys.executable, "-m", "astrolens.cli", "up"],
            env=system.environment,
            text=True,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    while waiting:
        for name in [name for name, answers in waiting.items() if answers()]:
            ready[name] = round(time.monotonic() - began, 1)
            del waiting[name]
        code = system.process.poll()
        took = time.monotonic() - began
        assert code is None, f"`astrolens up` ended with {code} after {took:.0f} s\n{system.logs()}"
        assert took < limit_s, f"not ready within {limit_s:.0f} s: {_unready(system, waiting)}\n{system.logs()}"
        time.sleep(_LOOK_EVERY_S)
    return {"seconds": max(ready.values()), "ready_s": ready}


def _unready(system: System, waiting: Iterable[str]) -> str:
    """Who is not ready, and what each says."""
    try:
        told = readiness(system)
    except httpx.HTTPError as error:
        return f"{', '.join(waiting)} ({error})"
    return "; ".join(f"{name}: {sentences(told, name) if told.get(name) else 'does not answer'}" for name in waiting)


def _ok(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


def _wait_for_index(system: System, wanted: int) -> dict[str, Any]:
    """Wait until the similarity index holds the archive; how many images it holds and how long it took since now."""
    began = time.monotonic()
    held = 0
    while time.monotonic() - began < _INDEX_S:
        told = describes(f"127.0.0.1:{system.port + 1}")
        held = told.indexed_images if told else held
        if told and held >= wanted:
            break
        time.sleep(0.5)
    return {"images": held, "complete": held >= wanted, "after_s": round(time.monotonic() - began, 1)}


def _stop(system: System) -> float:
    """Stop as Ctrl-C does; seconds."""
    assert system.process is not None
    began = time.monotonic()
    system.process.send_signal(signal.SIGINT)
    code = system.process.wait(_STOP_S)
    assert code == 0, f"`astrolens up` ended with {code}\n{system.logs()}"
    return round(time.monotonic() - began, 1)


def _feed(system: System, plan: Plan, name: str, say: Say) -> float:
    """Feed new pictures until nothing is in flight; images a second."""
    pictures = visit_folder(plan.scratch / f"{plan.engine}-{name}-{uuid.uuid4().hex[:8]}", plan.images)
    try:
        before = system.status()
        began = time.perf_counter()
        feed(system, pictures)
        after = system.wait_settled(before["received"] + plan.images, timeout_s=_FEED_S)
        rate = plan.images / (time.perf_counter() - began)
    finally:
        shutil.rmtree(pictures)
    settled = {name: after[name] - before[name] for name in ("analyzed", "rejected", "duplicates", "dead_lettered")}
    assert settled["analyzed"] > 0.98 * plan.images, f"of {plan.images} pictures: {settled}"
    say(f"{rate:.0f} images/s")
    return round(rate, 1)


def _documents(plan: Plan, count: int, system: System) -> list[Document]:
    """Images to ask for: spread over the archive, or what was fed where there is none."""
    if count:
        indices = [number * (count - 1) // calls.CALLS for number in range(calls.CALLS)]
        return [
            archive.block(plan.model, index // archive.BLOCK).images[index % archive.BLOCK] for index in sorted(indices)
        ]
    page = system.http.get("/api/images", params={"limit": 200}).raise_for_status().json()["items"]
    return [system.http.get(f"/api/images/{item['image_id']}").raise_for_status().json() for item in page[::10]]


async def _deep_cursors(system: System) -> list[str]:
    """Cursors of pages in the second half of the gallery: from the store, since only it knows what one holds."""
    records = record_store(system.environment["ASTROLENS_RECORDS_URL"])
    await records.open()
    cursors: list[str] = []
    try:
        tally = await records.tally(Collection.IMAGES, "state")
        query = Query(order=ORDERS[Sort.NEWEST], limit=_CURSOR_PAGE, fields=("ingested_at",))
        seen = 0
        while len(cursors) < calls.CALLS:
            page = await records.find(Collection.IMAGES, query)
            seen += len(page.documents)
            if page.next is None:
                break
            if 2 * seen >= sum(tally.values()):
                cursors.append(page.next)
            query = replace(query, after=page.next)
    finally:
        await records.close()
    return cursors


async def _put_sample(system: System, count: int) -> None:
    settings = Settings(_env_file=None, **_fields(system.environment))  # type: ignore[call-arg]
    images = image_store(settings.images_url, settings.s3_options)
    await images.open()
    try:
        await archive.put_sample(images, count)
    finally:
        await images.close()


def _fields(environment: dict[str, str]) -> dict[str, Any]:
    prefix = "ASTROLENS_"
    wanted = ("HOME", "IMAGES_URL", "S3_ACCESS_KEY", "S3_SECRET_KEY")
    return {name.lower(): environment[prefix + name] for name in wanted if prefix + name in environment}


def _rounded(mib: dict[str, float]) -> dict[str, int]:
    return {name: round(value) for name, value in mib.items()}


if __name__ == "__main__":
    main()
