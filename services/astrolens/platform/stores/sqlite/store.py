"""The embedded record store: one SQLite file in WAL mode, shared by all services of one machine.

A document is JSON text; its declared fields stand beside it as columns so that queries use indexes, and tallies and
hashes are changed in the same transaction as the documents they belong to.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Final, TypeVar

from astrolens.contracts.base import Contract
from astrolens.contracts.records import PendingEvent
from astrolens.platform.errors import ConfigurationError, StoreUnavailable
from astrolens.platform.private_files import create_private_file, create_private_folder
from astrolens.platform.stores.collections import DECLARATIONS, Collection
from astrolens.platform.stores.records import Change, Clause, Document, Page, Query, to_document
from astrolens.platform.stores.sqlite import counting, queries, rows, tallies
from astrolens.platform.stores.sqlite.columns import counted
from astrolens.platform.stores.sqlite.hashes import near
from astrolens.platform.stores.sqlite.schema import prepare
from astrolens.platform.time_limits import STORE_OPERATION_S

T = TypeVar("T")

UPGRADE_TIMEOUT_S: Final = 600.0
"""Longest wait for another service that changes the file for new declarations: a million images take minutes."""

_PROGRESS_STEPS: Final = 100_000
"""Steps of SQLite's virtual machine, about a millisecond, between two looks at whether the store is being closed."""

_TRANSIENT: Final = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL}
)
"""Errors at opening that may pass: another process writes, the disk is full or does not answer."""


