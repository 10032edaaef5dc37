"""Writes on MongoDB, each together with the tallies that it changes and the events that it causes.

A bulk that needs both runs in one transaction: what guards and tallies need is read, then written, and after a conflict
with another writer it runs again. What needs neither is one retryable write.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TypeVar

from pymongo import ReplaceOne, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection

from astrolens.platform.stores.collections import DECLARATIONS, Collection
from astrolens.platform.stores.documents import apply_change, matches, touches
from astrolens.platform.stores.mongo.change import fields_to_know, projection, update_of
from astrolens.platform.stores.mongo.codec import from_mongo, to_mongo
from astrolens.platform.stores.mongo.counters import TALLIES, increment_updates
from astrolens.platform.stores.mongo.hashes import preserve_hash_ages
from astrolens.platform.stores.mongo.insert import insert_absent
from astrolens.platform.stores.mongo.outbox import MongoOutbox, pulled_keys
from astrolens.platform.stores.mongo.schema import Database
from astrolens.platform.stores.mongo.transactions import TransactionBody, Transactions
from astrolens.platform.stores.records import Change, Document
from astrolens.platform.stores.tallies import Increments, count, counted_fields

T = TypeVar("T")
Session = AsyncClientSession | None


class MongoWriter:
    """Writes documents in bulks of a bounded size; the caller cuts them."""

    def __init__(
        self,
        database: Database,
        outboxes: dict[Collection, MongoOutbox],
        transactions: Transactions,
        *,
        timeout_s: float,
    ) -> None:
        """Compose.

        Args:
            database: Where to write.
            outboxes: The pending events of the collections that have some.
            transactions: Runs what must be written together.
            timeout_s: Longest time of one transaction with all its attempts.
        """
        self._database = database
        self._outboxes = outboxes
        self._transactions = transactions
        self._timeout_s = timeout_s

    async def insert(self, collection: Collection, documents: Sequence[Document]) -> set[str]:
        """Put documents that are absent; return the ids that are new."""
        return await self._with_tallies(collection, partial(self._insert, collection, documents))

    async def replace(self, collection: Collection, documents: Sequence[Document]) -> None:
        """Put or replace whole documents."""
        await self._with_tallies(collection, partial(self._replace, collection, documents))

    async def delete(self, collection: Collection, ids: Sequence[str]) -> int:
        """Remove documents; return how many there were."""
        return await self._with_tallies(collection, partial(self._delete, collection, ids))

    async def apply(self, collection: Collection, changes: Sequence[Change]) -> set[str]:
        """Change documents, each atomically; return the ids that exist and whose guard held."""
        declared = DECLARATIONS[collection]
        if declared.has_pending and all(_only_pulls(change) for change in changes):
            return await self._delete_events(collection, changes)
        counted = counted_fields(declared)
        if any(touches(change, field) for change in changes for field in counted):
            return await self._transaction(partial(self._apply, collection, changes, counted))
        if any(change.when or touches(change, "pending") for change in changes):
            return await self._transaction(partial(self._apply, collection, changes, []))
        return await self._apply_unguarded(collection, changes)

    async def _insert(
        self, collection: Collection, documents: Sequence[Document], session: Session, shard: int
    ) -> set[str]:
        declared = DECLARATIONS[collection]
        inserted = await insert_absent(self._of(collection), [to_mongo(declared, each) for each in documents], session)
        ids = {row["_id"] for row in inserted}
        new = [document for document in documents if document[declared.key] in ids]
        increments: Increments = Counter()
        for document in new:
            count(increments, declared, document, +1)
        await self._write_tallies(collection, increments, session, shard)
        await self._insert_events(collection, new, session)
        return ids

    async def _replace(
        self, collection: Collection, documents: Sequence[Document], session: Session, shard: int
    ) -> None:
        declared = DECLARATIONS[collection]
        ids = [document[declared.key] for document in documents]
        increments = await self._count_out(collection, ids, session)
        rows = [to_mongo(declared, document) for document in documents]
        if declared.hash_field is not None:
            await preserve_hash_ages(self._of(collection), rows, session)
        replacements = [ReplaceOne({"_id": row["_id"]}, row, upsert=True) for row in rows]
        await self._of(collection).bulk_write(replacements, ordered=False, session=session)
        for document in documents:
            count(increments, declared, document, +1)
        await self._write_tallies(collection, increments, session, shard)
        if declared.has_pending:
            await self._outboxes[collection].delete_all_of(ids, session)
        await self._insert_events(collection, documents, session)

    async def _delete(self, collection: Collection, ids: Sequence[str], session: Session, shard: int) -> int:
        increments = await self._count_out(collection, ids, session)
        result = await self._of(collection).delete_many({"_id": {"$in": list(ids)}}, session=session)
        await self._write_tallies(collection, increments, session, shard)
        if DECLARATIONS[collection].has_pending:
            await self._outboxes[collection].delete_all_of(ids, session)
        return result.deleted_count

    async def _delete_events(self, collection: Collection, changes: Sequence[Change]) -> set[str]:
        """Changes that only remove published events: no document is touched."""
        keys = pulled_keys(changes)
        ids = {change.id for change in changes}
        if await self._outboxes[collection].delete(keys, None) == len(keys):
            return ids  # an event is stored only beside its document
        return await self._existing(collection, ids)

    async def _apply_unguarded(self, collection: Collection, changes: Sequence[Change]) -> set[str]:
        """Changes without guards, tallies and events: every document that exists is changed."""
        ids = {change.id for change in changes}
        updates = _updates(collection, changes)
        if not updates:
            return await self._existing(collection, ids)
        result = await self._of(collection).bulk_write(updates, ordered=len(ids) < len(changes))
        return ids if result.matched_count == len(changes) else await self._existing(collection, ids)

    async def _apply(
        self, collection: Collection, changes: Sequence[Change], counted: Sequence[str], session: Session, shard: int
    ) -> set[str]:
        """Changes in one transaction with tallies and events.

        What was read is of the transaction's snapshot: if another writer changes such a document meanwhile, writing it
        conflicts and everything runs again, so that a guard that held when it was read holds when it is written.
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
            increments: Increments = Counter()
            for document_id in applied:
                count(increments, declared, before[document_id], -1)
                count(increments, declared, after[document_id], +1)
            await self._write_tallies(collection, increments, session, shard)
        if declared.has_pending:
            await self._outboxes[collection].apply(held, session)
        return applied

    async def _insert_events(self, collection: Collection, documents: Sequence[Document], session: Session) -> None:
        """Store the pending events of documents that are written whole."""
        declared = DECLARATIONS[collection]
        if declared.has_pending:
            events = [(each[declared.key], event) for each in documents for event in each.get("pending") or ()]
            await self._outboxes[collection].insert(events, session)

    async def _existing(self, collection: Collection, ids: set[str]) -> set[str]:
        return {row["_id"] async for row in self._of(collection).find({"_id": {"$in": list(ids)}}, {"_id": 1})}

    async def _count_out(self, collection: Collection, ids: Sequence[str], session: Session) -> Increments:
        """What the tallies lose when these documents are replaced or deleted."""
        declared = DECLARATIONS[collection]
        increments: Increments = Counter()
        if declared.tallies:
            fields = projection(declared, counted_fields(declared))
            async for row in self._of(collection).find({"_id": {"$in": list(ids)}}, fields, session=session):
                count(increments, declared, from_mongo(declared, row), -1)
        return increments

    async def _write_tallies(
        self, collection: Collection, increments: Increments, session: Session, shard: int
    ) -> None:
        if updates := increment_updates(collection, increments, shard):
            await self._database[TALLIES].bulk_write(updates, ordered=False, session=session)

    async def _with_tallies(self, collection: Collection, body: TransactionBody[T]) -> T:
        """Run a write together with its tallies and events; where there are none, it needs no transaction."""
        declared = DECLARATIONS[collection]
        together = declared.tallies or declared.has_pending
        return await (self._transaction(body) if together else body(None, 0))

    async def _transaction(self, body: TransactionBody[T]) -> T:
        return await self._transactions.run(self._database.client, body, timeout_s=self._timeout_s)

    def _of(self, collection: Collection) -> AsyncCollection[Document]:
        return self._database[collection.value]


def _updates(collection: Collection, changes: Sequence[Change]) -> list[UpdateOne]:
    declared = DECLARATIONS[collection]
    updates = ((change.id, update_of(declared, change)) for change in changes)
    return [UpdateOne({"_id": document_id}, update) for document_id, update in updates if update is not None]


def _only_pulls(change: Change) -> bool:
    return not (change.set or change.push or change.when)
