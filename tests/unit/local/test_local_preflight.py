"""The checks before a start, and the sentences of those that fail."""

import shutil
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
from astrolens.local import preflight, supervisor
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.settings import PACKAGED_BUNDLE, load_settings


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="ASTROLENS_HOME"):
        preflight.check_home(tmp_path / "file" / "home")


def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, min_free_disk_mib=10**12)
    with pytest.raises(ConfigurationError, match=f"the disk of {tmp_path} is nearly full.*ASTROLENS_HOME"):
        preflight.check_disk(settings)


def test_the_disk_of_each_local_store_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere" / "images"
    settings = load_settings(home=tmp_path, images_url=f"file://{elsewhere}")
    elsewhere.parent.mkdir()
    free = {elsewhere.parent: 0}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free.get(path, 2**40)))
    with pytest.raises(ConfigurationError, match=f"the disk of {elsewhere} is nearly full"):
        preflight.check_disk(settings)


def test_a_taken_port_is_named_with_its_setting() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"ASTROLENS_PORT: port {port} .* taken"):
            preflight.check_port("ASTROLENS_PORT", "127.0.0.1", port)


def test_a_damaged_bundle_is_named(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(PACKAGED_BUNDLE, bundle)
    model = bundle / "model.onnx"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    with pytest.raises(ConfigurationError, match=r"ASTROLENS_BUNDLE: .*model\.onnx"):
        preflight.check_bundle(bundle)


def test_the_packaged_bundle_is_whole() -> None:
    preflight.check_bundle(PACKAGED_BUNDLE)


def test_every_port_is_checked() -> None:
    settings = load_settings(port=9000)
    assert sorted(port for _, _, port in preflight.ports(settings)) == [*range(9000, 9008)]


def test_one_home_has_one_supervisor(tmp_path: Path) -> None:
    with supervisor._lock_home(tmp_path):
        assert supervisor.running_pid(tmp_path) is not None
        with pytest.raises(ConfigurationError, match="already runs"), supervisor._lock_home(tmp_path):
            pytest.fail("two supervisors on one home")
    assert supervisor.running_pid(tmp_path) is None


def test_only_a_supervisor_that_was_killed_is_waited_for(tmp_path: Path) -> None:
    with supervisor._lock_home(tmp_path) as was_killed:
        assert not was_killed
    with supervisor._lock_home(tmp_path) as was_killed:
        assert not was_killed, "the one before ended by itself"
    (tmp_path / "supervisor.lock").write_text("4711")  # what a kill leaves behind
    with supervisor._lock_home(tmp_path) as was_killed:
        assert was_killed


def test_ports_of_services_that_still_end_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    pauses: list[float] = []
    monkeypatch.setattr(preflight, "_is_free", lambda _, port: port != 9000 or len(pauses) == 3)
    preflight.wait_for_ports(load_settings(port=9000), timeout_s=20, report=said.append, pause=pauses.append)
    assert len(pauses) == 3
    (sentence,) = said
    assert "port 9000" in sentence
    assert "waiting up to 20 s" in sentence


def test_the_wait_for_ports_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(preflight, "_is_free", lambda *_: False)
    preflight.wait_for_ports(load_settings(port=9000), timeout_s=20, report=lambda _: None, pause=pauses.append)
    assert sum(pauses) == pytest.approx(20)


def test_nobody_waits_for_free_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_is_free", lambda *_: True)
    calls: list[object] = []
    preflight.wait_for_ports(load_settings(port=9000), timeout_s=20, report=calls.append, pause=calls.append)
    assert calls == []
