"""The embedded record store: one SQLite file in WAL mode, shared by all services of one machine.

A document is JSON text; its declared fields stand beside it as columns so that queries use indexes, and tallies are
changed in the same transaction as the documents they count. SQLite has no field-level update language worth
mirroring, so a change reads, changes and writes the document inside one `BEGIN IMMEDIATE` transaction.
"""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from json import dumps, loads
from pathlib import Path
from typing import Any, TypeVar

from astrolens.contracts.base import Contract
from astrolens.contracts.records import PendingEvent
from astrolens.platform.errors import ConfigurationError, StoreUnavailable
from astrolens.platform.stores.collections import DECLARATIONS, Collection, Declaration
from astrolens.platform.stores.documents import apply_change, get_path, matches
from astrolens.platform.stores.records import Change, Document, Page, Query, decode_cursor, encode_cursor, to_document
from astrolens.platform.stores.sqlite.filters import column_of, where_sql
from astrolens.platform.stores.sqlite.hashes import add_hash, hash_of, near, remove_hash
from astrolens.platform.stores.sqlite.schema import column, prepare, tally_key

T = TypeVar("T")

_BUSY_TIMEOUT_S = 15.0
"""Longest wait for another process's transaction: far above the longest batch, far below any health limit."""

_CHUNK = 500
"""Ids in one statement: well below SQLite's limit of bound variables."""


