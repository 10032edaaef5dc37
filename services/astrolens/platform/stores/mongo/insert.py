"""Putting documents that are absent, inside a transaction and without one."""

from collections.abc import Sequence

from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection

from astrolens.platform.stores.records import Document


async def put_absent(
    collection: AsyncCollection[Document], rows: Sequence[Document], session: AsyncClientSession | None
) -> list[Document]:
    """Insert the rows whose `_id` is not there yet; return them.

    In a transaction the absent ones are looked up first: somebody who inserts the same one meanwhile makes the
    transaction conflict, and it is tried again. A plain insert costs the server far less than an upsert.
    """
    if session is None:
        puts = [UpdateOne({"_id": row["_id"]}, {"$setOnInsert": _rest(row)}, upsert=True) for row in rows]
        result = await collection.bulk_write(puts, ordered=False)
        return [rows[index] for index in result.upserted_ids or {}]
    there = collection.find({"_id": {"$in": [row["_id"] for row in rows]}}, {"_id": 1}, session=session)
    known = {row["_id"] async for row in there}
    absent = [row for row in rows if row["_id"] not in known]
    if absent:
        await collection.insert_many(absent, ordered=True, session=session)
    return absent


def _rest(row: Document) -> Document:
    return {name: value for name, value in row.items() if name != "_id"}
