"""The archives of `make bench-growth`: filled once, kept, and given to the services of a run."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.open import record_store

from tests.bench import archive, mongodb_filling, sizes
from tests.bench.archive_filling import fill
from tests.bench.archive_server import ArchiveServer
from tests.bench.pipeline import engines_of, servers_of
from tests.engines.stack_control import Stack

_ROOM_BYTES = 8_000
"""An image with its receipt, its indexes and the write-ahead log takes no more."""

Report = Callable[[str], None]


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
        index_s: Longest wait for the similarity index after a start, seconds.
        stack: The variables of a running stack; None is the embedded default.
    """

    folder: Path
    scratch: Path
    model: archive.Model
    images: int
    rounds: int
    fill_s: float
    start_s: float
    index_s: float = 600.0
    stack: dict[str, str] | None = None

    @property
    def engine(self) -> str:
        """What the figures are of."""
        return "stack" if self.stack else "sqlite"


@dataclass
class Prepared:
    """An archive that services can be started on.

    Attributes:
        settings: Of the services.
        images: How many it holds.
        figures: What is known of it before anything starts.
        servers: Process ids of the stack's servers that it is measured with.
        stop: Ends what was started for it.
    """

    settings: dict[str, str]
    images: int
    figures: dict[str, Any] = field(default_factory=dict)
    servers: dict[str, int] = field(default_factory=dict)
    stop: Callable[[], None] = lambda: None


def sqlite_archive(plan: Plan, count: int, say: Report) -> Prepared:
    """Fill the cached archive where it is missing, and copy it into a home of this run's own."""
    home = plan.scratch / f"home-{count}"
    home.mkdir()
    settings = {"home": str(home), "records_url": f"sqlite:///{home / 'records.sqlite'}"}
    if not count:
        return Prepared(settings, 0)
    cached = plan.folder / f"sqlite-{count}-{plan.model.fingerprint()}"
    figures: dict[str, Any] = {}
    if not cached.exists():
        part = filling_folder(cached, count)
        part.mkdir(exist_ok=True)
        say(f"filling in {part}")
        figures["fill_per_s"] = _fill(plan, f"sqlite:///{part / 'records.sqlite'}", count, say)
        shutil.rmtree(whole := cached.with_suffix(".whole"), ignore_errors=True)
        shutil.move(part, whole)
        whole.rename(cached)
    told = sizes.of_sqlite(cached, cached / "records.sqlite")
    documents = asyncio.run(counts(f"sqlite:///{cached / 'records.sqlite'}"))
    figures |= {"store": told, "documents": documents, "bytes_a_record": sizes.a_record(told, documents)}
    say(f"{told['bytes'] / 2**20:,.0f} MiB of archive, copying")
    for path in cached.iterdir():
        subprocess.run(["cp", "-r", "--reflink=auto", str(path), str(home)], check=True, timeout=900)
    os.sync()  # a start that waits for the copy to reach the disk would be no start of this archive
    return Prepared(settings, documents[Collection.IMAGES], figures)


def filling_folder(cached: Path, count: int) -> Path:
    """Where an archive is filled: in memory where there is plenty, since a disk makes every commit wait.

    The name is the same in every run: a filling that was cut off goes on.
    """
    memory = Path("/dev/shm")
    wanted = _ROOM_BYTES * count
    if memory.is_dir() and min(shutil.disk_usage(memory).free, psutil.virtual_memory().available) > 2 * wanted:
        return memory / f"astrolens-bench-{cached.name}"
    return cached.with_suffix(".part")


def stack_archive(plan: Plan, count: int, say: Report) -> Prepared:
    """Fill the archive of this size where it is missing, and start its server; the empty one is new in every run."""
    assert plan.stack is not None
    Stack(plan.stack).purge()
    settings = engines_of(plan.stack)
    home = plan.scratch / f"home-stack-{count}"
    home.mkdir()
    settings["home"] = str(home)
    folder = plan.folder / f"mongodb-{count}-{plan.model.fingerprint()}" if count else plan.scratch / "mongodb-empty"
    server = ArchiveServer(folder, plan.stack)
    server.start()
    settings["records_url"] = server.url
    prepared = Prepared(settings, 0, servers=servers_of(plan.stack), stop=server.stop)
    try:
        assert server.process is not None
        prepared.servers["mongodb"] = server.process.pid
        if count:
            say(f"filling what is missing in {folder}")
            if rate := round(mongodb_filling.fill(server.url, plan.model, count, report=say, limit_s=plan.fill_s)):
                prepared.figures["fill_per_s"] = rate
            told = sizes.of_mongodb(server.url)
            documents = asyncio.run(counts(server.url))
            per_record = sizes.a_record(told, documents)
            prepared.figures |= {"store": told, "documents": documents, "bytes_a_record": per_record}
            prepared.images = documents[Collection.IMAGES]
    except BaseException:
        server.stop()
        raise
    return prepared


def _fill(plan: Plan, url: str, count: int, say: Report) -> float:
    async def filled() -> float:
        records = record_store(url)
        await records.open()
        try:
            return await fill(records, plan.model, count, report=say, limit_s=plan.fill_s)
        finally:
            await records.close()

    return round(asyncio.run(filled()))


async def counts(url: str) -> dict[str, int]:
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
