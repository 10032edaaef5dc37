"""The pager: every document once, a page at a time, and nothing read before it is asked for."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.paging import pages, pages_with_cursors
from astrolens.platform.stores.records import Clause, Order, Page, Query, RecordStore
from astrolens.platform.stores.sqlite.store import SqliteRecordStore

from tests.behaviour.record_documents import IMAGES, image


class CountingRecords(SqliteRecordStore):
    finds = 0

    async def find(self, collection: Collection, query: Query) -> Page:
        self.finds += 1
        return await super().find(collection, query)


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[CountingRecords]:
    store = CountingRecords(tmp_path / "records.sqlite")
    await store.open()
    yield store
    await store.close()


def at(number: int) -> str:
    return f"2026-11-22T00:00:{number:02}.000000Z"


async def sizes_and_ids(records: RecordStore, query: Query) -> tuple[list[int], list[str]]:
    read = [page async for page in pages(records, IMAGES, query)]
    return [len(page) for page in read], [document["image_id"] for page in read for document in page]


async def test_every_document_comes_once_and_in_order(records: CountingRecords) -> None:
    await records.insert(IMAGES, [image(number, ingested_at=at(number)) for number in range(7)])
    sizes, ids = await sizes_and_ids(records, Query(order=Order("ingested_at"), limit=3))
    assert sizes == [3, 3, 1]
    assert ids == [f"img{number:04}" for number in range(7)]


async def test_the_conditions_hold_on_every_page(records: CountingRecords) -> None:
    await records.insert(IMAGES, [image(number, state="analyzed" if number % 2 else "ingested") for number in range(8)])
    query = Query(where=(Clause("state", "eq", "analyzed"),), limit=3)
    sizes, ids = await sizes_and_ids(records, query)
    assert sizes == [3, 1]
    assert sorted(ids) == ["img0001", "img0003", "img0005", "img0007"]


async def test_no_page_is_empty(records: CountingRecords) -> None:
    assert await sizes_and_ids(records, Query(limit=3)) == ([], [])
    await records.insert(IMAGES, [image(number) for number in range(6)])
    sizes, _ = await sizes_and_ids(records, Query(limit=3))
    assert sizes == [3, 3]


async def test_a_page_is_read_when_it_is_asked_for(records: CountingRecords) -> None:
    await records.insert(IMAGES, [image(number) for number in range(6)])
    reading = pages(records, IMAGES, Query(limit=2))
    assert records.finds == 0
    await anext(reading)
    assert records.finds == 1
    await reading.aclose()  # type: ignore[attr-defined]
    assert records.finds == 1


async def test_a_query_goes_on_behind_its_cursor(records: CountingRecords) -> None:
    await records.insert(IMAGES, [image(number, ingested_at=at(number)) for number in range(5)])
    first = await records.find(IMAGES, Query(order=Order("ingested_at"), limit=2))
    _, ids = await sizes_and_ids(records, Query(order=Order("ingested_at"), limit=2, after=first.next))
    assert ids == ["img0002", "img0003", "img0004"]


async def test_a_walk_that_stopped_goes_on_behind_the_cursor_of_its_last_page(records: CountingRecords) -> None:
    await records.insert(IMAGES, [image(number, ingested_at=at(number)) for number in range(5)])
    query = Query(order=Order("ingested_at"), limit=2)
    cursors = [page.next async for page in pages_with_cursors(records, IMAGES, query)]
    assert cursors[-1] is None
    _, ids = await sizes_and_ids(records, Query(order=query.order, limit=2, after=cursors[1]))
    assert ids == ["img0004"]
