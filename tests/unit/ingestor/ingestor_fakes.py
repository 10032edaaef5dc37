"""Doubles of what surrounds the ingestor: a decoder without pictures, a bus without a broker, stores that fail."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from astrolens.contracts import ids
from astrolens.contracts.records import Observation, PendingEvent, Receipt
from astrolens.ingestor.arrivals import Arrival
from astrolens.ingestor.downloader import Downloader
from astrolens.ingestor.near_duplicates import NearDuplicateLinker
from astrolens.ingestor.observer import Observer
from astrolens.ingestor.ports import DecoderStalled, Fetched
from astrolens.ingestor.service import IngestService
from astrolens.platform.errors import PermanentError, StoreUnavailable
from astrolens.platform.retry import RetryPolicy
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.folder.store import FolderImageStore
from astrolens.platform.stores.records import Change, Query
from astrolens.platform.stores.sqlite.store import SqliteRecordStore
from astrolens.science.cutouts import Cutout
from astrolens.science.rejection import ImageRejected

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """A clock that moves by a millisecond whenever it is read."""

    def __init__(self) -> None:
        self.now = EPOCH

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


class FakeDecoder:
    """Rejects what begins with `bad:`, breaks at `break:`, stalls at `stall:`; else the hash is told by the bytes."""

    def __init__(self) -> None:
        self.decoded = 0
        self.error: Exception | None = None

    async def decode(self, data: bytes) -> Cutout:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.decoded += 1
        if data.startswith(b"bad:"):
            raise ImageRejected(data.decode().removeprefix("bad:"), "It is not usable.")
        if data.startswith(b"break:"):
            raise RuntimeError("a fault of ours")
        if data.startswith(b"stall:"):
            raise DecoderStalled("3 decoders stood still")
        if data.startswith(b"permanent:"):
            raise PermanentError("cursed", "It always fails.")
        digest = hashlib.sha256(data).hexdigest()
        phash = data.decode().split(":")[1] if data.startswith(b"hash:") else digest[:16]
        return Cutout(
            jpeg=b"cutout of " + data,
            width=64,
            height=64,
            scale=1.0,
            stretch="none",
            phash=phash,
            media_type="image/png",
            original_width=64,
            original_height=64,
        )


class FakeOutbox:
    """Publishes into a list, then clears what it published."""

    def __init__(self, records: Any) -> None:
        self.records = records
        self.published: list[PendingEvent] = []

    async def release(self, collection: Collection, documents: Sequence[tuple[str, Sequence[PendingEvent]]]) -> None:
        for _, events in documents:
            self.published.extend(events)
        await self.records.apply(
            collection,
            [Change(id=name, pull_pending=[event.event_id for event in events]) for name, events in documents],
        )

    async def relay(self) -> None:
        await self.release(Collection.IMAGES, await self.records.pending(Collection.IMAGES, limit=1000))


@dataclass
class FakeFetcher:
    """Answers from a table; a list of answers is used up one by one."""

    replies: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def get(self, url: str) -> Fetched:
        self.asked.append(url)
        await asyncio.sleep(0)
        reply = self.replies[url]
        if isinstance(reply, list):
            reply = reply.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return Fetched(data=reply, media_type="image/jpeg", url=url)


class Failing:
    """A store whose n-th write fails: before it does anything, or after it has done it."""

    WRITES = frozenset({"insert", "upsert", "apply", "put", "put_many", "release"})

    def __init__(self, inner: Any, fuse: "Fuse") -> None:
        self._inner = inner
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._inner, name)
        if name not in self.WRITES:
            return verb

        async def call(*args: Any, **kwargs: Any) -> Any:
            if self._fuse.blows("before"):
                raise StoreUnavailable(f"{name} failed before it did anything")
            result = await verb(*args, **kwargs)
            if self._fuse.blows("after"):
                raise StoreUnavailable(f"{name} was done, and then the connection broke")
            return result

        return call


@dataclass
class Fuse:
    """Blows once, at the n-th write, before or after it."""

    at: int | None = None
    moment: str = "before"
    writes: int = 0

    def blows(self, moment: str) -> bool:
        if moment == "before":
            self.writes += 1
        return self.writes == self.at and moment == self.moment


@dataclass
class Ingest:
    """The service with all its surroundings."""

    records: Any
    images: Any
    decoder: FakeDecoder
    outbox: FakeOutbox
    fetcher: FakeFetcher
    service: IngestService

    async def outcomes(self) -> dict[str, int]:
        return {
            key[0]: count for key, count in (await self.records.tally(Collection.RECEIPTS, "outcome")).items() if count
        }

    async def all(self, collection: Collection) -> list[dict[str, Any]]:
        return (await self.records.find(collection, Query(limit=1000))).documents

    async def receipt(self, name: str) -> dict[str, Any]:
        return (await self.records.get(Collection.RECEIPTS, [name]))[name]


@asynccontextmanager
async def ingest_at(
    home: Path,
    *,
    fuse: Fuse | None = None,
    radius: int = 6,
    wrap: Callable[[Any], Any] | None = None,
    observer: Observer | None = None,
) -> Any:
    """A service on real embedded stores; a second one on the same home is a restart, or another ingestor beside it."""
    records: Any = SqliteRecordStore(home / "records.sqlite")
    images: Any = FolderImageStore(home / "images")
    await records.open()
    await images.open()
    outbox: Any = FakeOutbox(records)
    watched = (
        (records, images, outbox) if fuse is None else tuple(Failing(one, fuse) for one in (records, images, outbox))
    )
    decoder, fetcher = FakeDecoder(), FakeFetcher()
    service = IngestService(
        records=watched[0],
        images=watched[1],
        decoder=decoder if wrap is None else wrap(decoder),
        outbox=watched[2],
        downloader=Downloader(fetcher, retry_policy=RetryPolicy(initial_wait_s=0.0, max_attempts=3), deadline_s=5.0),
        near_duplicates=NearDuplicateLinker(watched[0], radius=radius),
        observer=observer,
        clock=Clock(),
    )
    try:
        yield Ingest(records, images, decoder, outbox, fetcher, service)
    finally:
        await images.close()
        await records.close()


def arrival(data: bytes, ref: str, *, source: str = "test", batch: str = "b", after_ms: int = 0) -> Arrival:
    """An arrival with its bytes in hand."""
    receipt = Receipt(
        receipt_id=ids.receipt_id(source, batch, ref),
        source=source,
        batch=batch,
        ref=ref,
        observation=Observation(survey="test-sky", name=ref),
        received_at=EPOCH + timedelta(milliseconds=after_ms),
        sha256=ids.content_digest(data),
        size_bytes=len(data),
    )
    return Arrival(receipt, data)


def by_url(url: str) -> Arrival:
    """An arrival that is only a URL."""
    return Arrival(
        Receipt(
            receipt_id=ids.receipt_id("rest", "b", url),
            source="rest",
            batch="b",
            ref=url,
            observation=Observation(),
            received_at=EPOCH,
        )
    )
