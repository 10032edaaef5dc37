"""The stack that `make stack` started; without it every test here skips and says so."""

import os
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from astrolens.platform.settings import Settings

ENGINE_SETTINGS = (
    "events_url",
    "kafka_user",
    "kafka_password",
    "records_url",
    "images_url",
    "s3_access_key",
    "s3_secret_key",
)


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


@pytest.fixture
def mongodb_url(stack: dict[str, str]) -> str:
    """A database of the test's own.

    It is left behind: SecantusDB takes minutes to drop one and serves nobody meanwhile. `make stack-down` keeps the
    data, `python -m deploy.stack wipe` removes everything.
    """
    parts = urlsplit(stack["ASTROLENS_RECORDS_URL"])
    return urlunsplit(parts._replace(path=f"/test_{uuid.uuid4().hex[:12]}"))


@pytest.fixture
def bucket_url(stack: dict[str, str]) -> str:
    """A bucket of the test's own."""
    parts = urlsplit(stack["ASTROLENS_IMAGES_URL"])
    return urlunsplit(parts._replace(path=f"/test-{uuid.uuid4().hex[:12]}"))


def kafka_settings(engine_settings: dict[str, str], home: Path, **overrides: Any) -> Settings:
    """Settings with the stack's Kafka and embedded stores."""
    chosen = {name: value for name, value in engine_settings.items() if name.startswith(("events", "kafka"))}
    return Settings(_env_file=None, home=home, **{**chosen, **overrides})
