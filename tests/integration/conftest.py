from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from astrolens.platform.stores.sqlite.store import SqliteRecordStore


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[SqliteRecordStore]:
    """An empty record store, open."""
    store = SqliteRecordStore(tmp_path / "records.sqlite")
    await store.open()
    yield store
    await store.close()
