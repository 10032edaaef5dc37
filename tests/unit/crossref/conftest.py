"""Fixtures of the crossref service's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from astrolens.crossref import client
from astrolens.platform.retry import RetryPolicy

from tests.catalogues.services import FakeSimbad
from tests.unit.crossref.crossref_fakes import World, opened


@pytest.fixture(autouse=True)
def without_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "RETRY", RetryPolicy(initial_wait_s=0.0, max_wait_s=0.0, max_attempts=2))


@pytest.fixture
def simbad() -> FakeSimbad:
    return FakeSimbad()


@pytest.fixture
async def world(tmp_path: Path, simbad: FakeSimbad) -> AsyncIterator[World]:
    async with opened(tmp_path, simbad) as world:
        yield world
