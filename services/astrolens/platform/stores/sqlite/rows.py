"""Documents as rows: insert, change, replace, delete and read them, with their tallies and hashes.

SQLite has no field-level update language worth mirroring, so a change reads, changes and writes the document inside one
transaction.
"""

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from json import dumps, loads
from typing import Any

from astrolens.contracts.records import PendingEvent
from astrolens.platform.stores.binary import detach
from astrolens.platform.stores.collections import DECLARATIONS, Collection
from astrolens.platform.stores.documents import apply_change, matches, touches
from astrolens.platform.stores.records import Change, Document
from astrolens.platform.stores.sqlite import tallies
from astrolens.platform.stores.sqlite.columns import binary_column_name, column_values
from astrolens.platform.stores.sqlite.hashes import add_hash, hash_of, remove_hash
from astrolens.platform.stores.sqlite.projection import Projection
from astrolens.platform.stores.tallies import Increments, count

CHUNK = 500
"""Ids in one statement: well below SQLite's limit of bound variables."""

Binary = dict[str, bytes | None]
"""The bytes of binary fields, by field; None clears one."""


def insert(db: sqlite3.Connection, collection: Collection, documents: Sequence[Document]) -> set[str]:
    """Put documents that are absent; return the ids that are new."""
    declared = DECLARATIONS[collection]
    counted: Increments = Counter()
    new: set[str] = set()
    for whole in documents:
        document, binary = detach(declared, whole)
        values = {
            "id": document[declared.key],
            **column_values(declared, document),
            "doc": _text(document),
            **_binary_values(binary),
        }
        marks = ", ".join("?" * len(values))
        cursor = db.execute(
            f"INSERT INTO {collection} ({', '.join(values)}) VALUES ({marks}) ON CONFLICT (id) DO NOTHING",  # noqa: S608
            list(values.values()),
        )
        if cursor.rowcount:
            new.add(document[declared.key])
            count(counted, declared, document, +1)
            if (value := hash_of(declared, document)) is not None and cursor.lastrowid is not None:
                add_hash(db, collection, cursor.lastrowid, value)
    tallies.add(db, collection, counted)
    return new


def upsert(db: sqlite3.Connection, collection: Collection, documents: Sequence[Document]) -> None:
    """Put or replace whole documents."""
    declared = DECLARATIONS[collection]
    latest = {document[declared.key]: document for document in documents}
    existing = get(db, collection, list(latest))
    counted: Increments = Counter()
    for document_id, old in existing.items():
        _replace(db, collection, old, *detach(declared, latest[document_id]), counted)
    tallies.add(db, collection, counted)
    insert(db, collection, [document for document_id, document in latest.items() if document_id not in existing])


def apply(db: sqlite3.Connection, collection: Collection, changes: Sequence[Change]) -> set[str]:
    """Change documents; return the ids that exist and whose guard held."""
    declared = DECLARATIONS[collection]
    before = get(db, collection, [change.id for change in changes])
    after = dict(before)
    changed_binary: dict[str, set[str]] = {}
    for change in changes:
        document = after.get(change.id)
        if document is None or not all(matches(document, clause) for clause in change.when):
            continue
        after[change.id] = apply_change(document, change)
        touched = {field for field in declared.binary if touches(change, field)}
        changed_binary.setdefault(change.id, set()).update(touched)
    counted: Increments = Counter()
    for document_id, fields in changed_binary.items():
        document, binary = detach(declared, after[document_id])
        changed = {field: data for field, data in binary.items() if field in fields}
        _replace(db, collection, before[document_id], document, changed, counted)
    tallies.add(db, collection, counted)
    return set(changed_binary)


def delete(db: sqlite3.Connection, collection: Collection, ids: Sequence[str]) -> int:
    """Remove documents; return how many there were."""
    declared = DECLARATIONS[collection]
    existing = get(db, collection, ids)
    counted: Increments = Counter()
    for document_id, document in existing.items():
        _update_hash(db, collection, document, None)
        db.execute(f"DELETE FROM {collection} WHERE id = ?", (document_id,))  # noqa: S608
        count(counted, declared, document, -1)
    tallies.add(db, collection, counted)
    return len(existing)


def get(
    db: sqlite3.Connection, collection: Collection, ids: Sequence[str], fields: Sequence[str] = ()
) -> dict[str, Document]:
    """Documents by id; absent ones are left out."""
    projection = Projection(DECLARATIONS[collection], fields)
    found: dict[str, Document] = {}
    for start in range(0, len(ids), CHUNK):
        chunk = ids[start : start + CHUNK]
        rows = db.execute(
            f"SELECT {', '.join(projection.columns)} FROM {collection} "  # noqa: S608
            f"WHERE id IN ({', '.join('?' * len(chunk))})",
            chunk,
        )
        found.update((values[0], projection.document(values)) for values in rows)
    return found


def pending(
    db: sqlite3.Connection, collection: Collection, limit: int, after: str | None
) -> list[tuple[str, list[PendingEvent]]]:
    """Documents with unpublished events, oldest first; with `after` those behind this document, if it has any."""
    place = db.execute(
        f"SELECT pending_since, row FROM {collection} WHERE id = ? AND pending_since IS NOT NULL",  # noqa: S608
        (after,),
    ).fetchone()
    rows = db.execute(
        f"SELECT id, doc FROM {collection} WHERE pending_since IS NOT NULL "  # noqa: S608
        f"{'' if place is None else 'AND (pending_since, row) > (?, ?) '}ORDER BY pending_since, row LIMIT ?",
        (*(place or ()), limit),
    )
    return [
        (document_id, [PendingEvent.model_validate(event) for event in loads(text)["pending"]])
        for document_id, text in rows
    ]


def _replace(
    db: sqlite3.Connection,
    collection: Collection,
    old: Document,
    new: Document,
    binary: Binary,
    counted: Increments,
) -> None:
    """Write a document over an old one; only columns that differ are set, so only their indexes are touched."""
    declared = DECLARATIONS[collection]
    before, after = column_values(declared, old), column_values(declared, new)
    differing = {name: value for name, value in after.items() if value != before[name]}
    if declared.has_pending and bool(old.get("pending")) == bool(new.get("pending")):
        differing.pop("pending_since", None)  # the age of the oldest event, not of the last change
    values: Mapping[str, Any] = {**differing, "doc": _text(new), **_binary_values(binary)}
    assignments = ", ".join(f"{name} = ?" for name in values)
    db.execute(
        f"UPDATE {collection} SET {assignments} WHERE id = ?",  # noqa: S608
        (*values.values(), new[declared.key]),
    )
    count(counted, declared, old, -1)
    count(counted, declared, new, +1)
    _update_hash(db, collection, old, new)


def _update_hash(db: sqlite3.Connection, collection: Collection, old: Document, new: Document | None) -> None:
    """Bring the hash index from an old document to the new one, or to none, while the row is still there."""
    declared = DECLARATIONS[collection]
    before, after = hash_of(declared, old), hash_of(declared, new) if new is not None else None
    if before == after:
        return
    (row,) = db.execute(f"SELECT row FROM {collection} WHERE id = ?", (old[declared.key],)).fetchone()  # noqa: S608
    if before is not None:
        remove_hash(db, collection, row, before)
    if after is not None:
        add_hash(db, collection, row, after)


def _binary_values(binary: Binary) -> dict[str, bytes | None]:
    return {binary_column_name(field): data for field, data in binary.items()}


def _text(document: Document) -> str:
    return dumps(document, separators=(",", ":"))
