"""The record store on MongoDB 7 or 8 (a replica set, or a sharded cluster).

A bulk of changes runs in one transaction together with the tallies that it changes and the events that it causes: what
guards and tallies need is read, then written, and whoever meets another writer begins again. What needs none of this is
one retryable write. A write is acknowledged when a majority has it in its journal.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import pymongo
from pymongo import AsyncMongoClient, ReplaceOne, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import ConfigurationError as MongoConfigurationError
from pymongo.errors import InvalidURI
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference

from astrolens.contracts.base import Contract
from astrolens.contracts.records import PendingEvent
from astrolens.platform.errors import ConfigurationError, StoreUnavailable, UndeclaredField
from astrolens.platform.stores.collections import DECLARATIONS, Collection
from astrolens.platform.stores.documents import apply_change, get_path, matches, overlap, project, touches
from astrolens.platform.stores.mongo.change import fields_to_know, projection, update_of
from astrolens.platform.stores.mongo.codec import from_mongo, path_of, to_mongo
from astrolens.platform.stores.mongo.counters import (
    TALLIES,
    Delta,
    count,
    count_values,
    counted_fields,
    increments,
    summed,
)
from astrolens.platform.stores.mongo.errors import address_of, translate_mongo_errors, translate_mongo_errors_at_start
from astrolens.platform.stores.mongo.filters import declared_path, joined, present, query_filter
from astrolens.platform.stores.mongo.hashes import keep_ages, near
from astrolens.platform.stores.mongo.insert import put_absent
from astrolens.platform.stores.mongo.outbox import MongoOutbox, outboxes, pulled_keys
from astrolens.platform.stores.mongo.schema import Database, prepare, recount, uncounted
from astrolens.platform.stores.mongo.transactions import DURABLE, Attempt, Transactions
from astrolens.platform.stores.records import Change, Document, Page, Query, decode_cursor, encode_cursor, to_document

T = TypeVar("T")
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


class MongoRecordStore:
    """`RecordStore` on MongoDB."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._transactions = Transactions()
        self._client: AsyncMongoClient[Document] | None = None
        self._opened: Database | None = None
        self._outboxes: dict[Collection, MongoOutbox] = {}
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
                write_concern=DURABLE, read_concern=ReadConcern("majority"), read_preference=ReadPreference.PRIMARY
            )
        except (InvalidURI, MongoConfigurationError, ValueError):
            raise ConfigurationError(
                "ASTROLENS_RECORDS_URL is no MongoDB URL: write mongodb://user:password@host:port/database, with "
                "reserved characters of the password percent-encoded"
            ) from None
        try:
            with translate_mongo_errors_at_start(self._address):
                await prepare(database)
                self._opened = database
                self._outboxes = outboxes(database)
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
        with translate_mongo_errors(self._address), pymongo.timeout(_SELECTION_MS / 1000):
            await self._database.command("ping", read_preference=ReadPreference.PRIMARY)

    async def insert(self, collection: Collection, documents: Sequence[Contract | Document]) -> set[str]:
        """Put documents that are absent; return the ids that are new."""
        declared = DECLARATIONS[collection]
        rows: dict[str, Document] = {}
        for row in map(to_document, documents):
            rows.setdefault(row[declared.key], row)  # the first of two with the same id
        new: set[str] = set()
        for chunk in _chunks(list(rows.values())):
            with translate_mongo_errors(self._address):
                new |= await self._counted(collection, partial(self._put_absent, collection, chunk))
        return new

    async def upsert(self, collection: Collection, documents: Sequence[Contract | Document]) -> None:
        """Put or replace whole documents."""
        key = DECLARATIONS[collection].key
        rows = {row[key]: row for row in map(to_document, documents)}
        for chunk in _chunks(list(rows.values())):
            with translate_mongo_errors(self._address):
                await self._counted(collection, partial(self._replace, collection, chunk))

    async def apply(self, collection: Collection, changes: Sequence[Change]) -> set[str]:
        """Change documents, each atomically; return the ids that exist and whose guard held."""
        declared = DECLARATIONS[collection]
        counted = [field for field in counted_fields(declared) if any(touches(change, field) for change in changes)]
        applied: set[str] = set()
        for chunk in _chunks(changes):
            with translate_mongo_errors(self._address):
                if declared.has_pending and all(_only_pulls(change) for change in chunk):
                    applied |= await self._clear(collection, chunk)
                elif counted or any(change.when or touches(change, "pending") for change in chunk):
                    attempt = partial(self._change, collection, chunk, counted_fields(declared) if counted else [])
                    applied |= await self._transaction(attempt)
                else:
                    applied |= await self._change_plainly(collection, chunk)
        return applied

    async def get(
        self, collection: Collection, ids: Sequence[str], *, fields: Sequence[str] = ()
    ) -> dict[str, Document]:
        """Documents by id; absent ones are left out."""
        key = DECLARATIONS[collection].key
        found: dict[str, Document] = {}
        with translate_mongo_errors(self._address):
            for chunk in _chunks(list(ids)):
                read = _projection(collection, fields)
                rows = await self._of(collection).find({"_id": {"$in": chunk}}, read).to_list()
                documents = await self._documents(collection, rows, fields)
                found.update((document[key], document) for document in documents)
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
        read = _projection(collection, query.fields, field)
        with translate_mongo_errors(self._address):
            for walk in walks:
                if (room := query.limit + 1 - len(rows)) > 0:
                    cursor = self._of(collection).find(joined(walk), read).sort(sorting).limit(room)
                    rows += await cursor.to_list(room)
            documents = await self._documents(collection, rows[: query.limit], query.fields)
        if len(rows) <= query.limit or not documents:
            return Page(documents, None)
        last = rows[query.limit - 1]
        return Page(documents, encode_cursor(get_path(last, path) if query.order else None, last["_id"]))

    async def delete(self, collection: Collection, ids: Sequence[str]) -> int:
        """Remove documents; return how many there were."""
        deleted = 0
        for chunk in _chunks(list(ids)):
            with translate_mongo_errors(self._address):
                deleted += await self._counted(collection, partial(self._remove, collection, chunk))
        return deleted

    async def tally(self, collection: Collection, name: str) -> dict[tuple[str, ...], int]:
        """Counts of one declared tally."""
        return (await self.tallies([(collection, name)]))[0]

    async def tallies(self, wanted: Sequence[tuple[Collection, str]]) -> list[dict[tuple[str, ...], int]]:
        """Several tallies, of one moment: a transaction's snapshot, so that the books balance while others write."""
        with translate_mongo_errors(self._address):
            rows = await self._transaction(
                partial(self._read_counters, [f"{collection}.{name}" for collection, name in wanted])
            )
        return summed(wanted, rows)

    async def _read_counters(
        self, names: Sequence[str], session: AsyncClientSession | None, _shard: int
    ) -> list[Document]:
        fields = {"_id": 0, "of": 1, "key": 1, "n": 1}
        return await self._database[TALLIES].find({"of": {"$in": list(names)}}, fields, session=session).to_list()

    async def near(
        self, collection: Collection, hashes: Sequence[str], *, radius: int, limit: int
    ) -> list[list[tuple[str, int]]]:
        """For each hash the (id, distance) of the nearest documents."""
        declared = DECLARATIONS[collection]
        if declared.hash_field is None:
            raise UndeclaredField(collection, "hash")
        field = path_of(declared.hash_field, key=declared.key)
        with translate_mongo_errors(self._address):
            return await near(self._of(collection), field, hashes, radius=radius, limit=limit)

    async def pending(self, collection: Collection, *, limit: int) -> list[tuple[str, list[PendingEvent]]]:
        """Documents with unpublished events, oldest first."""
        with translate_mongo_errors(self._address):
            self._database  # noqa: B018 - says so where the store is not open
            return await self._outboxes[collection].oldest(limit)

    async def _documents(
        self, collection: Collection, rows: Sequence[Document], fields: Sequence[str]
    ) -> list[Document]:
        """Stored documents as they were given, with the events that still wait."""
        declared = DECLARATIONS[collection]
        documents = [from_mongo(declared, stored) for stored in rows]
        if declared.has_pending and (not fields or any(overlap("pending", field) for field in fields)):
            events = await self._outboxes[collection].of([document[declared.key] for document in documents])
            for document in documents:
                document["pending"] = events.get(document[declared.key], [])
        return [project(document, fields, key=declared.key) for document in documents] if fields else documents

    async def _put_absent(
        self, collection: Collection, rows: Sequence[Document], session: AsyncClientSession | None, shard: int
    ) -> set[str]:
        declared = DECLARATIONS[collection]
        put = await put_absent(self._of(collection), [to_mongo(declared, row) for row in rows], session)
        ids = {row["_id"] for row in put}
        new = [row for row in rows if row[declared.key] in ids]
        delta: Delta = Counter()
        for row in new:
            count(delta, declared, row, +1)
        await self._write_counters(collection, delta, session, shard)
        await self._insert_pending(collection, new, session)
        return ids

    async def _insert_pending(
        self, collection: Collection, documents: Sequence[Document], session: AsyncClientSession | None
    ) -> None:
        """Keep the pending events of documents that are written whole."""
        declared = DECLARATIONS[collection]
        if declared.has_pending:
            events = [(row[declared.key], event) for row in documents for event in row.get("pending") or ()]
            await self._outboxes[collection].put(events, session)

    async def _replace(
        self, collection: Collection, rows: Sequence[Document], session: AsyncClientSession | None, shard: int
    ) -> None:
        declared = DECLARATIONS[collection]
        delta = await self._uncount(collection, [row[declared.key] for row in rows], session)
        documents = [to_mongo(declared, row) for row in rows]
        if declared.hash_field is not None:
            await keep_ages(self._of(collection), documents, session)
        puts = [ReplaceOne({"_id": document["_id"]}, document, upsert=True) for document in documents]
        await self._of(collection).bulk_write(puts, ordered=False, session=session)
        for row in rows:
            count(delta, declared, row, +1)
        await self._write_counters(collection, delta, session, shard)
        if declared.has_pending:
            await self._outboxes[collection].drop([row[declared.key] for row in rows], session)
        await self._insert_pending(collection, rows, session)

    async def _remove(
        self, collection: Collection, ids: Sequence[str], session: AsyncClientSession | None, shard: int
    ) -> int:
        delta = await self._uncount(collection, ids, session)
        result = await self._of(collection).delete_many({"_id": {"$in": list(ids)}}, session=session)
        await self._write_counters(collection, delta, session, shard)
        if DECLARATIONS[collection].has_pending:
            await self._outboxes[collection].drop(ids, session)
        return result.deleted_count

    async def _clear(self, collection: Collection, changes: Sequence[Change]) -> set[str]:
        """Changes that only take published events away: no document is touched."""
        keys = pulled_keys(changes)
        ids = {change.id for change in changes}
        if await self._outboxes[collection].clear(keys, None) == len(keys):
            return ids  # an event waits only beside its document
        return await self._existing(collection, ids)

    async def _change_plainly(self, collection: Collection, changes: Sequence[Change]) -> set[str]:
        """Unguarded changes that no tally counts; whoever exists is changed."""
        ids = {change.id for change in changes}
        updates = _updates(collection, changes)
        if not updates:
            return await self._existing(collection, ids)
        result = await self._of(collection).bulk_write(updates, ordered=len(ids) < len(changes))
        return ids if result.matched_count == len(changes) else await self._existing(collection, ids)

    async def _change(
        self,
        collection: Collection,
        changes: Sequence[Change],
        counted: Sequence[str],
        session: AsyncClientSession | None,
        shard: int,
    ) -> set[str]:
        """Changes in one transaction with tallies and events.

        What was read is of the transaction's snapshot: if anybody changes such a document meanwhile, writing it
        conflicts and everything begins again, so that a guard that held when it was read holds when it is written.
        """
        declared = DECLARATIONS[collection]
        fields = projection(declared, fields_to_know(changes, counted))
        ids = list({change.id for change in changes})
        rows = self._of(collection).find({"_id": {"$in": ids}}, fields, session=session)
        before = {row["_id"]: from_mongo(declared, row) async for row in rows}
        after = dict(before)
        held: list[Change] = []
        for change in changes:
            document = after.get(change.id)
            if document is not None and all(matches(document, clause) for clause in change.when):
                after[change.id] = apply_change(document, change)
                held.append(change)
        applied = {change.id for change in held}
        if updates := _updates(collection, held):
            await self._of(collection).bulk_write(updates, ordered=len(applied) < len(held), session=session)
        if counted:
            delta: Delta = Counter()
            for document_id in applied:
                count(delta, declared, before[document_id], -1)
                count(delta, declared, after[document_id], +1)
            await self._write_counters(collection, delta, session, shard)
        if declared.has_pending:
            await self._outboxes[collection].change(held, session)
        return applied

    async def _existing(self, collection: Collection, ids: set[str]) -> set[str]:
        return {row["_id"] async for row in self._of(collection).find({"_id": {"$in": list(ids)}}, {"_id": 1})}

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

    async def _write_counters(
        self, collection: Collection, delta: Delta, session: AsyncClientSession | None, shard: int
    ) -> None:
        if updates := increments(collection, delta, shard):
            await self._database[TALLIES].bulk_write(updates, ordered=False, session=session)

    async def _counted(self, collection: Collection, attempt: Attempt[T]) -> T:
        """Run a write together with its tallies and events; where there are none, it needs no transaction."""
        declared = DECLARATIONS[collection]
        together = declared.tallies or declared.has_pending
        return await (self._transaction(attempt) if together else attempt(None, 0))

    async def _transaction(self, attempt: Attempt[T], *, timeout_s: float = _OPERATION_MS / 1000) -> T:
        return await self._transactions.run(self._database.client, attempt, timeout_s=timeout_s)

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


def _projection(collection: Collection, fields: Sequence[str], *more: str) -> dict[str, int] | None:
    """What MongoDB is to send: these fields, or all but the binary ones."""
    declared = DECLARATIONS[collection]
    if fields:
        return projection(declared, {*fields, *more} - {"pending"})
    return {path_of(field, key=declared.key): 0 for field in declared.binary} or None


def _updates(collection: Collection, changes: Sequence[Change]) -> list[UpdateOne]:
    declared = DECLARATIONS[collection]
    updates = ((change.id, update_of(declared, change)) for change in changes)
    return [UpdateOne({"_id": document_id}, update) for document_id, update in updates if update is not None]


def _only_pulls(change: Change) -> bool:
    return not (change.set or change.push or change.when)


def _values(row: Document, key: str, fields: Sequence[str]) -> dict[str, Any]:
    return {field: get_path(row, path_of(field, key=key)) for field in fields}
