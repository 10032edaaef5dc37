"""What the tests of the platform share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.platform.platform_fakes import FlakyRecords


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[FlakyRecords]:
    store = FlakyRecords(tmp_path / "records.sqlite")
    await store.open()
    yield store
    await store.close()
