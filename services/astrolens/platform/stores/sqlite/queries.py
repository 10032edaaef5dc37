"""Pages of documents by keyset: page 1,000 costs what page 1 costs."""

import sqlite3
from typing import Any, Final

from astrolens.platform.stores.collections import DECLARATIONS, Collection
from astrolens.platform.stores.records import Page, Query, bad_cursor, decode_cursor, encode_cursor
from astrolens.platform.stores.sqlite.filters import column_of, where_sql
from astrolens.platform.stores.sqlite.projection import Projection

MAX_SORTED: Final = 20_000
"""Rows with a text that are sorted for a page. Of more, the walk in order meets enough among some thousands of rows."""

_Walk = tuple[list[str], list[Any]]
"""Conditions beside the query's own, and the values they bind."""


def find(db: sqlite3.Connection, collection: Collection, query: Query) -> Page:
    """One page of documents. In an order, the row number breaks ties; without one, documents go by id."""
    projection = Projection(DECLARATIONS[collection], query.fields)
    matching = _rows_of_text(db, collection, query) if query.order else None
    if matching == []:
        return Page([], None)
    conditions, values = where_sql(collection, query.where, frequent=query.order is not None and matching is None)
    if matching is not None:
        conditions.append(f"row IN ({', '.join(map(str, matching))})")
    order, tie = (column_of(collection, query.order.field), "row") if query.order else ("NULL", "id")
    way = "DESC" if query.order and query.order.descending else "ASC"
    sorting = f"{order} {way}, {tie} {way}" if query.order else f"{tie} {way}"
    rows: list[tuple[Any, ...]] = []
    for more_conditions, more_values in _walks(query, order):
        where = " AND ".join([*conditions, *more_conditions]) or "TRUE"
        room = query.limit + 1 - len(rows)
        rows += db.execute(
            f"SELECT {order}, {tie}, {', '.join(projection.columns)} FROM {collection} "  # noqa: S608
            f"WHERE {where} ORDER BY {sorting} LIMIT ?",
            (*values, *more_values, room),
        )
        if len(rows) > query.limit:
            break
    documents = [projection.document(row[2:]) for row in rows[: query.limit]]
    if len(rows) <= query.limit or not documents:
        return Page(documents, None)
    value, last, *_ = rows[query.limit - 1]
    return Page(documents, encode_cursor(query.order, value, str(last)))


def _rows_of_text(db: sqlite3.Connection, collection: Collection, query: Query) -> list[int] | None:
    """The rows with the text that a query looks for, None where it looks for none or they are many.

    The walk in the query's order would read every row of the collection to find a few. The index of the field finds how
    a text begins; of a part of one it is at least small.
    """
    clauses = [clause for clause in query.where if clause.op in {"prefix", "contains"}]
    if not clauses:
        return None
    conditions, values = where_sql(collection, clauses[:1])
    found = db.execute(
        f"SELECT row FROM {collection} WHERE {conditions[0]} LIMIT ?",  # noqa: S608
        (*values, MAX_SORTED + 1),
    ).fetchall()
    return None if len(found) > MAX_SORTED else [row for (row,) in found]


def _walks(query: Query, order: str) -> list[_Walk]:
    """The index walks of a page: behind a cursor first the rest of its ties, then what lies beyond."""
    if query.after is None:
        return [([f"{order} IS NOT NULL"] if query.order else [], [])]
    value, last = decode_cursor(query.after, query.order)
    if query.order is None:
        return [(["id > ?"], [last])]
    if not last.isdecimal():
        raise bad_cursor(query.after)
    beyond = "<" if query.order.descending else ">"
    return [([f"{order} = ?", f"row {beyond} ?"], [value, int(last)]), ([f"{order} {beyond} ?"], [value])]
