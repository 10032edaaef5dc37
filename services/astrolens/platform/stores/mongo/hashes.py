"""The hash index of a collection in MongoDB: two hidden fields of each document, and an index on them.

`_hash_keys` are the keys of the document's hash (see `platform.stores.hash_index`), `_hash_age` is larger in the
younger of two documents. The codec adds both and strips them.
"""

from collections.abc import Sequence

import pymongo
from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection

from astrolens.platform.stores.collections import Declaration
from astrolens.platform.stores.documents import get_path
from astrolens.platform.stores.hash_index import (
    KEY_LIMIT,
    KEYS_PER_HASH,
    distance,
    lookup_keys,
    nearest,
    parse_hash,
)
from astrolens.platform.stores.mongo.codec import HASH_AGE, HASH_KEYS, hash_keys, next_age, path_of
from astrolens.platform.stores.records import Document

INDEX = IndexModel([(HASH_KEYS, ASCENDING), (HASH_AGE, DESCENDING)], name="astrolens_hash")

_HASHES = 100
"""Hashes of one query: at most 160,000 keys, about 2 MB."""

_BULK = 500
"""Documents of one write while an archive is indexed."""

Candidate = tuple[int, str, int]
"""Age, id and hash of a stored document."""


async def near(
    collection: AsyncCollection[Document], field: str, hashes: Sequence[str], *, radius: int, limit: int
) -> list[list[tuple[str, int]]]:
    """For each hash the (id, distance) of the nearest documents.

    Args:
        collection: Where to look.
        field: Path of the hash in the stored documents.
        hashes: 16 hexadecimal digits each.
        radius: Largest distance, bits.
        limit: Most documents of one answer.
    """
    found: list[list[tuple[str, int]]] = []
    for start in range(0, len(hashes), _HASHES):
        values = [int(text, 16) for text in hashes[start : start + _HASHES]]
        room = KEY_LIMIT * len(values)
        shared = await _candidates(collection, field, [key for one in values for key in lookup_keys(one, radius)], room)
        for value in values:
            candidates = shared
            if len(shared) >= room:  # a crowded key took the room of the others
                candidates = await _newest(collection, field, value, radius)
            hits = [(distance(value, other), age, document_id) for age, document_id, other in candidates]
            found.append(nearest([hit for hit in hits if hit[0] <= radius], limit=limit))
    return found


async def _newest(collection: AsyncCollection[Document], field: str, value: int, radius: int) -> list[Candidate]:
    keys = lookup_keys(value, radius)
    return await _candidates(collection, field, keys, KEY_LIMIT * KEYS_PER_HASH, newest_first=True)


async def _candidates(
    collection: AsyncCollection[Document], field: str, keys: Sequence[int], limit: int, *, newest_first: bool = False
) -> list[Candidate]:
    """Documents under any of these keys, at most `limit`."""
    cursor = collection.find({HASH_KEYS: {"$in": sorted(set(keys))}}, {field: 1, HASH_AGE: 1}).limit(limit)
    if newest_first:
        cursor = cursor.sort(HASH_AGE, pymongo.DESCENDING)
    rows = await cursor.to_list(limit)
    return [
        (row[HASH_AGE], row["_id"], value) for row in rows if (value := parse_hash(get_path(row, field))) is not None
    ]


async def preserve_hash_ages(
    collection: AsyncCollection[Document], documents: Sequence[Document], session: AsyncClientSession | None
) -> None:
    """Give documents that replace stored ones the age of these."""
    ids = [document["_id"] for document in documents]
    rows = collection.find({"_id": {"$in": ids}}, {HASH_AGE: 1}, session=session)
    ages = {row["_id"]: row[HASH_AGE] async for row in rows}
    for document in documents:
        document[HASH_AGE] = ages.get(document["_id"], document[HASH_AGE])


async def index_hashes(collection: AsyncCollection[Document], declared: Declaration) -> None:
    """Add the hidden fields to documents of an earlier version, in bounded writes; a later start continues."""
    assert declared.hash_field is not None  # noqa: S101 - only such collections are asked for
    field = path_of(declared.hash_field, key=declared.key)
    missing = {HASH_AGE: {"$exists": False}}
    while rows := await collection.find(missing, {field: 1}).limit(_BULK).to_list(_BULK):
        updates = []
        for row in rows:
            value = get_path(row, field)
            keys = {HASH_KEYS: keys} if (keys := hash_keys(value)) else {}
            updates.append(
                UpdateOne({"_id": row["_id"], **missing, field: value}, {"$set": {HASH_AGE: next_age(), **keys}})
            )
        await collection.bulk_write(updates, ordered=False)
