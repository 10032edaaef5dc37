"""Fixtures of the notifier's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from astrolens.notifier import sweep

from tests.unit.notifier.notifier_fakes import World, opened


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "PAUSE_S", 0.0)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as world:
        yield world