class SqliteRecordStore:
    """`RecordStore` on one SQLite file.

    Two connections, each used from its own thread: writes never hold up the reads of the same process.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer_thread = ThreadPoolExecutor(1, thread_name_prefix="records-write")
        self._reader_thread = ThreadPoolExecutor(1, thread_name_prefix="records-read")
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Open the file, creating it and whatever declaration is new.

        Raises:
            ConfigurationError: The file cannot be created, or is no SQLite database.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = await self._in(self._writer_thread, self._connect)
            await self._in(self._writer_thread, lambda: prepare(self._opened(self._writer)))
            self._reader = await self._in(self._reader_thread, self._connect)
        except (OSError, sqlite3.DatabaseError) as error:
            raise ConfigurationError(f"the record store {self._path} cannot be opened: {error}") from error

    async def close(self) -> None:
        """Close both connections; the last process to do so folds the write-ahead log back."""
        for thread, connection in ((self._reader_thread, self._reader), (self._writer_thread, self._writer)):
            if connection is not None:
                await self._in(thread, connection.close)
            thread.shutdown(wait=True)
        self._reader = self._writer = None

    async def ping(self) -> None:
        """Raise unless the file can be read."""
        await self._read(lambda db: db.execute("SELECT 1").fetchone())

    async def insert(self, collection: Collection, documents: Sequence[Contract | Document]) -> set[str]:
        """Put documents that are absent; return the ids that are new."""
        rows = [to_document(document) for document in documents]
        return await self._write(lambda db: _insert(db, collection, rows)) if rows else set()

    async def upsert(self, collection: Collection, documents: Sequence[Contract | Document]) -> None:
        """Put or replace whole documents."""
        rows = [to_document(document) for document in documents]
        if rows:
            await self._write(lambda db: _upsert(db, collection, rows))

    async def apply(self, collection: Collection, changes: Sequence[Change]) -> set[str]:
        """Change documents, each atomically; return the ids that exist and whose guard held."""
        return await self._write(lambda db: _apply(db, collection, changes)) if changes else set()

    async def get(self, collection: Collection, ids: Sequence[str]) -> dict[str, Document]:
        """Documents by id; absent ones are left out."""
        return await self._read(lambda db: _get(db, collection, ids)) if ids else {}

    async def find(self, collection: Collection, query: Query) -> Page:
        """One page of documents, by keyset: page 1,000 costs what page 1 costs."""
        return await self._read(lambda db: _find(db, collection, query))

    async def delete(self, collection: Collection, ids: Sequence[str]) -> int:
        """Remove documents; return how many there were."""
        return await self._write(lambda db: _delete(db, collection, ids)) if ids else 0

    async def tally(self, collection: Collection, name: str) -> dict[tuple[str, ...], int]:
        """Counts of one declared tally."""
        return (await self.tallies([(collection, name)]))[0]

    async def tallies(self, wanted: Sequence[tuple[Collection, str]]) -> list[dict[tuple[str, ...], int]]:
        """Several tallies, of one moment."""
        return await self._read(lambda db: _tallies(db, wanted))

    async def near(
        self, collection: Collection, hashes: Sequence[str], *, radius: int, limit: int
    ) -> list[list[tuple[str, int]]]:
        """For each hash the (id, distance) of the nearest documents."""
        return await self._read(lambda db: near(db, collection, hashes, radius, limit)) if hashes else []

    async def pending(self, collection: Collection, *, limit: int) -> list[tuple[str, list[PendingEvent]]]:
        """Documents with unpublished events, oldest first."""
        return await self._read(lambda db: _pending(db, collection, limit))

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        # FULL: what was acknowledged survives a power cut, not only a killed process.
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA cache_size=-16384")
        return connection

    @staticmethod
    def _opened(connection: sqlite3.Connection | None) -> sqlite3.Connection:
        if connection is None:
            raise StoreUnavailable("the record store is not open")
        return connection

    @staticmethod
    async def _in(thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(thread, work)

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._run(self._reader_thread, self._opened(self._reader), work)

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def in_transaction(db: sqlite3.Connection) -> T:
            with _transaction(db):
                return work(db)

        return await self._run(self._writer_thread, self._opened(self._writer), in_transaction)

    async def _run(
        self, thread: ThreadPoolExecutor, db: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]
    ) -> T:
        try:
            return await self._in(thread, lambda: work(db))
        except sqlite3.OperationalError as error:  # locked, disk full, read-only
            raise StoreUnavailable(f"the record store {self._path} does not serve: {error}") from error


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _columns(declared: Declaration, document: Document) -> dict[str, Any]:
    values = {column(name): get_path(document, name) for name in declared.fields}
    if declared.has_pending:
        values["pending_since"] = datetime.now(UTC).isoformat() if document.get("pending") else None
    return values


def _count(tally: Counter[tuple[str, str]], declared: Declaration, document: Document, step: int) -> None:
    for name, fields in declared.tallies.items():
        tally[name, tally_key(document, fields)] += step


def _store_tally(db: sqlite3.Connection, collection: Collection, tally: Counter[tuple[str, str]]) -> None:
    db.executemany(
        "INSERT INTO tallies (collection, name, key, n) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (collection, name, key) DO UPDATE SET n = n + excluded.n",
        [(collection, name, key, step) for (name, key), step in tally.items() if step],
    )


def _insert(db: sqlite3.Connection, collection: Collection, documents: Sequence[Document]) -> set[str]:
    declared = DECLARATIONS[collection]
    tally: Counter[tuple[str, str]] = Counter()
    new: set[str] = set()
    for document in documents:
        document_id = document[declared.key]
        columns = _columns(declared, document)
        names = ", ".join(["id", "doc", *columns])
        marks = ", ".join("?" * (len(columns) + 2))
        cursor = db.execute(
            f"INSERT INTO {collection} ({names}) VALUES ({marks}) ON CONFLICT (id) DO NOTHING",  # noqa: S608
            (document_id, dumps(document, separators=(",", ":")), *columns.values()),
        )
        if cursor.rowcount:
            new.add(document_id)
            _count(tally, declared, document, +1)
            if (value := hash_of(declared, document)) is not None and cursor.lastrowid is not None:
                add_hash(db, collection, cursor.lastrowid, value)
    _store_tally(db, collection, tally)
    return new


def _replace(
    db: sqlite3.Connection,
    collection: Collection,
    pairs: Sequence[tuple[Document, Document]],
    tally: Counter[tuple[str, str]],
) -> None:
    """Write changed documents over old ones; only columns that differ are set, so only their indexes are touched."""
    declared = DECLARATIONS[collection]
    for old, new in pairs:
        before, after = _columns(declared, old), _columns(declared, new)
        if before.get("pending_since") and after.get("pending_since"):
            after["pending_since"] = before["pending_since"]  # oldest first means since when, not last touched
        differing = {name: value for name, value in after.items() if value != before[name]}
        if declared.has_pending and bool(old.get("pending")) == bool(new.get("pending")):
            differing.pop("pending_since", None)
        assignments = ", ".join(f"{name} = ?" for name in ("doc", *differing))
        db.execute(
            f"UPDATE {collection} SET {assignments} WHERE id = ?",  # noqa: S608
            (dumps(new, separators=(",", ":")), *differing.values(), new[declared.key]),
        )
        _count(tally, declared, old, -1)
        _count(tally, declared, new, +1)
        _rehash(db, collection, old, new)


def _rehash(db: sqlite3.Connection, collection: Collection, old: Document, new: Document | None) -> None:
    """Bring the hash index from an old document to the new one, or to none; while the row is still there."""
    declared = DECLARATIONS[collection]
    before, after = hash_of(declared, old), hash_of(declared, new) if new is not None else None
    if before == after:
        return
    query = f"SELECT rowid FROM {collection} WHERE id = ?"  # noqa: S608
    (row,) = db.execute(query, (old[declared.key],)).fetchone()
    if before is not None:
        remove_hash(db, collection, row, before)
    if after is not None:
        add_hash(db, collection, row, after)


def _upsert(db: sqlite3.Connection, collection: Collection, documents: Sequence[Document]) -> None:
    key = DECLARATIONS[collection].key
    latest = {document[key]: document for document in documents}
    existing = _get(db, collection, list(latest))
    tally: Counter[tuple[str, str]] = Counter()
    _replace(db, collection, [(old, latest[document_id]) for document_id, old in existing.items()], tally)
    _store_tally(db, collection, tally)
    _insert(db, collection, [document for document_id, document in latest.items() if document_id not in existing])


def _apply(db: sqlite3.Connection, collection: Collection, changes: Sequence[Change]) -> set[str]:
    current = _get(db, collection, [change.id for change in changes])
    tally: Counter[tuple[str, str]] = Counter()
    applied: set[str] = set()
    originals: dict[str, Document] = {}
    for change in changes:
        document = current.get(change.id)
        if document is None or not all(matches(document, clause) for clause in change.when):
            continue
        originals.setdefault(change.id, document)
        current[change.id] = apply_change(document, change)
        applied.add(change.id)
    _replace(db, collection, [(old, current[document_id]) for document_id, old in originals.items()], tally)
    _store_tally(db, collection, tally)
    return applied


def _get(db: sqlite3.Connection, collection: Collection, ids: Sequence[str]) -> dict[str, Document]:
    found: dict[str, Document] = {}
    for start in range(0, len(ids), _CHUNK):
        chunk = ids[start : start + _CHUNK]
        rows = db.execute(
            f"SELECT id, doc FROM {collection} WHERE id IN ({', '.join('?' * len(chunk))})",  # noqa: S608
            chunk,
        )
        found.update((document_id, loads(text)) for document_id, text in rows)
    return found


def _find(db: sqlite3.Connection, collection: Collection, query: Query) -> Page:
    declared = DECLARATIONS[collection]
    conditions, values = where_sql(collection, query.where)
    order = column_of(collection, query.order.field) if query.order else "id"
    way, beyond = ("DESC", "<") if query.order and query.order.descending else ("ASC", ">")
    if query.order:
        conditions.append(f"{order} IS NOT NULL")
    if query.after is not None:
        value, document_id = decode_cursor(query.after)
        conditions.append(f"({order}, id) {beyond} (?, ?)" if query.order else f"id {beyond} ?")
        values += [value, document_id] if query.order else [document_id]
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    sorting = f"{order} {way}, id {way}" if query.order else f"id {way}"
    rows = db.execute(
        f"SELECT doc FROM {collection} {where} ORDER BY {sorting} LIMIT ?",  # noqa: S608
        (*values, query.limit + 1),
    ).fetchall()
    documents = [loads(text) for (text,) in rows[: query.limit]]
    if len(rows) <= query.limit or not documents:
        return Page(documents, None)
    last = documents[-1]
    return Page(
        documents, encode_cursor(get_path(last, query.order.field) if query.order else None, last[declared.key])
    )


def _delete(db: sqlite3.Connection, collection: Collection, ids: Sequence[str]) -> int:
    declared = DECLARATIONS[collection]
    existing = _get(db, collection, ids)
    tally: Counter[tuple[str, str]] = Counter()
    for document_id, document in existing.items():
        _rehash(db, collection, document, None)
        db.execute(f"DELETE FROM {collection} WHERE id = ?", (document_id,))  # noqa: S608
        _count(tally, declared, document, -1)
    _store_tally(db, collection, tally)
    return len(existing)


def _tallies(db: sqlite3.Connection, wanted: Sequence[tuple[Collection, str]]) -> list[dict[tuple[str, ...], int]]:
    db.execute("BEGIN")  # one snapshot, so that the books balance while others write
    try:
        return [
            {
                tuple(loads(key)): n
                for key, n in db.execute(
                    "SELECT key, n FROM tallies WHERE collection = ? AND name = ? AND n > 0", (collection, name)
                )
            }
            for collection, name in wanted
        ]
    finally:
        db.execute("COMMIT")


def _pending(db: sqlite3.Connection, collection: Collection, limit: int) -> list[tuple[str, list[PendingEvent]]]:
    rows = db.execute(
        f"SELECT id, doc FROM {collection} WHERE pending_since IS NOT NULL ORDER BY pending_since LIMIT ?",  # noqa: S608
        (limit,),
    )
    return [
        (document_id, [PendingEvent.model_validate(event) for event in loads(text)["pending"]])
        for document_id, text in rows
    ]
