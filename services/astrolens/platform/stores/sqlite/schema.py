"""Tables, indexes and tallies of the SQLite record store, made from the declarations and rebuilt when they change."""

import sqlite3
from collections import Counter
from json import dumps, loads
from typing import TYPE_CHECKING

from astrolens.platform.stores.collections import DECLARATIONS, Collection, Declaration
from astrolens.platform.stores.documents import get_path
from astrolens.platform.stores.sqlite.hashes import add_hash, hash_of, table_name, table_sql

if TYPE_CHECKING:
    from astrolens.platform.stores.records import Document

_TYPES = {"text": "TEXT", "real": "REAL", "bool": "INTEGER"}


def column(field: str) -> str:
    """The column of a dotted field."""
    return "f_" + field.replace(".", "__")


def tally_key(document: "Document", fields: tuple[str, ...]) -> str:
    """The key a document is counted under; an absent value counts as the empty text."""
    values = (get_path(document, name) for name in fields)
    return dumps(["" if value is None else str(value) for value in values])


def prepare(db: sqlite3.Connection) -> None:
    """Create what is missing; rebuild columns and tallies of collections whose declaration changed."""
    db.execute("BEGIN IMMEDIATE")  # services start together: the first one does it, the others find it done
    try:
        db.execute("CREATE TABLE IF NOT EXISTS schema (collection TEXT PRIMARY KEY, declaration TEXT NOT NULL)")
        db.execute(
            "CREATE TABLE IF NOT EXISTS tallies (collection TEXT, name TEXT, key TEXT, n INTEGER NOT NULL, "
            "PRIMARY KEY (collection, name, key)) WITHOUT ROWID"
        )
        present = dict(db.execute("SELECT collection, declaration FROM schema").fetchall())
        for collection, declared in DECLARATIONS.items():
            if present.get(collection.value) != repr(declared):
                _build(db, collection, declared)
                db.execute("INSERT OR REPLACE INTO schema VALUES (?, ?)", (collection.value, repr(declared)))
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _build(db: sqlite3.Connection, collection: Collection, declared: Declaration) -> None:
    old = f"{collection}_old"
    exists = db.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (collection.value,)).fetchone()
    if exists:
        db.execute(f"ALTER TABLE {collection} RENAME TO {old}")
        for (name,) in db.execute(
            "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL", (old,)
        ).fetchall():
            db.execute(f"DROP INDEX {name}")
    columns = [f"{column(name)} {_TYPES[kind]}" for name, kind in declared.fields.items()]
    if declared.has_pending:
        columns.append("pending_since TEXT")
    db.execute(f"CREATE TABLE {collection} ({', '.join(['id TEXT PRIMARY KEY', 'doc TEXT NOT NULL', *columns])})")
    for fields in declared.indexes:
        names = [column(name) for name in fields]
        # The id at the end makes keyset paging an index walk.
        listed = ", ".join([*names, "id"])
        condition = f" WHERE {names[0]} IS NOT NULL" if fields[0] in declared.rare else ""
        db.execute(f"CREATE INDEX {collection}_{'_'.join(names)} ON {collection} ({listed}){condition}")
    if declared.has_pending:
        db.execute(f"CREATE INDEX {collection}_pending ON {collection} (pending_since) WHERE pending_since IS NOT NULL")
    if declared.hash_field is not None:
        db.execute(f"DROP TABLE IF EXISTS {table_name(collection)}")
        db.execute(table_sql(collection))
    if exists:
        _copy(db, collection, declared, old)
        db.execute(f"DROP TABLE {old}")


def _copy(db: sqlite3.Connection, collection: Collection, declared: Declaration, old: str) -> None:
    tally: Counter[tuple[str, str]] = Counter()
    fields = list(declared.fields)
    names = ["id", "doc", *(column(name) for name in fields), *(["pending_since"] if declared.has_pending else [])]
    insert = f"INSERT INTO {collection} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608
    for (text,) in db.execute(f"SELECT doc FROM {old}").fetchall():  # noqa: S608
        document = loads(text)
        pending = [("rebuilt" if document.get("pending") else None)] if declared.has_pending else []
        values = (document[declared.key], text, *(get_path(document, name) for name in fields), *pending)
        row = db.execute(insert, values).lastrowid
        if (value := hash_of(declared, document)) is not None and row is not None:
            add_hash(db, collection, row, value)
        for name, counted in declared.tallies.items():
            tally[name, tally_key(document, counted)] += 1
    db.execute("DELETE FROM tallies WHERE collection = ?", (collection.value,))
    db.executemany(
        "INSERT INTO tallies VALUES (?, ?, ?, ?)",
        [(collection.value, name, key, n) for (name, key), n in tally.items()],
    )
