"""Stores in a temporary folder, and a bus that remembers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from astrolens.platform.stores.folder.store import FolderImageStore
from astrolens.platform.stores.images import ImageStore
from astrolens.platform.stores.records import RecordStore
from astrolens.platform.stores.sqlite.store import SqliteRecordStore

from tests.made_records import RecordingBus


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[RecordStore]:
    store = SqliteRecordStore(tmp_path / "records.sqlite")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def images(tmp_path: Path) -> AsyncIterator[ImageStore]:
    store = FolderImageStore(tmp_path / "images")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def bus() -> RecordingBus:
    return RecordingBus()
