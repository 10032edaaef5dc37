"""Collections, indexes and tallies in MongoDB, made from the declarations."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pymongo
from pymongo import ASCENDING, IndexModel, InsertOne, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import CollectionInvalid, OperationFailure

from astrolens.platform.errors import ConfigurationError
from astrolens.platform.stores.collections import BACKFILLS, DECLARATIONS, Backfill, Collection, Declaration
from astrolens.platform.stores.documents import get_path
from astrolens.platform.stores.mongo.codec import path_of
from astrolens.platform.stores.mongo.counters import TALLIES
from astrolens.platform.stores.mongo.errors import message_of
from astrolens.platform.stores.mongo.filters import PRESENT
from astrolens.platform.stores.mongo.hashes import INDEX as HASH_INDEX
from astrolens.platform.stores.mongo.hashes import index_hashes
from astrolens.platform.stores.mongo.outbox import INDEXES, outbox_name
from astrolens.platform.stores.records import Document
from astrolens.platform.stores.tallies import tally_key

Database = AsyncDatabase[dict[str, Any]]

COUNTED = "counted"
"""The MongoDB collection that says which tallies are kept."""

_SERVER_TIMEOUT_S = 5.0
"""Longest wait for a server at the start; the caller of `open` tries again."""

_INDEX_BUILD_TIMEOUT_S = 3_600.0
"""Longest building of the new indexes of a collection. A large archive takes minutes at an upgrade; the server goes on
with it where the client leaves, and whoever asks again waits for the same building."""

_BULK = 500
"""Documents of one write of a backfill."""

_INDEX_PREFIX = "astrolens_"
"""Prefix of our indexes; what others made is theirs."""

_INDEX_NOT_FOUND = 27
_CANNOT_BE_BUILT = frozenset({67, 85, 86, 171, 11000})
"""CannotCreateIndex, IndexOptionsConflict, IndexKeySpecsConflict, CannotIndexParallelArrays, DuplicateKey."""


async def prepare(database: Database) -> None:
    """Create the collections and indexes that are missing; write nothing where nothing is declared otherwise.

    Services start together: each finds or makes them.

    Raises:
        ConfigurationError: The server is no replica set, or an index cannot be built.
    """
    with pymongo.timeout(_SERVER_TIMEOUT_S):
        hello = await database.client.admin.command("hello")
    if not hello.get("setName") and hello.get("msg") != "isdbgrid":
        raise ConfigurationError(
            "ASTROLENS_RECORDS_URL: this MongoDB is a standalone server, without transactions; start it as a replica "
            "set (one member is enough: `--replSet rs0`, then `rs.initiate()`)"
        )
    present = set(await database.list_collection_names())
    # A transaction can write only into collections that exist.
    with_pending = [collection for collection, declared in DECLARATIONS.items() if declared.has_pending]
    needed = {*(collection.value for collection in DECLARATIONS), *map(outbox_name, with_pending), TALLIES, COUNTED}
    for name in needed - present:
        try:
            await database.create_collection(name)
        except CollectionInvalid:
            continue  # another service was faster
    for collection, declared in DECLARATIONS.items():
        await _index(database, collection.value, indexes(declared))
    for collection in with_pending:
        await _index(database, outbox_name(collection), list(INDEXES))
    await _index(database, TALLIES, [IndexModel([("of", ASCENDING), ("key", ASCENDING), ("n", ASCENDING)], name="of")])
    await _index_hashes(database)
    await _backfill(database)


async def _index_hashes(database: Database) -> None:
    """Enter the documents of an earlier version into the hash index, once."""
    for collection, declared in DECLARATIONS.items():
        if declared.hash_field is None:
            continue
        done = {"_id": f"{collection}.hashes", "hash_field": declared.hash_field}
        if await database[COUNTED].find_one(done) is None:
            await index_hashes(database[collection.value], declared)
            await database[COUNTED].replace_one({"_id": done["_id"]}, done, upsert=True)


async def _backfill(database: Database) -> None:
    """Compute numbers that the documents of an earlier version lack, once.

    It needs a start without older writers, whose documents would lack them again.
    """
    for collection, backfills in BACKFILLS.items():
        for backfill in backfills:
            done = {"_id": f"{collection}.{backfill.field}", "source": backfill.source}
            if await database[COUNTED].find_one(done) is None:
                await _fill(database[collection.value], backfill, key=DECLARATIONS[collection].key)
                await database[COUNTED].replace_one({"_id": done["_id"]}, done, upsert=True)


async def _fill(rows: AsyncCollection[Document], backfill: Backfill, *, key: str) -> None:
    """Walk once through the documents by id, in bounded reads and writes."""
    field, source = path_of(backfill.field, key=key), path_of(backfill.source, key=key)
    behind: Document = {}
    while (
        found := await rows.find({**behind, field: None, source: PRESENT["real"]}, {source: 1})
        .sort("_id")
        .limit(_BULK)
        .to_list(_BULK)
    ):
        await rows.bulk_write(
            [
                UpdateOne({"_id": row["_id"], field: None}, {"$set": {field: backfill.compute(get_path(row, source))}})
                for row in found
            ],
            ordered=False,
        )
        behind = {"_id": {"$gt": found[-1]["_id"]}}


def indexes(declared: Declaration) -> list[IndexModel]:
    """The indexes of a collection; the id at the end makes keyset paging an index walk."""
    models = []
    for fields in declared.indexes:
        keys = [(path_of(field, key=declared.key), ASCENDING) for field in fields]
        rare = declared.rare.intersection(fields[:1])
        options = {"partialFilterExpression": {keys[0][0]: PRESENT[declared.fields[fields[0]]]}} if rare else {}
        models.append(IndexModel([*keys, ("_id", ASCENDING)], name=_INDEX_PREFIX + "__".join(fields), **options))
    if declared.hash_field is not None:
        models.append(HASH_INDEX)
    return models


async def _index(database: Database, name: str, models: list[IndexModel]) -> None:
    """Build the indexes that are missing, and drop those of ours that are declared otherwise by now, or not at all."""
    if not models:
        return
    collection = database[name]
    wanted = {model.document["name"]: _definition(model.document) for model in models}
    present: set[str] = set()
    async for found in await collection.list_indexes():
        if _definition(found) == wanted.get(found["name"]):
            present.add(found["name"])
        elif found["name"].startswith(_INDEX_PREFIX):
            try:
                await collection.drop_index(found["name"])
            except OperationFailure as error:
                if error.code != _INDEX_NOT_FOUND:  # another service was faster
                    raise
    missing = [model for model in models if model.document["name"] not in present]
    if not missing:
        return
    try:
        with pymongo.timeout(_INDEX_BUILD_TIMEOUT_S):
            await collection.create_indexes(missing)
    except OperationFailure as error:
        if error.code not in _CANNOT_BE_BUILT:
            raise
        raise ConfigurationError(
            f"the record store cannot build an index of {name}: {message_of(error)}; "
            "drop the index or the documents in its way"
        ) from error


def _definition(index: Mapping[str, Any]) -> tuple[Any, ...]:
    return list(index["key"].items()), index.get("partialFilterExpression"), bool(index.get("sparse"))


async def collections_to_count(database: Database) -> list[Collection]:
    """The collections whose tallies were never counted as they are declared now."""
    known = {row["_id"]: row.get("tallies") async for row in database[COUNTED].find()}
    return [
        collection
        for collection, declared in DECLARATIONS.items()
        if declared.tallies and known.get(collection.value) != _tally_definitions(declared)
    ]


async def count_documents(
    database: Database, collection: Collection, name: str, session: AsyncClientSession | None = None
) -> Counter[str]:
    """What the counters of a tally should add up to, from the documents themselves."""
    declared = DECLARATIONS[collection]
    fields = declared.tallies[name]
    paths = {f"v{index}": f"${path_of(field, key=declared.key)}" for index, field in enumerate(fields)}
    counted: Counter[str] = Counter()
    groups = await database[collection.value].aggregate([{"$group": {"_id": paths, "n": {"$sum": 1}}}], session=session)
    async for group in groups:
        counted[tally_key([group["_id"].get(f"v{index}") for index in range(len(fields))])] += group["n"]
    return counted


async def recount(database: Database, collection: Collection, session: AsyncClientSession | None, _shard: int) -> None:
    """Count a collection anew inside a transaction: on the first start, and when a tally was added.

    A change of the declared tallies needs a start without older writers, which would not count them.
    """
    declared = DECLARATIONS[collection]
    known = await database[COUNTED].find_one({"_id": collection.value}, session=session)
    if known is not None and known["tallies"] == _tally_definitions(declared):
        return  # another service was faster
    tallies = database[TALLIES]
    await tallies.delete_many({"of": {"$gte": f"{collection}.", "$lt": f"{collection}/"}}, session=session)
    rows: list[InsertOne[Document]] = []
    for name in declared.tallies:
        counted = await count_documents(database, collection, name, session)
        of = f"{collection}.{name}"
        rows += [InsertOne({"_id": f"{of} {key} base", "of": of, "key": key, "n": n}) for key, n in counted.items()]
    if rows:
        await tallies.bulk_write(rows, session=session)
    await database[COUNTED].replace_one(
        {"_id": collection.value},
        {"_id": collection.value, "tallies": _tally_definitions(declared)},
        upsert=True,
        session=session,
    )


def _tally_definitions(declared: Declaration) -> dict[str, list[str]]:
    return {name: list(fields) for name, fields in declared.tallies.items()}
