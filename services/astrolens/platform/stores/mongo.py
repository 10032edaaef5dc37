"""The record store on MongoDB 7 or 8 (a replica set, or a sharded cluster).

Every change is one atomic update of one document, whose guard is part of its filter. A bulk of changes runs in one
transaction together with the tallies it changes; what no tally counts and needs no bulk is one retryable write. A write
is acknowledged when a majority has it in its journal.
"""

import asyncio
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from time import monotonic
from typing import Any, TypeVar

import pymongo
from pymongo import AsyncMongoClient, ReplaceOne, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import ConfigurationError as MongoConfigurationError
from pymongo.errors import InvalidURI, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from astrolens.contracts.base import Contract
from astrolens.contracts.records import PendingEvent
from astrolens.platform.errors import ConfigurationError, StoreUnavailable
from astrolens.platform.retry import Patience
from astrolens.platform.stores.collections import DECLARATIONS, Collection
from astrolens.platform.stores.documents import get_path
from astrolens.platform.stores.mongo_change import touches, update_of
from astrolens.platform.stores.mongo_codec import BEFORE, CHANGE, PENDING_SINCE, from_mongo, now, path_of, to_mongo
from astrolens.platform.stores.mongo_errors import address_of, met_another_writer, understood, understood_at_start
from astrolens.platform.stores.mongo_schema import Database, prepare, recount, uncounted
from astrolens.platform.stores.mongo_tallies import (
    TALLIES,
    Delta,
    Lanes,
    count,
    count_values,
    counted_fields,
    increments,
    summed,
)
from astrolens.platform.stores.mongo_where import declared_path, guard_filter, joined, present, query_filter
from astrolens.platform.stores.records import Change, Document, Page, Query, decode_cursor, encode_cursor, to_document

T = TypeVar("T")
Attempt = Callable[[AsyncClientSession | None, int], Awaitable[T]]
"""One attempt of a write, in a session (None: no transaction) and a lane; it may run more than once."""

DATABASE = "astrolens"
"""The database where the URL names none."""

_SELECTION_MS = 5_000
"""Longest search for a primary: an election takes a second or two, a server that is gone never comes."""
_OPERATION_MS = 15_000
"""Longest wait for one call with all its retries; callers try again with more patience."""
_RECOUNT_S = 60.0
"""MongoDB ends a transaction after a minute by itself."""
_BULK = 500
"""Documents a transaction: keeps it far below every limit of size and time."""

_ABORT_S = 2.0
_CONFLICT_PATIENCE = Patience(first_s=0.005, longest_s=0.5)
"""Between attempts of a transaction that met another one."""

_DURABLE = WriteConcern(w="majority", j=True)