class SqliteRecordStore:
    """`RecordStore` on one SQLite file.

    Three connections, each used from its own thread: writes and counts never hold up the reads of the same process. The
    one for counts is opened at the first count: few services count.
    """

    def __init__(
        self, path: Path, *, busy_timeout_s: float = STORE_OPERATION_S, upgrade_timeout_s: float = UPGRADE_TIMEOUT_S
    ) -> None:
        self._path = path
        self._busy_timeout_s = busy_timeout_s
        self._upgrade_timeout_s = upgrade_timeout_s
        self._writer_thread = ThreadPoolExecutor(1, thread_name_prefix="records-write")
        self._reader_thread = ThreadPoolExecutor(1, thread_name_prefix="records-read")
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._counter_thread = ThreadPoolExecutor(1, thread_name_prefix="records-count")
        self._counter: sqlite3.Connection | None = None
        self._closing = threading.Event()

    async def open(self) -> None:
        """Open the file, creating it and whatever declaration is new.

        Raises:
            ConfigurationError: The file cannot be created, or is no SQLite database.
            StoreUnavailable: Another process writes for longer than the wait, or the disk is full.
        """
        try:
            create_private_folder(self._path.parent)
            create_private_file(self._path)  # its write-ahead log gets the same permissions
            self._writer = await self._in(self._writer_thread, self._connect)
            await self._prepare(self._writer)
            self._reader = await self._in(self._reader_thread, self._connect)
        except (OSError, sqlite3.DatabaseError) as error:
            await self._disconnect()
            if _kind(error) in _TRANSIENT:
                raise self._unavailable(error) from error
            raise ConfigurationError(f"the record store {self._path} cannot be opened: {error}") from error

    async def close(self) -> None:
        """Close both connections; the last process to do so folds the write-ahead log back."""
        self._closing.set()
        await self._disconnect()
        self._reader_thread.shutdown(wait=True)
        self._counter_thread.shutdown(wait=True)
        self._writer_thread.shutdown(wait=True)

    async def ping(self) -> None:
        """Raise unless the file can be read."""
        await self._read(lambda db: db.execute("SELECT 1").fetchone())

    async def insert(self, collection: Collection, documents: Sequence[Contract | Document]) -> set[str]:
        """Put documents that are absent; return the ids that are new."""
        new = [to_document(document) for document in documents]
        return await self._write(lambda db: rows.insert(db, collection, new)) if new else set()

    async def upsert(self, collection: Collection, documents: Sequence[Contract | Document]) -> None:
        """Put or replace whole documents."""
        new = [to_document(document) for document in documents]
        if new:
            await self._write(lambda db: rows.upsert(db, collection, new))

    async def apply(self, collection: Collection, changes: Sequence[Change]) -> set[str]:
        """Change documents, each atomically; return the ids that exist and whose guard held."""
        return await self._write(lambda db: rows.apply(db, collection, changes)) if changes else set()

    async def get(
        self, collection: Collection, ids: Sequence[str], *, fields: Sequence[str] = ()
    ) -> dict[str, Document]:
        """Documents by id; absent ones are left out."""
        return await self._read(lambda db: rows.get(db, collection, ids, fields)) if ids else {}

    async def find(self, collection: Collection, query: Query) -> Page:
        """One page of documents."""
        return await self._read(lambda db: queries.find(db, collection, query))

    async def count(
        self, collection: Collection, where: Sequence[Clause], *, limit: int, within_s: float
    ) -> int | None:
        """How many documents fulfil all conditions, at most `limit`; None where counting takes too long."""

        def counted(_: sqlite3.Connection) -> int | None:
            if self._counter is None:
                self._counter = self._connect()
            return counting.count(self._counter, collection, where, limit=limit, within_s=within_s)

        return await self._run(self._counter_thread, self._opened(self._reader), counted)

    async def delete(self, collection: Collection, ids: Sequence[str]) -> int:
        """Remove documents; return how many there were."""
        return await self._write(lambda db: rows.delete(db, collection, ids)) if ids else 0

    async def tally(self, collection: Collection, name: str) -> dict[tuple[str, ...], int]:
        """Counts of one declared tally."""
        return (await self.tallies([(collection, name)]))[0]

    async def tallies(self, wanted: Sequence[tuple[Collection, str]]) -> list[dict[tuple[str, ...], int]]:
        """Several tallies, of one moment."""
        return await self._read(lambda db: tallies.read(db, wanted))

    async def count_documents(self, collection: Collection, name: str) -> dict[tuple[str, ...], int]:
        """What `tally` should give, counted from the documents themselves."""
        declared = DECLARATIONS[collection]
        expressions = [counted(declared, field) for field in declared.tallies[name]]
        return await self._read(lambda db: tallies.grouped(db, collection, expressions))

    async def near(
        self, collection: Collection, hashes: Sequence[str], *, radius: int, limit: int
    ) -> list[list[tuple[str, int]]]:
        """For each hash the (id, distance) of the nearest documents."""
        return await self._read(lambda db: near(db, collection, hashes, radius, limit)) if hashes else []

    async def pending(
        self, collection: Collection, *, limit: int, after: str | None = None
    ) -> list[tuple[str, list[PendingEvent]]]:
        """Documents with unpublished events, oldest first."""
        return await self._read(lambda db: rows.pending(db, collection, limit, after))

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=self._busy_timeout_s, isolation_level=None, check_same_thread=False
        )
        try:
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
            if mode != "wal":  # setting it writes, and would wait for another writer
                connection.execute("PRAGMA journal_mode=WAL")
            # FULL: what was acknowledged survives a power cut, not only a killed process.
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA cache_size=-16384")
        except BaseException:
            connection.close()
            raise
        return connection

    async def _prepare(self, db: sqlite3.Connection) -> None:
        deadline = monotonic() + self._upgrade_timeout_s
        # A change of a large file takes minutes: closing ends it, and it is rolled back.
        db.set_progress_handler(self._closing.is_set, _PROGRESS_STEPS)
        while True:
            try:
                await self._in(self._writer_thread, lambda: prepare(db))
            except sqlite3.OperationalError as error:
                # Another service may be changing the file for the same declarations: wait for it and look again.
                if _kind(error) != sqlite3.SQLITE_BUSY or monotonic() > deadline:
                    raise
            else:
                db.set_progress_handler(None, 0)
                return

    async def _disconnect(self) -> None:
        threads = (self._counter_thread, self._reader_thread, self._writer_thread)
        for thread, connection in zip(threads, (self._counter, self._reader, self._writer), strict=True):
            if connection is not None:
                await self._in(thread, connection.close)
        self._counter = self._reader = self._writer = None

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
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        if _kind(error) == sqlite3.SQLITE_FULL:
            return StoreUnavailable(f"the disk of the record store {self._path} is full: free some space there")
        return StoreUnavailable(f"the record store {self._path} does not serve: {error}")


def _kind(error: Exception) -> int:
    """SQLite's primary result code; the higher bytes of a code say more about it. 0 where there is none."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if db.in_transaction:  # a full disk has ended it already
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
