"""Metered stores do what their stores do, and measure how long it takes and what fails."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from astrolens.platform.errors import ObjectMissing, StoreUnavailable
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.folder.store import FolderImageStore
from astrolens.platform.stores.images import ImageStore
from astrolens.platform.stores.metered import MeteredImageStore, MeteredRecordStore
from astrolens.platform.stores.records import RecordStore
from astrolens.platform.stores.sqlite.store import SqliteRecordStore
from astrolens.platform.telemetry.metrics import Metrics

from tests.behaviour.image_store import ImageStoreBehaviour
from tests.behaviour.record_store import RecordStoreBehaviour


class World:
    def __init__(self, folder: Path) -> None:
        self.metrics = Metrics("test")
        self.records = MeteredRecordStore(SqliteRecordStore(folder / "records.sqlite"), self.metrics.stores)
        self.images = MeteredImageStore(FolderImageStore(folder / "images"), self.metrics.stores)

    def sample(self, name: str, store: str, call: str) -> float | None:
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
        assert world.sample("astrolens_store_seconds_count", store, call) == 1
        assert world.sample("astrolens_store_errors_total", store, call) == 0


class TestMeteredRecordStore(RecordStoreBehaviour):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[RecordStore]:
        store = MeteredRecordStore(SqliteRecordStore(tmp_path / "records.sqlite"), Metrics("test").stores)
        await store.open()
        yield store
        await store.close()

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Callable[[], RecordStore]:
        return lambda: MeteredRecordStore(SqliteRecordStore(tmp_path / "records.sqlite"), Metrics("test").stores)


class TestMeteredImageStore(ImageStoreBehaviour):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[ImageStore]:
        store = MeteredImageStore(FolderImageStore(tmp_path / "images"), Metrics("test").stores)
        await store.open()
        yield store
        await store.close()


def test_every_verb_of_a_port_is_metered(world: World) -> None:
    for port, store in ((RecordStore, world.records), (ImageStore, world.images)):
        assert {name for name in vars(port) if not name.startswith("_")} <= set(vars(type(store)))


async def test_what_is_away_is_an_error_and_what_is_missing_is_an_answer(world: World) -> None:
    with pytest.raises(ObjectMissing):
        await world.images.get("cutouts/ab/none.jpg")
    assert world.sample("astrolens_store_errors_total", "images", "get") == 0
    await world.records.close()
    with pytest.raises(StoreUnavailable):
        await world.records.get(Collection.META, ["a"])
    assert world.sample("astrolens_store_errors_total", "records", "get") == 1
    assert world.sample("astrolens_store_seconds_count", "records", "get") == 1
