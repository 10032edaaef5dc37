"""The record store on MongoDB 7 or 8 (a replica set, or a sharded cluster).

A write is acknowledged when a majority has it in its journal.
"""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import pymongo
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import ConfigurationError as MongoConfigurationError
from pymongo.errors import InvalidURI, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference

from astrolens.contracts.base import Contract
from astrolens.contracts.records import PendingEvent
from astrolens.platform.errors import ConfigurationError, StoreUnavailable, UndeclaredField
from astrolens.platform.stores.collections import DECLARATIONS, Collection
from astrolens.platform.stores.documents import get_path, overlap, project
from astrolens.platform.stores.mongo.change import projection
from astrolens.platform.stores.mongo.codec import from_mongo, path_of
from astrolens.platform.stores.mongo.counters import TALLIES, sum_shards
from astrolens.platform.stores.mongo.errors import address_of, translate_mongo_errors, translate_mongo_errors_at_start
from astrolens.platform.stores.mongo.filters import (
    Filter,
    bounded_below,
    combine,
    declared_path,
    has_value,
    query_filter,
    without_bound,
)
from astrolens.platform.stores.mongo.hashes import near
from astrolens.platform.stores.mongo.outbox import MongoOutbox, outboxes
from astrolens.platform.stores.mongo.schema import (
    Database,
    collections_to_count,
    count_documents,
    prepare,
    recount,
)
from astrolens.platform.stores.mongo.text_search import bounded_search, narrowed_to_ids
from astrolens.platform.stores.mongo.transactions import DURABLE, TransactionBody, Transactions
from astrolens.platform.stores.mongo.writer import MongoWriter
from astrolens.platform.stores.records import (
    Change,
    Clause,
    Document,
    Page,
    Query,
    decode_cursor,
    encode_cursor,
    to_document,
)
from astrolens.platform.time_limits import STORE_OPERATION_S

T = TypeVar("T")
DATABASE = "astrolens"
"""The database where the URL names none."""

