"""What the tests of the platform share."""

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.unit.platform.bus_harness import Harness
from tests.unit.platform.platform_fakes import FlakyRecords


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[FlakyRecords]:
    store = FlakyRecords(tmp_path / "records.sqlite")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    # Unconfigured, structlog draws every trace with its local variables, which takes a second each.
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture
def harness(tmp_path: Path, records: FlakyRecords) -> Harness:
    return Harness(tmp_path, records)


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
