"""Measured stores do what they did, and tell how long it took and what failed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from astrolens.platform.errors import ObjectMissing, StoreUnavailable
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.folder.store import FolderImageStore
from astrolens.platform.stores.metered import measure
from astrolens.platform.stores.sqlite.store import SqliteRecordStore
from astrolens.platform.telemetry.metrics import Metrics


class World:
    def __init__(self, folder: Path) -> None:
        self.metrics = Metrics("test")
        self.records = SqliteRecordStore(folder / "records.sqlite")
        self.images = FolderImageStore(folder / "images")
        measure(records=self.records, images=self.images, metrics=self.metrics.stores)

    def told(self, name: str, store: str, call: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, {"store": store, "call": call})


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    await world.records.open()
    await world.images.open()
    yield world
    await world.images.close()
    await world.records.close()


async def test_calls_are_counted_and_answer_as_before(world: World) -> None:
    assert await world.records.insert(Collection.META, [{"name": "a"}]) == {"a"}
    assert await world.records.get(Collection.META, ["a"]) == {"a": {"name": "a"}}
    assert await world.images.put("cutouts/ab/a.jpg", b"sky", media_type="image/jpeg")
    assert await world.images.get("cutouts/ab/a.jpg") == b"sky"
    for store, call in (("records", "insert"), ("records", "get"), ("images", "put"), ("images", "get")):
        assert world.told("astrolens_store_seconds_count", store, call) == 1
        assert world.told("astrolens_store_errors_total", store, call) == 0


async def test_what_is_away_is_an_error_and_what_is_missing_is_an_answer(world: World) -> None:
    with pytest.raises(ObjectMissing):
        await world.images.get("cutouts/ab/none.jpg")
    assert world.told("astrolens_store_errors_total", "images", "get") == 0
    await world.records.close()
    with pytest.raises(StoreUnavailable):
        await world.records.get(Collection.META, ["a"])
    assert world.told("astrolens_store_errors_total", "records", "get") == 1
    assert world.told("astrolens_store_seconds_count", "records", "get") == 1
