"""Wrong configuration stops with one clear sentence and exit code 2."""

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from astrolens.platform.settings import PACKAGED_BUNDLE

from tests.e2e.system import System

pytestmark = pytest.mark.e2e


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., str]:
    """Run `astrolens up` with settings that must be refused; what it said."""

    def run(**settings: str) -> str:
        result = System(tmp_path / "home", **settings).cli("up", timeout_s=120)
        said = result.stdout + result.stderr
        assert result.returncode == 2, said
        assert "Traceback" not in said
        return " ".join(said.split())

    return run


def test_an_unknown_store(refused: Callable[..., str]) -> None:
    assert "ASTROLENS_RECORDS_URL" in refused(records_url="postgres://nowhere/x")


def test_an_unknown_broker(refused: Callable[..., str]) -> None:
    assert "ASTROLENS_EVENTS_URL" in refused(events_url="amqp://nowhere")


def test_an_unreadable_folder(refused: Callable[..., str], tmp_path: Path) -> None:
    assert str(tmp_path / "absent") in refused(sources="folder", folder_path=str(tmp_path / "absent"))


def test_an_unknown_source(refused: Callable[..., str]) -> None:
    said = refused(sources="hubble-deep-field")
    assert "hubble-deep-field" in said
    assert "simulated" in said


def test_a_damaged_bundle(refused: Callable[..., str], tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(PACKAGED_BUNDLE, bundle)
    with (bundle / "model.onnx").open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)[0]
        file.seek(1000)
        file.write(bytes([byte ^ 1]))
    assert "model.onnx" in refused(bundle=str(bundle))


def test_a_taken_port(refused: Callable[..., str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert f"port {port}" in refused(ingestor_port=str(port))


def test_an_open_address_without_a_token(refused: Callable[..., str]) -> None:
    assert "token" in refused(host="0.0.0.0").lower()


def test_a_bad_notification_address_without_printing_it(refused: Callable[..., str]) -> None:
    said = refused(notify_urls="no-such-scheme://secret-part")
    assert "ASTROLENS_NOTIFY_URLS" in said
    assert "secret-part" not in said