class MongoRecordStore:
    """`RecordStore` on MongoDB."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lanes = Lanes()
        self._client: AsyncMongoClient[Document] | None = None
        self._opened: Database | None = None
        self._address = address_of(url)

    async def open(self) -> None:
        """Connect; create what is missing.

        Raises:
            ConfigurationError: The URL is wrong, the password is refused, the server is no replica set, or an index
                cannot be built.
            StoreUnavailable: No primary answers.
        """
        try:
            self._client = AsyncMongoClient(
                self._url,
                appname="astrolens",
                serverSelectionTimeoutMS=_SELECTION_MS,
                connectTimeoutMS=_SELECTION_MS,
                timeoutMS=_OPERATION_MS,
                retryWrites=True,
                retryReads=True,
                tz_aware=True,
            )
            database = self._client.get_default_database(DATABASE).with_options(
                write_concern=_DURABLE, read_concern=ReadConcern("majority"), read_preference=ReadPreference.PRIMARY
            )
        except (InvalidURI, MongoConfigurationError, ValueError):
            raise ConfigurationError(
                "ASTROLENS_RECORDS_URL is no MongoDB URL: write mongodb://user:password@host:port/database, with "
                "reserved characters of the password percent-encoded"
            ) from None
        try:
            with understood_at_start(self._address):
                await prepare(database)
                self._opened = database
                await self._count_the_uncounted(database)
        except BaseException:
            self._opened = None
            await self._client.close()
            raise

    async def close(self) -> None:
        """Close every connection."""
        if self._client is not None:
            await self._client.close()
        self._client = self._opened = None

    async def ping(self) -> None:
        """Raise unless a primary answers."""
        with understood(self._address), pymongo.timeout(_SELECTION_MS / 1000):
            await self._database.command("ping", read_preference=ReadPreference.PRIMARY)

    async def insert(self, collection: Collection, documents: Sequence[Contract | Document]) -> set[str]:
        """Put documents that are absent; return the ids that are new."""
        declared = DECLARATIONS[collection]
        rows: dict[str, Document] = {}
        for row in map(to_document, documents):
            rows.setdefault(row[declared.key], row)  # the first of two with the same id
        new: set[str] = set()
        for chunk in _chunks(list(rows.values())):
            with understood(self._address):
                new |= await self._counted(collection, partial(self._put_absent, collection, chunk))
        return new

    async def upsert(self, collection: Collection, documents: Sequence[Contract | Document]) -> None:
        """Put or replace whole documents."""
        key = DECLARATIONS[collection].key
        rows = {row[key]: row for row in map(to_document, documents)}
        for chunk in _chunks(list(rows.values())):
            with understood(self._address):
                await self._counted(collection, partial(self._replace, collection, chunk))

    async def apply(self, collection: Collection, changes: Sequence[Change]) -> set[str]:
        """Change documents, each atomically; return the ids that exist and whose guard held."""
        declared = DECLARATIONS[collection]
        counted = [field for field in counted_fields(declared) if any(touches(change, field) for change in changes)]
        applied: set[str] = set()
        for chunk in _chunks(changes):
            with understood(self._address):
                if not counted and not any(change.when for change in chunk):
                    applied |= await self._apply_plainly(collection, chunk)
                else:
                    applied |= await self._apply_counting(collection, chunk, counted)
        return applied

    async def get(self, collection: Collection, ids: Sequence[str]) -> dict[str, Document]:
        """Documents by id; absent ones are left out."""
        declared = DECLARATIONS[collection]
        found: dict[str, Document] = {}
        with understood(self._address):
            for chunk in _chunks(list(ids)):
                async for stored in self._of(collection).find({"_id": {"$in": chunk}}):
                    found[stored["_id"]] = from_mongo(declared, stored)
        return found

    async def find(self, collection: Collection, query: Query) -> Page:
        """One page of documents, by keyset: page 1,000 costs what page 1 costs."""
        declared = DECLARATIONS[collection]
        where = query_filter(collection, query.where)
        way = pymongo.DESCENDING if query.order and query.order.descending else pymongo.ASCENDING
        beyond = "$lt" if way == pymongo.DESCENDING else "$gt"
        field = query.order.field if query.order else declared.key
        path = declared_path(collection, field)
        if query.after is None:
            walks = [[*where, present(collection, field)] if query.order else where]
        else:
            value, document_id = decode_cursor(query.after)
            after_id = {"_id": {beyond: document_id}}
            # Two walks of one index, first the rest of the ties: no planner has to see through an `$or`.
            walks = [[*where, {path: value}, after_id], [*where, {path: {beyond: value}}]] if query.order else []
            walks = walks or [[*where, after_id]]
        sorting = [(path, way), ("_id", way)] if path != "_id" else [("_id", way)]
        rows: list[Document] = []
        with understood(self._address):
            for walk in walks:
                if (room := query.limit + 1 - len(rows)) > 0:
                    cursor = self._of(collection).find(joined(walk)).sort(sorting).limit(room)
                    rows += await cursor.to_list(room)
        documents = [from_mongo(declared, stored) for stored in rows[: query.limit]]
        if len(rows) <= query.limit or not documents:
            return Page(documents, None)
        last = documents[-1]
        return Page(documents, encode_cursor(get_path(last, field) if query.order else None, last[declared.key]))

    async def delete(self, collection: Collection, ids: Sequence[str]) -> int:
        """Remove documents; return how many there were."""
        deleted = 0
        for chunk in _chunks(list(ids)):
            with understood(self._address):
                deleted += await self._counted(collection, partial(self._remove, collection, chunk))
        return deleted

    async def tally(self, collection: Collection, name: str) -> dict[tuple[str, ...], int]:
        """Counts of one declared tally."""
        return (await self.tallies([(collection, name)]))[0]

    async def tallies(self, wanted: Sequence[tuple[Collection, str]]) -> list[dict[tuple[str, ...], int]]:
        """Several tallies, of one moment: a snapshot, so that the books balance while others write."""
        names = [f"{collection}.{name}" for collection, name in wanted]
        with understood(self._address):
            async with self._database.client.start_session(snapshot=True) as session:
                # A snapshot session brings its own read concern; the collection's must not contradict it.
                tallies = self._database.get_collection(TALLIES, read_concern=ReadConcern())
                cursor = tallies.find({"of": {"$in": names}}, {"_id": 0, "of": 1, "key": 1, "n": 1}, session=session)
                rows = await cursor.to_list()
        return summed(wanted, rows)

    async def pending(self, collection: Collection, *, limit: int) -> list[tuple[str, list[PendingEvent]]]:
        """Documents with unpublished events, oldest first."""
        with understood(self._address):
            cursor = self._of(collection).find({PENDING_SINCE: {"$gte": ""}}, {"pending": 1})
            rows = await cursor.sort(PENDING_SINCE, pymongo.ASCENDING).limit(limit).to_list(limit)
        declared = DECLARATIONS[collection]
        return [
            (row["_id"], [PendingEvent.model_validate(event) for event in from_mongo(declared, row)["pending"]])
            for row in rows
        ]

    async def _put_absent(
        self, collection: Collection, rows: Sequence[Document], session: AsyncClientSession | None, lane: int
    ) -> set[str]:
        declared = DECLARATIONS[collection]
        puts = []
        for row in rows:
            stored = to_mongo(declared, row)
            puts.append(UpdateOne({"_id": stored.pop("_id")}, {"$setOnInsert": stored}, upsert=True))
        result = await self._of(collection).bulk_write(puts, ordered=False, session=session)
        new = [rows[index] for index in result.upserted_ids or {}]
        delta: Delta = Counter()
        for row in new:
            count(delta, declared, row, +1)
        await self._tell(collection, delta, session, lane)
        return {row[declared.key] for row in new}

    async def _replace(
        self, collection: Collection, rows: Sequence[Document], session: AsyncClientSession | None, lane: int
    ) -> None:
        declared = DECLARATIONS[collection]
        delta = await self._uncount(collection, [row[declared.key] for row in rows], session)
        puts = [ReplaceOne({"_id": row[declared.key]}, to_mongo(declared, row), upsert=True) for row in rows]
        await self._of(collection).bulk_write(puts, ordered=False, session=session)
        for row in rows:
            count(delta, declared, row, +1)
        await self._tell(collection, delta, session, lane)

    async def _remove(
        self, collection: Collection, ids: Sequence[str], session: AsyncClientSession | None, lane: int
    ) -> int:
        delta = await self._uncount(collection, ids, session)
        result = await self._of(collection).delete_many({"_id": {"$in": list(ids)}}, session=session)
        await self._tell(collection, delta, session, lane)
        return result.deleted_count

    async def _apply_plainly(self, collection: Collection, changes: Sequence[Change]) -> set[str]:
        """Unguarded changes that no tally counts; whoever exists is changed."""
        ids = {change.id for change in changes}
        updates = self._updates(collection, changes, token=None, counted=[])
        result = await self._of(collection).bulk_write(updates, ordered=len(ids) < len(changes))
        if result.matched_count == len(changes):
            return ids
        return {row["_id"] async for row in self._of(collection).find({"_id": {"$in": list(ids)}}, {"_id": 1})}

    async def _apply_counting(self, collection: Collection, changes: Sequence[Change], counted: list[str]) -> set[str]:
        """Changes in one transaction with the tallies; a mark tells which guards held."""
        declared = DECLARATIONS[collection]
        ids = list({change.id for change in changes})
        token = uuid.uuid4().hex
        updates = self._updates(collection, changes, token=token, counted=counted)
        # Tallies by several fields need them all, changed or not.
        fields = [path_of(field, key=declared.key) for field in counted_fields(declared)] if counted else []
        projection = dict.fromkeys(("_id", *fields, *([BEFORE] if counted else [])), 1)

        async def change(session: AsyncClientSession | None, lane: int) -> set[str]:
            await self._of(collection).bulk_write(updates, ordered=len(ids) < len(changes), session=session)
            marked = self._of(collection).find({"_id": {"$in": ids}, CHANGE: token}, projection, session=session)
            rows = await marked.to_list()
            delta: Delta = Counter()
            if counted:
                for row in rows:
                    after = _values(row, declared.key, counted_fields(declared))
                    count_values(delta, declared, {**after, **dict(zip(counted, row[BEFORE], strict=True))}, -1)
                    count_values(delta, declared, after, +1)
            await self._tell(collection, delta, session, lane)
            return {row["_id"] for row in rows}

        return await self._transaction(change)

    def _updates(
        self, collection: Collection, changes: Sequence[Change], *, token: str | None, counted: list[str]
    ) -> list[UpdateOne]:
        declared = DECLARATIONS[collection]
        moment = now()
        return [
            UpdateOne(
                joined([{"_id": change.id}, *guard_filter(declared.key, change.when)]),
                update_of(declared, change, now=moment, token=token, counted=counted),
            )
            for change in changes
        ]

    async def _uncount(self, collection: Collection, ids: Sequence[str], session: AsyncClientSession | None) -> Delta:
        """What the tallies lose when these documents go."""
        declared = DECLARATIONS[collection]
        delta: Delta = Counter()
        if declared.tallies:
            fields = counted_fields(declared)
            projection = {path_of(field, key=declared.key): 1 for field in fields}
            async for row in self._of(collection).find({"_id": {"$in": list(ids)}}, projection, session=session):
                count_values(delta, declared, _values(row, declared.key, fields), -1)
        return delta

    async def _tell(self, collection: Collection, delta: Delta, session: AsyncClientSession | None, lane: int) -> None:
        if updates := increments(collection, delta, lane):
            await self._database[TALLIES].bulk_write(updates, ordered=False, session=session)

    async def _counted(self, collection: Collection, attempt: Attempt[T]) -> T:
        """Run a write together with the tallies; where there are none, it needs no transaction."""
        return await (self._transaction(attempt) if DECLARATIONS[collection].tallies else attempt(None, 0))

    async def _transaction(self, attempt: Attempt[T], *, timeout_s: float = _OPERATION_MS / 1000) -> T:
        """Run `attempt` in a transaction, again when it met another one, within a bound.

        PyMongo's own `with_transaction` aborts within the time that is left: when none is, the transaction stays open
        on the server, and what it has touched stays locked for a minute. Here the abort has time of its own.
        """
        deadline = monotonic() + timeout_s
        async with self._lanes.one() as lane, self._database.client.start_session() as session:
            while True:
                lane.tries += 1
                try:
                    with pymongo.timeout(max(deadline - monotonic(), 0.001)):
                        await session.start_transaction(
                            ReadConcern("snapshot"), write_concern=_DURABLE, read_preference=ReadPreference.PRIMARY
                        )
                        result = await attempt(session, lane.number)
                        await session.commit_transaction()
                        return result
                except PyMongoError as error:
                    if session.in_transaction:
                        with pymongo.timeout(_ABORT_S):
                            await session.abort_transaction()
                    pause_s = _CONFLICT_PATIENCE.wait_s(lane.tries)
                    if not met_another_writer(error) or monotonic() + pause_s > deadline:
                        raise
                await asyncio.sleep(pause_s)

    async def _count_the_uncounted(self, database: Database) -> None:
        for collection in await uncounted(database):
            await self._transaction(partial(recount, database, collection), timeout_s=_RECOUNT_S)

    @property
    def _database(self) -> Database:
        if self._opened is None:
            raise StoreUnavailable(f"the record store {self._address} is not open")
        return self._opened

    def _of(self, collection: Collection) -> AsyncCollection[Document]:
        return self._database[collection.value]


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _BULK):
        yield items[start : start + _BULK]


def _values(row: Document, key: str, fields: Sequence[str]) -> dict[str, Any]:
    return {field: get_path(row, path_of(field, key=key)) for field in fields}
