"""Counts of documents that fulfil conditions, within bounds of number and time."""

import sqlite3
from collections.abc import Sequence
from time import monotonic
from typing import Final

from astrolens.platform.stores.collections import DECLARATIONS, Collection
from astrolens.platform.stores.records import Clause
from astrolens.platform.stores.sqlite.filters import where_sql

_STEPS: Final = 20_000
"""Steps of SQLite's virtual machine, a fraction of a millisecond, between two looks at the clock."""


def count(
    db: sqlite3.Connection, collection: Collection, where: Sequence[Clause], *, limit: int, within_s: float
) -> int | None:
    """How many documents fulfil all conditions, at most `limit`; None where counting takes longer than `within_s`."""
    key = DECLARATIONS[collection].key
    # The planner holds an equality for rarer than a range of keys, and walks whole rows to find a part of a text,
    # though the index of the field holds all it needs: what these fulfil is found first, by their own index.
    texts = [clause for clause in where if clause.op in {"prefix", "contains"}]
    first = [clause for clause in where if clause.field == key] or texts[:1]
    by_index, index_values = where_sql(collection, first)
    others, other_values = where_sql(collection, [clause for clause in where if clause not in first])
    condition = " AND ".join(others) or "TRUE"
    if by_index and others:
        counted = (
            f"WITH chosen AS MATERIALIZED (SELECT row FROM {collection} WHERE {' AND '.join(by_index)}) "  # noqa: S608
            f"SELECT 1 FROM chosen CROSS JOIN {collection} USING (row) WHERE {condition}"
        )
    else:
        condition = " AND ".join([*by_index, *others]) or "TRUE"
        counted = f"SELECT 1 FROM {collection} WHERE {condition}"  # noqa: S608
    deadline = monotonic() + within_s
    db.set_progress_handler(lambda: monotonic() > deadline, _STEPS)
    try:
        (found,) = db.execute(
            f"SELECT count(*) FROM ({counted} LIMIT ?)",  # noqa: S608
            (*index_values, *other_values, limit),
        ).fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return None
    finally:
        db.set_progress_handler(None, 0)
    return int(found)
