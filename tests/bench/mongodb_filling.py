"""Fills a large archive into a MongoDB database, faster than through the record store.

The record store writes each bulk in a transaction that looks up what is there, counts tallies and enters each document
into some forty indexes. A new database needs none of that: documents are inserted as they are, another process makes
the next block meanwhile, and indexes and tallies are made once at the end. A document of the database says how far the
filling came, so that it goes on where it was cut off, and that a finished one costs one read.
"""

import asyncio
import multiprocessing
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import bson
import pymongo
from astrolens.platform.stores.collections import DECLARATIONS, Collection
from astrolens.platform.stores.mongo.codec import to_mongo
from astrolens.platform.stores.mongo.counters import TALLIES
from astrolens.platform.stores.mongo.hashes import INDEX as HASH_INDEX
from astrolens.platform.stores.mongo.schema import indexes
from astrolens.platform.stores.open import record_store
from astrolens.platform.stores.tallies import Increments, count
from bson.raw_bson import RawBSONDocument
from pymongo.errors import BulkWriteError

from tests.bench import archive
from tests.bench.archive import Model
from tests.bench.archive_filling import blocks
from tests.bench.sizes import COUNTED

_PROGRESS = "growth_filling"
"""The collection of the one document that says how far the filling came."""
_MAX_QUEUED = 2
"""Blocks that are made while one is inserted."""
_DUPLICATE_KEY = 11000

Database = pymongo.database.Database[dict[str, Any]]


@dataclass(frozen=True)
class _Rows:
    """The documents of one block as BSON, and how they are counted."""

    documents: dict[Collection, list[bytes]]
    tallies: dict[Collection, Increments]


def fill(
    url: str, model: Model, size: int, *, report: Callable[[str], None] = lambda _: None, limit_s: float = 3_600.0
) -> float:
    """Put an archive of `size` images into a database of its own.

    Returns:
        Images put a second; 0 where all were there.

    Raises:
        TimeoutError: It took longer than `limit_s`; calling again goes on.
    """
    with pymongo.MongoClient[dict[str, Any]](url, serverSelectionTimeoutMS=10_000) as client:
        database = client.get_default_database()
        progress = database[_PROGRESS].find_one({"_id": size}) or {"blocks": 0, "tallies": []}
        if progress.get("finished_at"):
            return 0.0
        if not progress["blocks"]:
            asyncio.run(_create_collections(url))
            _drop_indexes(database)
        counted: Increments = Counter({(row["of"], row["key"]): row["n"] for row in progress["tallies"]})
        began = said = time.monotonic()
        done, finished = 0, progress["blocks"]
        with ThreadPoolExecutor(2) as inserters:
            for number, rows in _made(model, size, start=progress["blocks"]):
                inserts = [
                    inserters.submit(_insert, database, name, documents) for name, documents in rows.documents.items()
                ]
                for each in inserts:
                    each.result()
                for collection, increments in rows.tallies.items():
                    counted.update({(f"{collection}.{name}", key): n for (name, key), n in increments.items()})
                finished = number + 1
                _note(database, size, blocks=finished, tallies=counted)
                done += len(rows.documents[Collection.IMAGES])
                now = time.monotonic()
                if now - began > limit_s:
                    raise TimeoutError(f"{number + 1} blocks of {archive.BLOCK:,} images in {now - began:.0f} s")
                if now - said > 10:
                    there = number * archive.BLOCK + len(rows.documents[Collection.IMAGES])
                    report(f"{there:,} of {size:,} images, {done / (now - began):,.0f}/s")
                    said = now
        _create_indexes(database, report)
        _write_tallies(database, counted)
        _note(database, size, blocks=finished, tallies=counted, finished_at=time.time())
        return done / (time.monotonic() - began)


async def _create_collections(url: str) -> None:
    """Open the store once, which makes its collections and notes that no old document lacks anything."""
    records = record_store(url)
    await records.open()
    await records.close()


def _drop_indexes(database: Database) -> None:
    """With all indexes at once each insert touches forty places of one B-tree, which is soon larger than the cache.

    One index after the other takes 25 microseconds a document, mostly to read it; the cache holds each as a whole.
    Only the index of hashes stays: it has several entries a document, and the stand-in, which builds an index in one
    transaction, tries again for ever where the entries of a million do not fit into its cache.
    """
    for name in COUNTED:
        for index in database[name.value].index_information():
            if index not in {"_id_", HASH_INDEX.document["name"]}:
                database[name.value].drop_index(index)


def _create_indexes(database: Database, report: Callable[[str], None]) -> None:
    began = time.monotonic()
    for name in COUNTED:
        present = database[name.value].index_information()
        for model in indexes(DECLARATIONS[name]):
            if (label := model.document["name"]) not in present:
                database[name.value].create_indexes([model])
                report(f"{time.monotonic() - began:,.0f} s: {name.value}, {label}")


def _made(model: Model, size: int, *, start: int) -> Iterator[tuple[int, _Rows]]:
    """Blocks from `start` on, in order, made by another process."""
    context = multiprocessing.get_context("spawn")
    wanted = list(blocks(size, start=start * archive.BLOCK))
    with ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(model,)) as maker:
        ahead: deque[tuple[int, Future[_Rows]]] = deque()
        for number, images in wanted:
            ahead.append((number, maker.submit(_rows, number, images)))
            if len(ahead) > _MAX_QUEUED:
                first, made = ahead.popleft()
                yield first, made.result()
        for number, made in ahead:
            yield number, made.result()


_model: Model | None = None


def _begin(model: Model) -> None:
    global _model  # noqa: PLW0603 - the one model of this child process
    _model = model


def _rows(number: int, size: int) -> _Rows:
    assert _model is not None
    made = archive.block(_model, number, size)
    documents = {
        Collection.IMAGES: made.images,
        Collection.RECEIPTS: made.receipts,
        Collection.ALERTS: made.alerts,
    }
    rows = _Rows({}, {})
    for name, each in documents.items():
        declared = DECLARATIONS[name]
        increments: Increments = Counter()
        for document in each:
            count(increments, declared, document, +1)
        rows.documents[name] = [bson.encode(to_mongo(declared, document)) for document in each]
        rows.tallies[name] = increments
    return rows


def _insert(database: Database, name: Collection, documents: list[bytes]) -> None:
    """Insert what is absent: of a block that was cut off, some are there."""
    if not documents:
        return
    try:
        database[name.value].insert_many(map(RawBSONDocument, documents), ordered=False)
    except BulkWriteError as error:
        if any(each["code"] != _DUPLICATE_KEY for each in error.details["writeErrors"]):
            raise


def _note(database: Database, size: int, *, blocks: int, tallies: Increments, finished_at: float | None = None) -> None:
    counters = [{"of": of, "key": key, "n": n} for (of, key), n in sorted(tallies.items())]
    row = {"_id": size, "blocks": blocks, "tallies": counters, "finished_at": finished_at}
    database[_PROGRESS].replace_one({"_id": size}, row, upsert=True)


def _write_tallies(database: Database, counted: Increments) -> None:
    """The counters as a first start on these documents would write them."""
    updates = [
        pymongo.UpdateOne({"_id": f"{of} {key} base"}, {"$set": {"of": of, "key": key, "n": n}}, upsert=True)
        for (of, key), n in sorted(counted.items())
    ]
    database[TALLIES].bulk_write(updates)
