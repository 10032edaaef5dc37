"""How many bytes the record store takes for a record, as far as the engine tells."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pymongo
from astrolens.platform.stores.collections import DECLARATIONS, Collection
from pymongo.errors import PyMongoError

COUNTED = (Collection.IMAGES, Collection.RECEIPTS, Collection.ALERTS)
"""The collections that grow with the archive."""
_ANSWER_S = 120.0


def of_sqlite(folder: Path, records: Path) -> dict[str, Any]:
    """Bytes of an archive's folder, and of each collection with its indexes.

    Args:
        folder: Where the archive's files lie, and nothing else.
        records: The database among them.
    """
    whole = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    collections: dict[str, int] = {}
    with closing(sqlite3.connect(f"file:{records}?mode=ro", uri=True)) as db:
        (page_size,) = db.execute("PRAGMA page_size").fetchone()
        try:
            # Counted in pages: as bytes, dbstat's own sum of a large table overflows 32 bits.
            rows = db.execute(
                "SELECT coalesce(m.tbl_name, d.name), sum(d.pageno) FROM dbstat d LEFT JOIN sqlite_master m "
                "ON m.name = d.name WHERE d.aggregate = TRUE GROUP BY 1"
            ).fetchall()
        except sqlite3.OperationalError:  # this SQLite was built without dbstat
            rows = []
    for table, pages in rows:
        owner = _owner(table)
        collections[owner] = collections.get(owner, 0) + pages * page_size
    return {"bytes": whole, "bytes_by_collection": collections}


def _owner(table: str) -> str:
    """The collection that a table belongs to; an adapter may keep large fields in tables beside it."""
    names = [collection.value for collection in DECLARATIONS]
    return next((name for name in sorted(names, key=len, reverse=True) if table.startswith(name)), "other")


def of_mongodb(url: str) -> dict[str, Any]:
    """Bytes on disk of a database and its collections with their indexes; empty where the server does not tell."""
    collections: dict[str, int] = {}
    try:
        with pymongo.MongoClient[dict[str, Any]](url, serverSelectionTimeoutMS=5_000) as client:
            database = client.get_default_database()
            with pymongo.timeout(_ANSWER_S):
                for name in database.list_collection_names():
                    told = database.command("collStats", name)
                    size = int(told.get("storageSize") or 0) + int(told.get("totalIndexSize") or 0)
                    owner = _owner(name)
                    collections[owner] = collections.get(owner, 0) + size
    except PyMongoError as error:
        return {"bytes_unknown": f"{type(error).__name__}: {error}"[:200]}
    return {"bytes": sum(collections.values()), "bytes_by_collection": collections}


def a_record(sizes: Mapping[str, Any], counts: Mapping[str, int]) -> dict[str, float]:
    """Bytes an image with all that belongs to it, and bytes a document of each collection.

    Args:
        sizes: As one of the functions above tells.
        counts: Documents by collection.
    """
    found: dict[str, float] = {}
    if sizes.get("bytes") and counts.get(Collection.IMAGES):
        found["image, receipt and alert"] = sizes["bytes"] / counts[Collection.IMAGES]
    for name in COUNTED:
        size = sizes.get("bytes_by_collection", {}).get(name.value)
        if size and counts.get(name):
            found[name.value] = size / counts[name]
    return {name: round(value) for name, value in found.items()}
