"""The SQLite record store: the behaviour suite, and what only a file can suffer."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from astrolens.platform.errors import ConfigurationError, StoreUnavailable
from astrolens.platform.stores import collections
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Clause, Order, Query, RecordStore
from astrolens.platform.stores.sqlite import queries
from astrolens.platform.stores.sqlite.filters import where_sql
from astrolens.platform.stores.sqlite.store import SqliteRecordStore

from tests.behaviour.record_documents import IMAGES, event, image
from tests.behaviour.record_store import RecordStoreBehaviour


class TestSqliteRecordStore(RecordStoreBehaviour):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[RecordStore]:
        store = SqliteRecordStore(tmp_path / "deep" / "records.sqlite")
        await store.open()
        yield store
        await store.close()

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Callable[[], RecordStore]:
        return lambda: SqliteRecordStore(tmp_path / "deep" / "records.sqlite")

    async def test_a_new_declaration_rebuilds_columns_and_tallies(
        self, store: RecordStore, reopen: Callable[[], RecordStore], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store.insert(IMAGES, [image(1, credit="a", pending=[event(1)]), image(2, credit="b")])
        declared = collections.DECLARATIONS[Collection.IMAGES]
        grown = replace(declared, fields={**declared.fields, "credit": "text"}, tallies={"credit": ("credit",)})
        monkeypatch.setitem(collections.DECLARATIONS, Collection.IMAGES, grown)
        other = reopen()
        await other.open()
        page = await other.find(IMAGES, Query(where=(Clause("credit", "eq", "b"),)))
        assert [document["image_id"] for document in page.documents] == ["img0002"]
        assert await other.tally(IMAGES, "credit") == {("a",): 1, ("b",): 1}
        assert len(await other.pending(IMAGES, limit=5)) == 1
        await other.close()


async def test_a_part_of_a_name_is_looked_for_in_the_index_of_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteRecordStore(tmp_path / "records.sqlite")
    await store.open()
    try:
        names = ["M31", "NGC 1", "M33", "NGC 2", "ngc 3", "NGC 4"]
        images = [
            image(number, observation={"name": name}, ingested_at=f"2026-01-0{number + 1}T00:00:00Z")
            for number, name in enumerate(names)
        ]
        await store.insert(IMAGES, images)
        where = (Clause("observation.name", "contains", "NGC"),)
        for most in (1_000, 4, 3):  # more than three hold it: then the walk in order finds them
            monkeypatch.setattr(queries, "MAX_SORTED", most)
            begins = Query(where=(Clause("observation.name", "prefix", "NGC"),), order=Order("ingested_at"))
            found = [one["image_id"] for one in (await store.find(IMAGES, begins)).documents]
            assert found == ["img0001", "img0003", "img0005"]
            for order in (Order("ingested_at"), Order("ingested_at", descending=True)):
                query = Query(where=where, order=order, limit=3)
                first = await store.find(IMAGES, query)
                second = await store.find(IMAGES, replace(query, after=first.next))
                found = [one["image_id"] for one in (*first.documents, *second.documents)]
                wanted = ["img0001", "img0003", "img0004", "img0005"]
                assert found == (wanted[::-1] if order.descending else wanted)
                assert second.next is None
        none = Query(where=(Clause("observation.name", "contains", "IC"),), order=Order("ingested_at"))
        assert (await store.find(IMAGES, none)).documents == []
    finally:
        await store.close()
    with closing(sqlite3.connect(tmp_path / "records.sqlite")) as db:
        (condition,), values = where_sql(IMAGES, where)
        select = f"SELECT row FROM images WHERE {condition} LIMIT 9"  # noqa: S608
        plan = db.execute(f"EXPLAIN QUERY PLAN {select}", values).fetchall()
        assert "COVERING INDEX images_f_observation__name" in plan[0][-1]


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    path.write_text("this is no database, however long it gets" * 50)
    with pytest.raises(ConfigurationError, match=r"records\.sqlite cannot be opened"):
        await SqliteRecordStore(path).open()


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        await SqliteRecordStore(tmp_path / "file" / "records.sqlite").open()


_WRITER = """
import asyncio, sys
from pathlib import Path
from astrolens.platform.stores.sqlite.store import SqliteRecordStore
from tests.behaviour.record_documents import IMAGES, image

async def main():
    store = SqliteRecordStore(Path(sys.argv[1]))
    await store.open()
    for n in range(10_000):
        await store.insert(IMAGES, [image(n)])
        print(n, flush=True)

asyncio.run(main())
"""


async def test_kill_9_loses_nothing_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    process = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = -1
    for line in process.stdout:
        acknowledged = int(line)
        if acknowledged == 50:
            os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    store = SqliteRecordStore(path)
    await store.open()
    found = await store.get(IMAGES, [f"img{n:04}" for n in range(acknowledged + 1)])
    assert len(found) == acknowledged + 1
    counted = (await store.tally(IMAGES, "state"))[("ingested",)]
    assert counted in (acknowledged + 1, acknowledged + 2)  # one may have been written but not yet told
    await store.close()


async def test_a_full_disk_is_named_and_passes(tmp_path: Path) -> None:
    store = SqliteRecordStore(tmp_path / "records.sqlite")
    await store.open()
    await store.upsert(Collection.META, [{"name": "small"}])

    def limit(pages: int) -> None:
        # SQLite answers as on a full disk when a file may have no more pages.
        store._opened(store._writer).execute(f"PRAGMA max_page_count={pages}")

    await store._in(store._writer_thread, lambda: limit(1))
    with pytest.raises(
        StoreUnavailable, match=rf"the disk of the record store {tmp_path}/records.sqlite is full: free"
    ):
        await store.upsert(Collection.META, [{"name": "large", "text": "x" * 10**6}])
    await store._in(store._writer_thread, lambda: limit(10**6))
    await store.upsert(Collection.META, [{"name": "large", "text": "x" * 10**6}])
    assert set(await store.get(Collection.META, ["small", "large"])) == {"small", "large"}
    await store.close()
