"""Inserting documents that are absent, inside a transaction and without one."""

from collections.abc import Sequence

from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection

from astrolens.platform.stores.records import Document


async def insert_absent(
    collection: AsyncCollection[Document], rows: Sequence[Document], session: AsyncClientSession | None
) -> list[Document]:
    """Insert the rows whose `_id` is not there yet; return them.

    In a transaction the present ones are looked up first: another writer who inserts the same one meanwhile causes a
    conflict, and the transaction runs again. A plain insert costs the server far less than an upsert.
    """
    if session is None:
        upserts = [UpdateOne({"_id": row["_id"]}, {"$setOnInsert": _without_id(row)}, upsert=True) for row in rows]
        result = await collection.bulk_write(upserts, ordered=False)
        return [rows[index] for index in result.upserted_ids or {}]
    present = collection.find({"_id": {"$in": [row["_id"] for row in rows]}}, {"_id": 1}, session=session)
    known = {row["_id"] async for row in present}
    absent = [row for row in rows if row["_id"] not in known]
    if absent:
        await collection.insert_many(absent, ordered=True, session=session)
    return absent


def _without_id(row: Document) -> Document:
    return {name: value for name, value in row.items() if name != "_id"}
