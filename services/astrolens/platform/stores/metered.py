"""Stores that measure how long their calls take and which of them fail.

`open` and `close` are not measured: at its start a service waits for the engine itself.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Final

from astrolens.contracts.base import Contract
from astrolens.contracts.records import PendingEvent
from astrolens.platform.errors import TransientError
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import Expiry, ImageStore
from astrolens.platform.stores.records import Change, Clause, Document, Page, Query, RecordStore
from astrolens.platform.telemetry.metrics import StoreMetrics

RECORD_CALLS: Final = (
    "insert",
    "upsert",
    "apply",
    "get",
    "find",
    "count",
    "delete",
    "tally",
    "tallies",
    "count_documents",
    "near",
    "pending",
    "ping",
)
IMAGE_CALLS: Final = ("put", "put_many", "get", "get_many", "exists", "delete", "ping")


class _CallMetrics:
    """Times the calls of one store and counts those that found its engine unreachable.

    Every series is there from the start: an alert on errors must tell "none" from "not measured".
    """

    def __init__(self, store: str, calls: Sequence[str], metrics: StoreMetrics) -> None:
        self._seconds = {call: metrics.seconds.labels(store, call) for call in calls}
        self._errors = {call: metrics.errors.labels(store, call) for call in calls}

    @contextmanager
    def measure(self, call: str) -> Iterator[None]:
        start = perf_counter()
        try:
            yield
        except TransientError:
            self._errors[call].inc()
            raise
        finally:
            self._seconds[call].observe(perf_counter() - start)


class MeteredRecordStore:
    """A record store whose calls are measured."""

    def __init__(self, store: RecordStore, metrics: StoreMetrics) -> None:
        self._store = store
        self._calls = _CallMetrics("records", RECORD_CALLS, metrics)

    async def open(self) -> None:
        """See `RecordStore`."""
        await self._store.open()

    async def close(self) -> None:
        """See `RecordStore`."""
        await self._store.close()

    async def ping(self) -> None:
        """See `RecordStore`."""
        with self._calls.measure("ping"):
            await self._store.ping()

    async def insert(self, collection: Collection, documents: Sequence[Contract | Document]) -> set[str]:
        """See `RecordStore`."""
        with self._calls.measure("insert"):
            return await self._store.insert(collection, documents)

    async def upsert(self, collection: Collection, documents: Sequence[Contract | Document]) -> None:
        """See `RecordStore`."""
        with self._calls.measure("upsert"):
            await self._store.upsert(collection, documents)

    async def apply(self, collection: Collection, changes: Sequence[Change]) -> set[str]:
        """See `RecordStore`."""
        with self._calls.measure("apply"):
            return await self._store.apply(collection, changes)

    async def get(
        self, collection: Collection, ids: Sequence[str], *, fields: Sequence[str] = ()
    ) -> dict[str, Document]:
        """See `RecordStore`."""
        with self._calls.measure("get"):
            return await self._store.get(collection, ids, fields=fields)

    async def find(self, collection: Collection, query: Query) -> Page:
        """See `RecordStore`."""
        with self._calls.measure("find"):
            return await self._store.find(collection, query)

    async def count(
        self, collection: Collection, where: Sequence[Clause], *, limit: int, within_s: float
    ) -> int | None:
        """See `RecordStore`."""
        with self._calls.measure("count"):
            return await self._store.count(collection, where, limit=limit, within_s=within_s)

    async def delete(self, collection: Collection, ids: Sequence[str]) -> int:
        """See `RecordStore`."""
        with self._calls.measure("delete"):
            return await self._store.delete(collection, ids)

    async def tally(self, collection: Collection, name: str) -> dict[tuple[str, ...], int]:
        """See `RecordStore`."""
        with self._calls.measure("tally"):
            return await self._store.tally(collection, name)

    async def tallies(self, wanted: Sequence[tuple[Collection, str]]) -> list[dict[tuple[str, ...], int]]:
        """See `RecordStore`."""
        with self._calls.measure("tallies"):
            return await self._store.tallies(wanted)

    async def count_documents(self, collection: Collection, name: str) -> dict[tuple[str, ...], int]:
        """See `RecordStore`."""
        with self._calls.measure("count_documents"):
            return await self._store.count_documents(collection, name)

    async def near(
        self, collection: Collection, hashes: Sequence[str], *, radius: int, limit: int
    ) -> list[list[tuple[str, int]]]:
        """See `RecordStore`."""
        with self._calls.measure("near"):
            return await self._store.near(collection, hashes, radius=radius, limit=limit)

    async def pending(
        self, collection: Collection, *, limit: int, after: str | None = None
    ) -> list[tuple[str, list[PendingEvent]]]:
        """See `RecordStore`."""
        with self._calls.measure("pending"):
            return await self._store.pending(collection, limit=limit, after=after)


class MeteredImageStore:
    """An image store whose calls are measured."""

    def __init__(self, store: ImageStore, metrics: StoreMetrics) -> None:
        self._store = store
        self._calls = _CallMetrics("images", IMAGE_CALLS, metrics)

    @property
    def expiry(self) -> Expiry | None:
        """See `ImageStore`; its calls are rare and not measured."""
        return self._store.expiry

    async def open(self) -> None:
        """See `ImageStore`."""
        await self._store.open()

    async def close(self) -> None:
        """See `ImageStore`."""
        await self._store.close()

    async def ping(self) -> None:
        """See `ImageStore`."""
        with self._calls.measure("ping"):
            await self._store.ping()

    async def put(self, key: str, data: bytes, *, media_type: str) -> bool:
        """See `ImageStore`."""
        with self._calls.measure("put"):
            return await self._store.put(key, data, media_type=media_type)

    async def put_many(self, items: Sequence[tuple[str, bytes, str]]) -> None:
        """See `ImageStore`."""
        with self._calls.measure("put_many"):
            await self._store.put_many(items)

    async def get(self, key: str) -> bytes:
        """See `ImageStore`."""
        with self._calls.measure("get"):
            return await self._store.get(key)

    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """See `ImageStore`."""
        with self._calls.measure("get_many"):
            return await self._store.get_many(keys)

    async def exists(self, key: str) -> bool:
        """See `ImageStore`."""
        with self._calls.measure("exists"):
            return await self._store.exists(key)

    async def delete(self, keys: Sequence[str]) -> None:
        """See `ImageStore`."""
        with self._calls.measure("delete"):
            await self._store.delete(keys)

    async def link(self, key: str, *, media_type: str, expires_s: float, filename: str | None = None) -> str | None:
        """See `ImageStore`; it is computed here, without a call of the engine."""
        return await self._store.link(key, media_type=media_type, expires_s=expires_s, filename=filename)
