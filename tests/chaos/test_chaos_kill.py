"""Kill -9 in the middle of an ingest on the embedded engines."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.kills import SETTINGS, KillBehaviour, Launch, feed
from tests.e2e.conftest import feed_folder
from tests.e2e.system import System, running

pytestmark = [pytest.mark.chaos, pytest.mark.e2e, pytest.mark.timeout(900)]

PICTURES = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return feed_folder(tmp_path_factory.mktemp("chaos-feed") / "pictures", PICTURES)


@pytest.fixture(scope="module")
def launch(tmp_path_factory: pytest.TempPathFactory) -> Launch:
    @contextmanager
    def launched() -> Iterator[System]:
        with running(tmp_path_factory.mktemp("chaos") / "home", **SETTINGS) as system:
            yield system

    return launched


@pytest.fixture(scope="module")
def undisturbed(launch: Launch, folder: Path) -> dict[str, Any]:
    with launch() as system:
        return feed(system, folder)


class TestEmbeddedEngines(KillBehaviour):
    pass
