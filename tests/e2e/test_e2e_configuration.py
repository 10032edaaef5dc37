"""Wrong configuration stops with one clear sentence and exit code 2."""

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from astrolens.platform.settings import PACKAGED_BUNDLE

from tests.e2e.system import System

pytestmark = pytest.mark.e2e


Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """Run a command with settings that must be refused; what it said."""

    def run(*command: str, **settings: str) -> str:
        result = System(tmp_path / "home", **settings).cli(*command, timeout_s=120)
        said = result.stdout + result.stderr
        assert result.returncode == 2, said
        assert "Traceback" not in said
        return " ".join(said.split())

    return run


@pytest.fixture
def refused_by(refused: Refused) -> Refused:
    """Run one service, as a container does and `astrolens up` for each; nothing listens where its broker should."""

    def run(service: str, **settings: str) -> str:
        return refused("serve", service, **{"events_url": "kafka://127.0.0.1:9", **settings})

    return run


def test_up_says_what_a_service_refuses_and_stops(refused: Refused) -> None:
    assert "console cannot start" in (said := refused("up", host="0.0.0.0"))
    assert "set ASTROLENS_TOKEN or run `astrolens account add NAME`" in said
    assert "AstroLens stops" in said


def test_an_unknown_store(refused_by: Refused) -> None:
    assert "ASTROLENS_RECORDS_URL" in refused_by("analyzer", records_url="postgres://nowhere/x")


def test_an_unknown_broker(refused_by: Refused) -> None:
    assert "ASTROLENS_EVENTS_URL" in refused_by("notifier", events_url="amqp://nowhere")


def test_an_unreadable_folder(refused: Refused, tmp_path: Path) -> None:
    assert str(tmp_path / "absent") in refused("up", sources="folder", folder_path=str(tmp_path / "absent"))


def test_an_unknown_source(refused_by: Refused) -> None:
    said = refused_by("ingestor", sources="hubble-deep-field")
    assert "hubble-deep-field" in said
    assert "simulated" in said


def test_a_damaged_bundle(refused: Refused, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(PACKAGED_BUNDLE, bundle)
    with (bundle / "model.onnx").open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)[0]
        file.seek(1000)
        file.write(bytes([byte ^ 1]))
    assert "model.onnx" in refused("up", bundle=str(bundle))


def test_a_taken_port(refused: Refused) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert f"port {port}" in refused("up", ingestor_port=str(port))


def test_a_bad_notification_address_without_printing_it(refused_by: Refused) -> None:
    said = refused_by("notifier", notify_urls="no-such-scheme://secret-part")
    assert "ASTROLENS_NOTIFY_URLS" in said
    assert "secret-part" not in said
