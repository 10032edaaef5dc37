"""`make bench-growth`: what a large archive costs. For each size: start-up, images/s, calls, memory, bytes a record.

An archive is filled once and kept in `--archive`; on SQLite each run works on a copy. On a running stack each archive
has a MongoDB-wire server of its own, beside the stack's Kafka and MinIO, and grows by what each run feeds. With
`--fill-only` what is missing is filled and nothing measured. A size that fails is told with its reason; others go on.
Nothing here passes or fails: targets are printed beside the figures. Figures of a busy machine mean nothing.
"""

import argparse
import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from astrolens.platform.settings import PACKAGED_BUNDLE, Settings
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.open import image_store, record_store
from astrolens.platform.stores.records import Document, Query
from astrolens.science.bundle import Bundle
from astrolens.usecases.image_queries import ORDERS, Sort

from tests.bench import archive, calls
from tests.bench.archive_filling import put_sample
from tests.bench.growth_archives import Plan, Prepared, Report, counts, sqlite_archive, stack_archive
from tests.bench.growth_report import report
from tests.bench.growth_system import feed_pictures, start, stop, wait_for_index
from tests.bench.memory import MemorySampler, rest
from tests.bench.pipeline import runs, variables
from tests.e2e.system import System

SIZES = (0, 100_000, 1_000_000)
_REST_S = 10.0
_CURSOR_PAGE = 2_000
_PROCESS = "supervisor and broker"


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
    parser.add_argument(
        "--index-limit", type=float, default=600.0, help="longest wait for the similarity index, seconds"
    )
    parser.add_argument("--json", type=Path, help="write the figures here (default: in the archive folder)")
    parser.add_argument("--fill-only", action="store_true", help="fill archives that are missing; measure nothing")
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
                index_s=options.index_limit,
                stack=stack,
            )
            for count in counts:
                figures["runs"].append(_size(plan, count, measure=not options.fill_only))
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


def _size(plan: Plan, count: int, *, measure: bool = True) -> dict[str, Any]:
    """The figures of one size, as many as were reached."""
    row: dict[str, Any] = {"engine": plan.engine, "archive": count}
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{plan.engine} {count:,}] {time.monotonic() - began:5.0f} s  {text}", flush=True)

    try:
        prepared = stack_archive(plan, count, say) if plan.stack else sqlite_archive(plan, count, say)
        row |= {"images_at_start": prepared.images, **prepared.figures}
        try:
            if measure:
                _measure(plan, count, prepared, row, say)
        finally:
            prepared.stop()
    except Exception as error:  # noqa: BLE001 - one size must not take the others' figures along
        row["failed"] = (str(error).splitlines() or [type(error).__name__])[0][:300]
        trace = plan.folder / f"failed-{plan.engine}-{count}.txt"
        trace.write_text(traceback.format_exc())
        say(f"FAILED: {row['failed']} (all of it: {trace})")
    row["seconds"] = round(time.monotonic() - began)
    return row


def _measure(plan: Plan, count: int, prepared: Prepared, row: dict[str, Any], say: Report) -> None:
    home = Path(prepared.settings.pop("home"))
    system = System(home, max_in_flight="2048", **prepared.settings)
    asyncio.run(_put_sample(system, count))

    def processes() -> dict[str, int]:
        if system.process is None or system.process.poll() is not None:
            return {}
        return {**system.pids(), _PROCESS: system.process.pid}

    try:
        with MemorySampler(processes, alone=frozenset({_PROCESS})) as sampler:
            say("first start: nothing but the records is there")
            row["first_start"] = start(system, plan.start_s)
            say(f"{row['first_start']['seconds']} s, {row['first_start']['cpu_s']['total']} s of processor time")
            row["similarity_index"] = wait_for_index(system, plan, prepared.images, say)
            row["memory_peak_start_mib"] = _rounded(sampler.peaks())
            row["first_stop_s"] = stop(system)
            say(f"stopped after {row['first_stop_s']} s; starting again")
            row["start"] = start(system, plan.start_s)
            row["start"]["similarity_index"] = wait_for_index(system, plan, prepared.images, say)
            row["memory_rest_mib"] = _rounded(rest(sampler, wait_s=_REST_S))
            say(f"{row['start']['seconds']} s, {row['memory_rest_mib']['total']} MiB at rest; feeding")
            sampler.reset()
            row["feeds"] = [feed_pictures(system, plan, f"{count}-{number}", say) for number in range(plan.rounds)]
            row["images_per_s"] = round(statistics.median(feed["images_per_s"] for feed in row["feeds"]), 1)
            row["cpu_ms"] = round(statistics.median(feed["cpu_ms"]["total"] for feed in row["feeds"]), 1)
            row["memory_peak_feed_mib"] = _rounded(sampler.peaks())
            say(f"{row['images_per_s']} images/s; calling")
            row["calls"] = {}
            documents, cursors = _documents(plan, count, system), asyncio.run(_deep_cursors(system))
            for name, figures in calls.measured(system.url, documents, cursors):
                row["calls"][name] = figures
            row["memory_peak_mib"] = _rounded(sampler.peaks())
            if prepared.servers:
                row["memory_servers_mib"] = _rounded(MemorySampler(lambda: prepared.servers).sample())
            row["stop_s"] = stop(system)
            row["documents_after"] = asyncio.run(counts(system.environment["ASTROLENS_RECORDS_URL"]))
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            if system.process is not None and system.process.poll() is None:
                system.kill_all()
        system.http.close()
        shutil.copytree(home / "logs", plan.folder / f"logs-{plan.engine}-{count}", dirs_exist_ok=True)
        shutil.rmtree(home, ignore_errors=True)


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
        await put_sample(images, count)
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
