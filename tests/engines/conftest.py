"""The stack that `make stack` started; without it every test here skips and says so."""

import os
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from astrolens.platform.settings import Settings
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.chaos.kills import SETTINGS, Launch, feed
from tests.e2e.conftest import feed_folder
from tests.e2e.system import System, running
from tests.engines.stack_control import Stack

ENGINE_SETTINGS = (
    "events_url",
    "kafka_user",
    "kafka_password",
    "records_url",
    "images_url",
    "s3_access_key",
    "s3_secret_key",
)

IMAGES = int(os.environ.get("ASTROLENS_ACCEPTANCE_IMAGES", "500"))
"""Images that flow while something is disturbed; `make acceptance` takes 5,000."""
OUTAGE_S = float(os.environ.get("ASTROLENS_ACCEPTANCE_AWAY_S", "10"))
"""Seconds that a server is away; `make acceptance` takes 60."""
TIMEOUT_S = 900 + IMAGES + 6 * OUTAGE_S
"""Longest acceptance test."""

_DROP_S = 10.0
"""Longest wait for one database to be dropped."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.engines)


@pytest.fixture(scope="session")
def stack() -> dict[str, str]:
    """The variables of the running stack."""
    name = os.environ.get("ASTROLENS_STACK_ENV")
    if not name or not Path(name).exists():
        pytest.skip("needs the real engines: `make stack`, then `make test-integration`")
    lines = Path(name).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


@pytest.fixture(scope="session")
def engine_settings(stack: dict[str, str]) -> dict[str, str]:
    """Settings by field name, for `Settings` and `System`."""
    return {name: stack[f"ASTROLENS_{name.upper()}"] for name in ENGINE_SETTINGS}


@pytest.fixture(scope="session")
def own_databases() -> Iterator[list[str]]:
    """URLs of the databases that this session made; they are dropped at its end, because they slow the server.

    SecantusDB in Rust drops one in 0.3 s. The one in Python takes minutes: the first that is late ends it.
    """
    urls: list[str] = []
    yield urls
    for url in urls:
        client: MongoClient[dict[str, Any]] = MongoClient(url, timeoutMS=int(_DROP_S * 1000))
        with client:
            try:
                client.drop_database(urlsplit(url).path.removeprefix("/"))
            except PyMongoError as error:
                warnings.warn(f"test databases stay in the stack: {error}", stacklevel=1)
                return


@pytest.fixture
def mongodb_url(stack: dict[str, str], own_databases: list[str]) -> str:
    """A database of the test's own."""
    own_databases.append(_own(stack["ASTROLENS_RECORDS_URL"]))
    return own_databases[-1]


@pytest.fixture
def bucket_url(stack: dict[str, str]) -> str:
    """A bucket of the test's own."""
    return _own(stack["ASTROLENS_IMAGES_URL"])


def _own(url: str) -> str:
    """The same server, another database or bucket."""
    return urlunsplit(urlsplit(url)._replace(path=f"/test-{uuid.uuid4().hex[:12]}"))


@pytest.fixture(scope="session")
def servers(stack: dict[str, str]) -> Stack:
    """Stops and starts the stack's servers."""
    return Stack(stack)


@pytest.fixture(scope="session")
def launch(
    servers: Stack,
    engine_settings: dict[str, str],
    own_databases: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Launch:
    """Starts a system on the stack: empty topics, a database and a bucket of its own."""

    @contextmanager
    def launched() -> Iterator[System]:
        servers.purge()
        own = {name: _own(engine_settings[name]) for name in ("records_url", "images_url")}
        own_databases.append(own["records_url"])
        with running(tmp_path_factory.mktemp("engines") / "home", **{**engine_settings, **own, **SETTINGS}) as system:
            yield system

    return launched


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is fed while something is disturbed."""
    return feed_folder(tmp_path_factory.mktemp("engines-feed") / "pictures", IMAGES)


@pytest.fixture(scope="session")
def undisturbed(launch: Launch, folder: Path) -> dict[str, Any]:
    """What comes out of the folder when nothing happens; its alerts stay in their topics until the next launch."""
    with launch() as system:
        state = feed(system, folder)
    books = state["books"]
    assert (books["received"], books["in_flight"], books["dead_lettered"]) == (IMAGES, 0, 0)
    assert books["analyzed"] > 0.99 * IMAGES  # an empty field is rejected
    assert state["alerts"]
    return state


def kafka_settings(engine_settings: dict[str, str], home: Path, **overrides: Any) -> Settings:
    """Settings with the stack's Kafka and embedded stores."""
    chosen = {name: value for name, value in engine_settings.items() if name.startswith(("events", "kafka"))}
    return Settings(_env_file=None, home=home, **{**chosen, **overrides})
