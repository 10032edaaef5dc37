"""The hash index of a collection in SQLite: a side table of (key, row, hash), changed together with the documents."""

import sqlite3
from collections.abc import Sequence

from astrolens.platform.errors import UndeclaredField
from astrolens.platform.stores.collections import DECLARATIONS, Collection, Declaration
from astrolens.platform.stores.documents import get_path
from astrolens.platform.stores.hash_index import (
    KEY_LIMIT,
    distance,
    lookup_keys,
    nearest,
    parse_hash,
    stored_keys,
    to_signed,
)
from astrolens.platform.stores.records import Document

_CHUNK = 500
"""Rows in one statement: well below SQLite's limit of bound variables."""


def table_sql(collection: Collection) -> str:
    """The statement that creates the side table; `row` is the document's row number."""
    return (
        f"CREATE TABLE {table_name(collection)} (key INTEGER, row INTEGER, hash INTEGER NOT NULL, "
        "PRIMARY KEY (key, row)) WITHOUT ROWID"
    )


def table_name(collection: Collection) -> str:
    """The side table of a collection."""
    return f"{collection}_hashes"


def hash_of(declared: Declaration, document: Document) -> int | None:
    """The hash of a document; None where the collection has none or the document holds none."""
    return None if declared.hash_field is None else parse_hash(get_path(document, declared.hash_field))


def add_hash(db: sqlite3.Connection, collection: Collection, row: int, value: int) -> None:
    """Enter the hash of a document."""
    db.executemany(
        f"INSERT INTO {table_name(collection)} (key, row, hash) VALUES (?, ?, ?)",  # noqa: S608
        [(key, row, to_signed(value)) for key in stored_keys(value)],
    )


def remove_hash(db: sqlite3.Connection, collection: Collection, row: int, value: int) -> None:
    """Remove the hash of a document."""
    db.executemany(
        f"DELETE FROM {table_name(collection)} WHERE key = ? AND row = ?",  # noqa: S608
        [(key, row) for key in stored_keys(value)],
    )


def near(
    db: sqlite3.Connection, collection: Collection, hashes: Sequence[str], radius: int, limit: int
) -> list[list[tuple[str, int]]]:
    """For each hash the (id, distance) of the nearest documents.

    Raises:
        UndeclaredField: The collection has no hash.
    """
    if DECLARATIONS[collection].hash_field is None:
        raise UndeclaredField(collection, "hash")
    found = [_near_rows(db, collection, int(text, 16), radius)[:limit] for text in hashes]
    ids = _ids(db, collection, sorted({row for hits in found for _, row in hits}))
    return [nearest([(bits, row, ids[row]) for bits, row in hits], limit=limit) for hits in found]


def _near_rows(db: sqlite3.Connection, collection: Collection, value: int, radius: int) -> list[tuple[int, int]]:
    """(distance, row), nearest and oldest first. No document is read for it."""
    newest = f"SELECT row, hash FROM {table_name(collection)} WHERE key = ? ORDER BY row DESC LIMIT {KEY_LIMIT}"  # noqa: S608
    stored: dict[int, int] = {}
    for key in lookup_keys(value, radius):
        stored.update(db.execute(newest, (key,)))
    distances = ((distance(value, other), row) for row, other in stored.items())
    return sorted(hit for hit in distances if hit[0] <= radius)


def _ids(db: sqlite3.Connection, collection: Collection, rows: Sequence[int]) -> dict[int, str]:
    ids: dict[int, str] = {}
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        marks = ", ".join("?" * len(chunk))
        ids.update(db.execute(f"SELECT row, id FROM {collection} WHERE row IN ({marks})", chunk))  # noqa: S608
    return ids
