"""Pending events on MongoDB: a small document each, beside the document that caused it.

They are written in the transaction of their document and deleted by `_id` once they are published, so that publishing
never rewrites an image with all its indexes. See docs/decisions/0006-pending-events-in-their-own-collections.md.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import AutoReconnect

from astrolens.contracts.records import PendingEvent
from astrolens.platform.stores.collections import DECLARATIONS, Collection
from astrolens.platform.stores.mongo.codec import decode, encode, now
from astrolens.platform.stores.mongo.insert import insert_absent
from astrolens.platform.stores.records import Change, Document

_BY_AGE = (("since", ASCENDING), ("n", ASCENDING), ("_id", ASCENDING))

INDEXES = (IndexModel(list(_BY_AGE), name="astrolens_age"), IndexModel([("doc", ASCENDING)], name="astrolens_doc"))
"""By age for the relay, by document for readers of documents."""

Session = AsyncClientSession | None
Events = list[dict[str, Any]]


def outbox_name(collection: Collection) -> str:
    """The MongoDB collection of a collection's pending events."""
    return f"{collection.value}_outbox"


class MongoOutbox:
    """The pending events of one collection."""

    def __init__(self, database: AsyncDatabase[Document], collection: Collection) -> None:
        self._rows: AsyncCollection[Document] = database[outbox_name(collection)]

    async def insert(self, events: Iterable[tuple[str, Mapping[str, Any]]], session: Session) -> None:
        """Store events by document id; one that is stored already stays as it is."""
        since = now()
        rows: dict[str, Document] = {}
        for n, (document_id, event) in enumerate(events):
            key = _key(document_id, event["event_id"])
            rows.setdefault(key, {"_id": key, "doc": document_id, "since": since, "n": n, "event": encode(dict(event))})
        if rows:
            await insert_absent(self._rows, list(rows.values()), session)

    async def delete(self, keys: Iterable[str], session: Session) -> int:
        """Delete events by their keys; return how many there were: fewer where a first answer was lost."""
        wanted = {"_id": {"$in": list(keys)}}
        if not wanted["_id"]["$in"]:
            return 0
        try:
            return (await self._rows.delete_many(wanted, session=session)).deleted_count
        except AutoReconnect:
            if session is not None:  # the whole transaction runs again
                raise
            # MongoDB's drivers do not retry a delete of many by themselves; deleting twice does no harm.
            return (await self._rows.delete_many(wanted)).deleted_count

    async def delete_all_of(self, document_ids: Sequence[str], session: Session) -> None:
        """Delete every event of documents."""
        await self._rows.delete_many({"doc": {"$in": list(document_ids)}}, session=session)

    async def apply(self, changes: Iterable[Change], session: Session) -> None:
        """Insert and delete the events that applied changes push and pull."""
        deleted: set[str] = set()
        inserted: dict[str, tuple[str, Mapping[str, Any]]] = {}
        for change in changes:
            for event in change.push.get("pending", ()):
                inserted[_key(change.id, event["event_id"])] = (change.id, event)
            pulled = pulled_keys([change])
            deleted |= pulled
            if pulled:
                inserted = {key: value for key, value in inserted.items() if key not in pulled}
        await self.delete(deleted, session)
        await self.insert(inserted.values(), session)

    async def events_of(self, document_ids: Sequence[str]) -> dict[str, Events]:
        """The events of documents, in the order in which they came; documents without any are left out."""
        found: defaultdict[str, list[Document]] = defaultdict(list)
        if document_ids:
            async for row in self._rows.find({"doc": {"$in": list(document_ids)}}):
                found[row["doc"]].append(row)
        return {
            document_id: [decode(row["event"]) for row in sorted(rows, key=lambda row: (row["since"], row["n"]))]
            for document_id, rows in found.items()
        }

    async def oldest(self, limit: int, after: str | None) -> list[tuple[str, list[PendingEvent]]]:
        """Documents with events, oldest first, each with all of its events; with `after` those behind this document."""
        place = None if after is None else await self._rows.find_one({"doc": after}, sort=list(_BY_AGE))
        order: dict[str, None] = {}
        behind = {} if place is None else {"since": {"$gte": place["since"]}}
        async with self._rows.find(behind, {"doc": 1, "since": 1, "n": 1}).sort(list(_BY_AGE)) as cursor:
            async for row in cursor:
                if place is not None and (row["doc"] == after or _age(row) <= _age(place)):
                    continue
                order[row["doc"]] = None
                if len(order) == limit:
                    break
        events = await self.events_of(list(order))
        # A document whose events were published between the two reads has none left.
        return [(key, [PendingEvent.model_validate(event) for event in events[key]]) for key in order if key in events]


def _age(row: Document) -> tuple[Any, ...]:
    """The place of an event in the order of `_BY_AGE`."""
    return tuple(row[name] for name, _ in _BY_AGE)


def outboxes(database: AsyncDatabase[Document]) -> dict[Collection, MongoOutbox]:
    """The outbox of every collection that has pending events."""
    return {
        collection: MongoOutbox(database, collection)
        for collection, declared in DECLARATIONS.items()
        if declared.has_pending
    }


def pulled_keys(changes: Iterable[Change]) -> set[str]:
    """The keys of the events that changes remove."""
    return {_key(change.id, event_id) for change in changes for event_id in change.pull_pending}


def _key(document_id: str, event_id: str) -> str:
    return f"{document_id}/{event_id}"
