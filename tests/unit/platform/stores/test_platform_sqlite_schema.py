"""Opening a SQLite file: it only reads where nothing is declared otherwise, and changes by SQL what is."""

import asyncio
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from astrolens.platform.errors import StoreUnavailable
from astrolens.platform.stores.collections import DECLARATIONS, Collection, Declaration
from astrolens.platform.stores.documents import get_path
from astrolens.platform.stores.records import Change, Clause, Order, Query
from astrolens.platform.stores.sqlite.columns import index_sql
from astrolens.platform.stores.sqlite.store import SqliteRecordStore

from tests.behaviour.record_documents import IMAGES, event, image

TODAY = DECLARATIONS[IMAGES]
SMALL = Declaration(key="image_id", fields={"state": "text"}, indexes=(("state",),), tallies={"state": ("state",)})
"""Images without nearly everything that is declared today."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.sqlite"


def documents(count: int = 5) -> list[dict[str, Any]]:
    return [
        image(
            n,
            state="analyzed" if n % 2 else "ingested",
            p_value=n / 10,
            rank_score=float(n),
            label="artefact" if n == 1 else None,
            observation={"survey": "sdss", "name": f'"{n}" é', "simulated": n % 2 == 0},
            phash=f"{n:016x}",
            analysis={"model_digest": "a", "embedding": "ADwAQABC"} if n else None,
            pending=[event(n)] if n == 3 else [],
        )
        for n in range(count)
    ]


async def opened(path: Path) -> SqliteRecordStore:
    store = SqliteRecordStore(path, busy_timeout_s=0.2, upgrade_timeout_s=0.0)
    await store.open()
    return store


async def fill(path: Path, declared: Declaration, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was made while images were declared like this."""
    with monkeypatch.context() as patch:
        patch.setitem(DECLARATIONS, IMAGES, declared)
        store = await opened(path)
        await store.insert(IMAGES, documents())
        await store.close()


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """Another process in the middle of a write."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def indexes(path: Path) -> dict[str, str]:
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'images' AND sql IS NOT NULL"
    with closing(sqlite3.connect(path)) as db:
        return dict(db.execute(query))


async def check(path: Path) -> None:
    """The file serves everything that is declared today."""
    store = await opened(path)
    given = {document["image_id"]: document for document in documents()}
    found = await store.get(IMAGES, list(given))
    embeddings = await store.get(IMAGES, list(given), fields=("analysis.embedding",))
    for key, document in given.items():
        whole = found[key]
        embedding = get_path(document, "analysis.embedding")
        assert get_path(embeddings[key], "analysis.embedding") == embedding
        assert get_path(whole, "analysis.embedding") is None
        if embedding is not None:
            whole = {**whole, "analysis": {**whole["analysis"], "embedding": embedding}}
        assert whole == document
    by_p = Query(where=(Clause("observation.simulated", "eq", True),), order=Order("p_value", descending=True))
    page = await store.find(IMAGES, replace(by_p, fields=("p_value", "observation.simulated", "label")))
    assert page.documents == [
        {"image_id": f"img000{n}", "p_value": n / 10, "observation": {"simulated": True}, "label": None}
        for n in (4, 2, 0)
    ]
    assert await store.tally(IMAGES, "state") == {("ingested",): 3, ("analyzed",): 2}
    assert await store.tally(IMAGES, "label") == {("",): 4, ("artefact",): 1}
    assert await store.tally(IMAGES, "survey_verdict") == {("sdss", ""): 5}
    assert await store.near(IMAGES, ["0" * 16], radius=1, limit=9) == [
        [("img0000", 0), ("img0001", 1), ("img0002", 1), ("img0004", 1)]
    ]
    assert [key for key, _ in await store.pending(IMAGES, limit=9)] == ["img0003"]
    assert await store.delete(IMAGES, ["img0001"]) == 1
    assert await store.tally(IMAGES, "label") == {("",): 4}
    assert await store.near(IMAGES, [f"{1:016x}"], radius=0, limit=9) == [[]]
    await store.close()
    assert indexes(path) == index_sql(IMAGES, TODAY)


async def test_opening_what_is_declared_alike_waits_for_no_writer(path: Path) -> None:
    await (await opened(path)).close()
    with writing(path) as other:
        other.execute("DELETE FROM images")
        store = SqliteRecordStore(path, busy_timeout_s=600.0)
        async with asyncio.timeout(120):
            await store.open()
            assert await store.get(IMAGES, ["a"]) == {}
        await store.close()


async def test_a_writer_in_the_way_of_a_change_is_an_unavailable_store(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(path, SMALL, monkeypatch)
    store = SqliteRecordStore(path, busy_timeout_s=0.1, upgrade_timeout_s=0.0)
    with writing(path), pytest.raises(StoreUnavailable, match=r"records\.sqlite does not serve: database is locked"):
        await store.open()
    await store.open()  # the service tries again
    await store.close()
    await check(path)


async def test_a_writer_in_the_way_of_a_new_file_is_an_unavailable_store(path: Path) -> None:
    with writing(path), pytest.raises(StoreUnavailable, match="locked"):
        await opened(path)
    await (await opened(path)).close()


async def test_a_long_change_by_another_service_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(path, SMALL, monkeypatch)
    store = SqliteRecordStore(path, busy_timeout_s=0.05, upgrade_timeout_s=600.0)
    with writing(path):
        opening = asyncio.create_task(store.open())
        await asyncio.sleep(0.3)  # several waits of the lock
        assert not opening.done()
    await opening
    await store.close()
    await check(path)


async def test_closing_ends_a_change_that_is_under_way(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(path, SMALL, monkeypatch)
    started = threading.Event()

    def endless(db: sqlite3.Connection, *_: object) -> None:
        started.set()
        db.execute("WITH RECURSIVE n (i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n").fetchall()

    store = SqliteRecordStore(path)
    with monkeypatch.context() as patch:
        patch.setattr("astrolens.platform.stores.sqlite.schema._fill_hashes", endless)
        opening = asyncio.create_task(store.open())
        assert await asyncio.to_thread(started.wait, 30)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await asyncio.wait_for(store.close(), 30)
    await check(path)


@pytest.mark.parametrize(
    "before",
    [
        SMALL,
        replace(TODAY, binary=frozenset()),
        replace(TODAY, hash_field=None),
        replace(TODAY, hash_field="observation.name"),
        replace(TODAY, tallies={"state": ("verdict",)}),
        replace(TODAY, rare=frozenset()),
        replace(TODAY, indexes=(*TODAY.indexes, ("observation.simulated",))),
        replace(TODAY, fields={**TODAY.fields, "p_value": "text", "credit": "text"}),
        replace(TODAY, has_pending=False),
        replace(TODAY, binary=frozenset({"phash"}), hash_field=None),
    ],
    ids=["small", "binary", "hash", "other-hash", "tallies", "rare", "index", "fields", "pending", "other-binary"],
)
async def test_what_was_declared_otherwise_is_changed(
    path: Path, monkeypatch: pytest.MonkeyPatch, before: Declaration
) -> None:
    await fill(path, before, monkeypatch)
    await check(path)


async def test_two_services_that_open_at_once_change_it_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(path, SMALL, monkeypatch)
    stores = [SqliteRecordStore(path) for _ in range(4)]
    await asyncio.gather(*(store.open() for store in stores))
    await asyncio.gather(*(store.close() for store in stores))
    await check(path)


async def test_what_is_no_base64_does_not_stop_a_change(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(DECLARATIONS, IMAGES, replace(TODAY, binary=frozenset()))
        store = await opened(path)
        await store.insert(IMAGES, [image(1, analysis={"model_digest": "a", "embedding": "no base64!"})])
        await store.close()
    store = await opened(path)
    assert (await store.get(IMAGES, ["img0001"]))["img0001"]["analysis"] == {"model_digest": "a"}
    await store.close()


async def test_documents_that_lack_a_new_number_get_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {name: kind for name, kind in TODAY.fields.items() if name != "rank_score"}
    before = replace(TODAY, fields=fields, indexes=(("p_value",), ("verdict", "p_value")))
    with monkeypatch.context() as patch:
        patch.setitem(DECLARATIONS, IMAGES, before)
        store = await opened(path)
        await store.insert(IMAGES, [image(n, p_value=10.0**-n if n else None) for n in range(4)])
        await store.insert(IMAGES, [image(9, p_value=1e-9, rank_score=2.5)])
        await store.close()
    store = await opened(path)
    strangest = Query(order=Order("rank_score", descending=True))
    found = (await store.find(IMAGES, strangest)).documents
    assert [(one["image_id"], round(one["rank_score"], 12)) for one in found] == [
        ("img0003", 3.0),
        ("img0009", 2.5),
        ("img0002", 2.0),
        ("img0001", 1.0),
    ]
    await store.apply(IMAGES, [Change(id="img0003", set={"label": "artefact"})])
    again = await store.find(IMAGES, replace(strangest, fields=("rank_score",)))
    assert [one["image_id"] for one in again.documents] == ["img0003", "img0009", "img0002", "img0001"]
    await store.close()
    assert indexes(path) == index_sql(IMAGES, TODAY)


def make_layout_1(path: Path) -> None:
    """A file as the previous version left it: `doc` before the columns, embeddings in it, no row numbers."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE schema (collection TEXT PRIMARY KEY, declaration TEXT NOT NULL)")
        db.execute(
            "CREATE TABLE tallies (collection TEXT, name TEXT, key TEXT, n INTEGER NOT NULL, "
            "PRIMARY KEY (collection, name, key)) WITHOUT ROWID"
        )
        db.execute(
            "CREATE TABLE images (id TEXT PRIMARY KEY, doc TEXT NOT NULL, f_state TEXT, f_p_value REAL, "
            "pending_since TEXT)"
        )
        db.execute("CREATE INDEX images_f_p_value ON images (f_p_value, id)")
        db.execute("CREATE TABLE meta (id TEXT PRIMARY KEY, doc TEXT NOT NULL)")
        db.execute("INSERT INTO schema VALUES ('images', 'Declaration(key=''image_id'', ...)')")
        db.execute("INSERT INTO schema VALUES ('meta', 'Declaration(key=''name'', ...)')")
        db.execute("INSERT INTO tallies VALUES ('images', 'state', '[\"ingested\"]', 77)")
        db.execute("""INSERT INTO meta VALUES ('lease', '{"name":"lease"}')""")
        for document in documents():
            row = (document["image_id"], json.dumps(document, separators=(",", ":")), document["state"])
            db.execute("INSERT INTO images VALUES (?, ?, ?, 0.5, NULL)", row)
        db.commit()


async def test_a_file_of_the_previous_layout_is_moved(path: Path) -> None:
    make_layout_1(path)
    await check(path)
    store = await opened(path)
    assert await store.get(Collection.META, ["lease"]) == {"lease": {"name": "lease"}}
    await store.close()
    with closing(sqlite3.connect(path)) as db:
        columns = [name for (name,) in db.execute("SELECT name FROM pragma_table_info('images')")]
    assert columns[:3] == ["row", "id", "f_state"]
    assert columns[-2:] == ["doc", "b_analysis__embedding"]


async def test_a_move_that_is_ended_begins_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_layout_1(path)

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("astrolens.platform.stores.sqlite.schema._fill_hashes", full)
        with pytest.raises(Exception, match="disk is full"):
            await opened(path)
    await check(path)
