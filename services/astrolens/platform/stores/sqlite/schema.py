"""Tables, indexes, tallies and hashes of the SQLite record store, made from the declarations.

Opening only reads, and compares the declarations with those that the file was made for. What differs is changed by SQL,
in one transaction: no document passes through Python's memory.
"""

import json
import sqlite3
from dataclasses import asdict
from typing import Any, Final

import structlog

from astrolens.platform.errors import PermanentError
from astrolens.platform.stores import binary
from astrolens.platform.stores.collections import BACKFILLS, DECLARATIONS, Collection, Declaration
from astrolens.platform.stores.hash_index import KEYS_PER_HASH, parse_hash, stored_key, to_signed
from astrolens.platform.stores.sqlite import hashes, tallies
from astrolens.platform.stores.sqlite.columns import (
    Column,
    binary_column_name,
    binary_columns,
    column_name,
    counted,
    doc_without_binary,
    extract,
    field_columns,
    index_sql,
    json_path,
    table_sql,
)

_log = structlog.get_logger(__name__)

LAYOUT: Final = 2
"""Changes when the same declarations make other tables. 1 had no row numbers, `doc` first, and no binary columns."""

_Stored = dict[str, Any]
"""A declaration as the file keeps it."""


def prepare(db: sqlite3.Connection) -> None:
    """Create what is missing and change what is declared otherwise by now; write nothing where nothing differs.

    Services start together: one does it, the others wait for its transaction and find it done.
    """
    if not _differing(db):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        db.execute("CREATE TABLE IF NOT EXISTS schema (collection TEXT PRIMARY KEY, declaration TEXT NOT NULL)")
        db.execute(tallies.TABLE)
        _create_functions(db)
        for collection, stored in _differing(db).items():
            declared = DECLARATIONS[collection]
            _upgrade(db, collection, declared, stored)
            text = json.dumps(_to_store(declared))
            db.execute("INSERT OR REPLACE INTO schema VALUES (?, ?)", (collection, text))
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _differing(db: sqlite3.Connection) -> dict[Collection, _Stored | None]:
    """The collections that the file keeps otherwise than declared, and how; None for not at all, or in layout 1."""
    known: dict[str, _Stored | None] = {}
    if _exists(db, "schema"):
        for name, text in db.execute("SELECT collection, declaration FROM schema"):
            known[name] = json.loads(text) if text.startswith("{") else None
    return {
        collection: known.get(collection)
        for collection, declared in DECLARATIONS.items()
        if known.get(collection) != _to_store(declared)
    }


def _to_store(declared: Declaration) -> _Stored:
    """Equal for equal declarations in every process: sets are sorted."""
    values = {
        name: sorted(value) if isinstance(value, frozenset) else value for name, value in asdict(declared).items()
    }
    stored: _Stored = json.loads(json.dumps({"layout": LAYOUT, **values}))
    return stored


def _upgrade(db: sqlite3.Connection, collection: Collection, declared: Declaration, stored: _Stored | None) -> None:
    before = stored or {}
    if not _exists(db, collection):
        db.execute(table_sql(collection, declared))
    else:
        _log.info("changes a table for its new declaration", collection=collection.value)
        _change_table(db, collection, declared, binary_before=set(before.get("binary", ())))
        _backfill(db, collection, declared, fields_before=set(before.get("fields", ())))
    present = _indexes(db, collection)
    for name, statement in index_sql(collection, declared).items():
        if name not in present:
            db.execute(statement)
    if before.get("tallies") != _to_store(declared)["tallies"]:
        values = {name: [counted(declared, field) for field in fields] for name, fields in declared.tallies.items()}
        tallies.recount(db, collection, values)
    if before.get("hash_field") != declared.hash_field or stored is None:
        _fill_hashes(db, collection, declared)


def _change_table(
    db: sqlite3.Connection, collection: Collection, declared: Declaration, *, binary_before: set[str]
) -> None:
    """Bring the columns of an existing table to the declaration; drop the indexes that are no longer declared so."""
    if "row" not in _columns(db, collection):
        _copy_from_layout_1(db, collection, declared)
        return
    _drop_indexes(db, collection, keep=index_sql(collection, declared))
    _put_back_binary(db, collection, binary_before - declared.binary)
    _change_columns(db, collection, declared)


def _copy_from_layout_1(db: sqlite3.Connection, collection: Collection, declared: Declaration) -> None:
    """Move every document into a table of today's layout, in the order in which they came."""
    old = f"{collection}_layout_1"
    db.execute(f"ALTER TABLE {collection} RENAME TO {old}")
    _drop_indexes(db, old, keep={})
    db.execute(table_sql(collection, declared))
    columns = [*field_columns(declared), *binary_columns(declared)]
    names = ", ".join(["row", "id", "doc", *(column.name for column in columns)])
    values = ", ".join(["rowid", "id", doc_without_binary(declared), *(column.expression for column in columns)])
    db.execute(f"INSERT INTO {collection} ({names}) SELECT {values} FROM {old} ORDER BY rowid")  # noqa: S608
    db.execute(f"DROP TABLE {old}")


