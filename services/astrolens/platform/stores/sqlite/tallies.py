"""Tallies in SQLite: counters that are changed in the transaction of the documents they count."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from json import loads

from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.tallies import Increments, tally_key

TABLE = (
    "CREATE TABLE IF NOT EXISTS tallies (collection TEXT, name TEXT, key TEXT, n INTEGER NOT NULL, "
    "PRIMARY KEY (collection, name, key)) WITHOUT ROWID"
)

_ADD = (
    "INSERT INTO tallies (collection, name, key, n) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (collection, name, key) DO UPDATE SET n = n + excluded.n"
)


def add(db: sqlite3.Connection, collection: Collection, increments: Increments) -> None:
    """Write increments."""
    db.executemany(_ADD, [(collection, name, key, step) for (name, key), step in increments.items() if step])


def read(db: sqlite3.Connection, wanted: Sequence[tuple[Collection, str]]) -> list[dict[tuple[str, ...], int]]:
    """Several tallies, of one moment."""
    query = "SELECT key, n FROM tallies WHERE collection = ? AND name = ? AND n > 0"
    db.execute("BEGIN")  # one snapshot, so that the books balance while others write
    try:
        return [{tuple(loads(key)): n for key, n in db.execute(query, of)} for of in wanted]
    finally:
        db.execute("COMMIT")


def grouped(db: sqlite3.Connection, collection: Collection, expressions: Sequence[str]) -> dict[tuple[str, ...], int]:
    """Count the documents of a collection by the SQL expressions of some values."""
    values = ", ".join(expressions)
    places = ", ".join(str(place + 1) for place in range(len(expressions)))
    counts: Counter[tuple[str, ...]] = Counter()
    for *key, n in db.execute(f"SELECT {values}, count(*) FROM {collection} GROUP BY {places}"):  # noqa: S608
        counts[tuple(loads(tally_key(key)))] += n
    return dict(counts)


def recount(db: sqlite3.Connection, collection: Collection, tallies: dict[str, list[str]]) -> None:
    """Count a collection anew.

    Args:
        db: In a transaction.
        collection: What to count.
        tallies: By name, the SQL expressions of the values that are counted by.
    """
    db.execute("DELETE FROM tallies WHERE collection = ?", (collection,))
    increments: Increments = Counter()
    for name, expressions in tallies.items():
        for key, n in grouped(db, collection, expressions).items():
            increments[name, tally_key(key)] += n
    add(db, collection, increments)