_SERVER_SELECTION_TIMEOUT_S = 5.0
"""Longest search for a primary: an election takes a second or two."""
_RECOUNT_TIMEOUT_S = 60.0
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
                serverSelectionTimeoutMS=int(_SERVER_SELECTION_TIMEOUT_S * 1000),
                connectTimeoutMS=int(_SERVER_SELECTION_TIMEOUT_S * 1000),
                timeoutMS=int(STORE_OPERATION_S * 1000),
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
                for collection in await collections_to_count(database):
                    await self._transaction(partial(recount, database, collection), timeout_s=_RECOUNT_TIMEOUT_S)
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
        with translate_mongo_errors(self._address), pymongo.timeout(_SERVER_SELECTION_TIMEOUT_S):
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
                new |= await self._writer.insert(collection, chunk)
        return new

    async def upsert(self, collection: Collection, documents: Sequence[Contract | Document]) -> None:
        """Put or replace whole documents."""
        key = DECLARATIONS[collection].key
        rows = {row[key]: row for row in map(to_document, documents)}
        for chunk in _chunks(list(rows.values())):
            with translate_mongo_errors(self._address):
                await self._writer.replace(collection, chunk)

    async def apply(self, collection: Collection, changes: Sequence[Change]) -> set[str]:
        """Change documents, each atomically; return the ids that exist and whose guard held."""
        applied: set[str] = set()
        for chunk in _chunks(changes):
            with translate_mongo_errors(self._address):
                applied |= await self._writer.apply(collection, chunk)
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
        with translate_mongo_errors(self._address), bounded_search(query):
            where = await narrowed_to_ids(self._of(collection), collection, query)
            return await self._find(collection, query, where)

    async def _find(self, collection: Collection, query: Query, where: list[Filter]) -> Page:
        declared = DECLARATIONS[collection]
        way = pymongo.DESCENDING if query.order and query.order.descending else pymongo.ASCENDING
        beyond = "$lt" if way == pymongo.DESCENDING else "$gt"
        field = query.order.field if query.order else declared.key
        path = declared_path(collection, field)
        # Also beside an upper bound: by itself that would not show that an index of what has a value holds everything.
        present = [has_value(collection, field)] if query.order and not bounded_below(query.where, field) else []
        walks = [[*where, *present]]
        if query.after is not None:
            value, document_id = decode_cursor(query.after, query.order)
            after_id = {"_id": {beyond: document_id}}
            walks = [[*where, after_id]]
            if query.order:
                # Two walks of one index, first the rest of the ties: no planner has to see through an `$or`. The
                # document of the cursor met what the query asks of this field: its ties do, too, and what follows it
                # lies within a bound on that side.
                of_others = [condition for condition in where if path not in condition]
                bounded = without_bound(where, path, beyond)
                walks = [[*of_others, {path: value}, after_id], [*bounded, {path: {beyond: value}}, *present]]
        sorting = [(path, way), ("_id", way)] if path != "_id" else [("_id", way)]
        rows: list[Document] = []
        read = _projection(collection, query.fields, field)
        for walk in walks:
            if (room := query.limit + 1 - len(rows)) > 0:
                cursor = self._of(collection).find(combine(walk), read).sort(sorting).limit(room)
                rows += await cursor.to_list(room)
        documents = await self._documents(collection, rows[: query.limit], query.fields)
        if len(rows) <= query.limit or not documents:
            return Page(documents, None)
        last = rows[query.limit - 1]
        return Page(documents, encode_cursor(query.order, get_path(last, path) if query.order else None, last["_id"]))

    async def count(
        self, collection: Collection, where: Sequence[Clause], *, limit: int, within_s: float
    ) -> int | None:
        """How many documents fulfil all conditions, at most `limit`; None where counting takes too long."""
        declared = DECLARATIONS[collection]
        searched = [each.field for each in where if each.op in {"prefix", "contains"}]
        texts = [field for field in searched if (field,) in declared.indexes]
        hint: dict[str, Any] = {}
        if any(clause.field == declared.key for clause in where):
            hint = {"hint": [("_id", 1)]}
        elif texts:
            # A range of the index holds how a text begins; for a part of one, reading the index is a fraction of
            # reading every document.
            hint = {"hint": [(declared_path(collection, texts[0]), 1), ("_id", 1)]}
        with translate_mongo_errors(self._address):
            try:
                with pymongo.timeout(within_s):
                    conditions = combine(query_filter(collection, where))
                    return await self._of(collection).count_documents(conditions, limit=limit, **hint)
            except PyMongoError as error:
                if error.timeout:
                    return None
                raise

    async def delete(self, collection: Collection, ids: Sequence[str]) -> int:
        """Remove documents; return how many there were."""
        deleted = 0
        for chunk in _chunks(list(ids)):
            with translate_mongo_errors(self._address):
                deleted += await self._writer.delete(collection, chunk)
        return deleted

    async def tally(self, collection: Collection, name: str) -> dict[tuple[str, ...], int]:
        """Counts of one declared tally."""
        return (await self.tallies([(collection, name)]))[0]

    async def tallies(self, wanted: Sequence[tuple[Collection, str]]) -> list[dict[tuple[str, ...], int]]:
        """Several tallies, of one moment: a transaction's snapshot, so that the books balance while others write."""
        with translate_mongo_errors(self._address):
            names = [f"{collection}.{name}" for collection, name in wanted]
            rows = await self._transaction(partial(self._read_counters, names))
        return sum_shards(wanted, rows)

    async def count_documents(self, collection: Collection, name: str) -> dict[tuple[str, ...], int]:
        """What `tally` should give, counted from the documents themselves."""
        with translate_mongo_errors(self._address):
            counted = await count_documents(self._database, collection, name)
        return {tuple(json.loads(key)): n for key, n in counted.items()}

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

    async def pending(
        self, collection: Collection, *, limit: int, after: str | None = None
    ) -> list[tuple[str, list[PendingEvent]]]:
        """Documents with unpublished events, oldest first."""
        with translate_mongo_errors(self._address):
            self._database  # noqa: B018 - says so where the store is not open
            return await self._outboxes[collection].oldest(limit, after)

    async def _documents(
        self, collection: Collection, rows: Sequence[Document], fields: Sequence[str]
    ) -> list[Document]:
        """Stored documents as they were given, with the events that still wait."""
        declared = DECLARATIONS[collection]
        documents = [from_mongo(declared, stored) for stored in rows]
        if declared.has_pending and (not fields or any(overlap("pending", field) for field in fields)):
            events = await self._outboxes[collection].events_of([document[declared.key] for document in documents])
            for document in documents:
                document["pending"] = events.get(document[declared.key], [])
        return [project(document, fields, key=declared.key) for document in documents] if fields else documents

    async def _transaction(self, body: TransactionBody[T], *, timeout_s: float = STORE_OPERATION_S) -> T:
        return await self._transactions.run(self._database.client, body, timeout_s=timeout_s)

    @property
    def _writer(self) -> MongoWriter:
        return MongoWriter(self._database, self._outboxes, self._transactions, timeout_s=STORE_OPERATION_S)

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