def _change_columns(db: sqlite3.Connection, collection: Collection, declared: Declaration) -> None:
    """Drop columns that are not declared (so) any more; add new ones, which stand last in the row, and fill them."""
    wanted = {column.name: column for column in [*field_columns(declared), *binary_columns(declared)]}
    present = _columns(db, collection)
    for name, kind in present.items():
        if name not in {"row", "id", "doc"} and (name not in wanted or wanted[name].type != kind):
            for index, statement in _indexes(db, collection).items():
                if name in statement:  # SQLite drops no column that an index names; it is made again if it is declared
                    db.execute(f"DROP INDEX {index}")
            db.execute(f"ALTER TABLE {collection} DROP COLUMN {name}")
    new = [column for column in wanted.values() if present.get(column.name) != column.type]
    for column in new:
        db.execute(f"ALTER TABLE {collection} ADD COLUMN {column.name} {column.type}")
    if new:
        _fill_columns(db, collection, declared, new)


def _fill_columns(db: sqlite3.Connection, collection: Collection, declared: Declaration, new: list[Column]) -> None:
    filled = [f"{column.name} = {column.expression}" for column in new]
    if any(column.type == "BLOB" for column in new):
        filled.append(f"doc = {doc_without_binary(declared)}")
    db.execute(f"UPDATE {collection} SET {', '.join(filled)}")  # noqa: S608


def _backfill(
    db: sqlite3.Connection, collection: Collection, declared: Declaration, *, fields_before: set[str]
) -> None:
    """Compute newly declared numbers that documents of older versions lack."""
    for number, backfill in enumerate(BACKFILLS.get(collection, ())):
        if backfill.field in fields_before or not declared.fields.keys() >= {backfill.field, backfill.source}:
            continue
        db.create_function(f"backfill_{number}", 1, backfill.compute, deterministic=True)
        column, source = column_name(backfill.field), column_name(backfill.source)
        value = f"backfill_{number}({source})"
        db.execute(
            f"UPDATE {collection} SET {column} = {value}, doc = json_set(doc, {json_path(backfill.field)}, {value}) "  # noqa: S608
            f"WHERE {column} IS NULL AND {source} IS NOT NULL"
        )


def _put_back_binary(db: sqlite3.Connection, collection: Collection, fields: set[str]) -> None:
    """Write fields that are no longer declared as binary into the documents again."""
    for field in fields:
        column = binary_column_name(field)
        db.execute(
            f"UPDATE {collection} SET doc = json_set(doc, {json_path(field)}, to_base64({column})) "  # noqa: S608
            f"WHERE {column} IS NOT NULL"
        )


def _fill_hashes(db: sqlite3.Connection, collection: Collection, declared: Declaration) -> None:
    """Make the side table of hashes anew; SQLite sorts the keys, in files where they are many."""
    table = hashes.table_name(collection)
    db.execute(f"DROP TABLE IF EXISTS {table}")
    if declared.hash_field is None:
        return
    db.execute(hashes.table_sql(collection))
    numbers = ", ".join(f"({number})" for number in range(KEYS_PER_HASH))
    value = f"hash_number({extract(declared.hash_field)})"
    db.execute(
        f"WITH numbers (number) AS (VALUES {numbers}), "  # noqa: S608
        f"found (row, hash) AS MATERIALIZED (SELECT row, {value} FROM {collection}) "
        f"INSERT INTO {table} (key, row, hash) SELECT hash_key(hash, number), row, hash FROM found, numbers "
        "WHERE hash IS NOT NULL ORDER BY 1, 2"
    )


def _create_functions(db: sqlite3.Connection) -> None:
    def number(text: Any) -> int | None:
        value = parse_hash(text)
        return None if value is None else to_signed(value)

    def from_base64(text: Any) -> bytes | None:
        try:
            return binary.from_base64(text)
        except PermanentError:
            return None  # no reader could use it before either

    db.create_function("hash_number", 1, number, deterministic=True)
    db.create_function("hash_key", 2, stored_key, deterministic=True)
    db.create_function("from_base64", 1, from_base64, deterministic=True)
    db.create_function("to_base64", 1, binary.to_base64, deterministic=True)


def _exists(db: sqlite3.Connection, table: str) -> bool:
    found = db.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)).fetchone()
    return found is not None


def _columns(db: sqlite3.Connection, table: str) -> dict[str, str]:
    """The columns of a table and their types."""
    return dict(db.execute("SELECT name, type FROM pragma_table_info(?)", (table,)))


def _indexes(db: sqlite3.Connection, table: str) -> dict[str, str]:
    """The indexes of a table, and the statements that made them; not those of its keys."""
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL"
    return dict(db.execute(query, (table,)))


def _drop_indexes(db: sqlite3.Connection, table: str, *, keep: dict[str, str]) -> None:
    for name, statement in _indexes(db, table).items():
        if keep.get(name) != statement:
            db.execute(f"DROP INDEX {name}")
