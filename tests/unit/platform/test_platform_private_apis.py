"""Private APIs: an upgrade that moves one is one clear sentence when a service starts."""

import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from aiokafka.conn import AIOKafkaConnection
from astrolens.platform import private_apis
from astrolens.platform.private_apis import (
    BatchSubscriber,
    PrivateApi,
    PrivateApiMoved,
    check_private_apis,
    private_imports,
)
from astrolens.platform.runtime.service import ServiceApp, run

from tests.unit.platform.platform_fakes import settings


def test_everything_declared_is_there() -> None:
    import minio  # noqa: F401 - what is not imported is not checked

    assert not [api for api in private_apis._declared if api.module not in sys.modules]
    check_private_apis()


def test_every_declaration_has_its_reason() -> None:
    assert all(len(api.reason) > 20 for api in private_apis._declared)


@pytest.mark.parametrize(
    ("owner", "attribute", "package"),
    [(AIOKafkaConnection, "send", "aiokafka"), (BatchSubscriber, "group_id", "faststream")],
)
def test_an_attribute_that_moved_is_named_with_the_package_and_its_version(
    monkeypatch: pytest.MonkeyPatch, owner: type, attribute: str, package: str
) -> None:
    defining = next(base for base in owner.__mro__ if attribute in vars(base))
    monkeypatch.delattr(defining, attribute)
    with pytest.raises(PrivateApiMoved) as caught:
        check_private_apis()
    sentence = str(caught.value)
    assert sentence.startswith(f"{package} {metadata.version(package)} does not fit: ")
    assert f"{owner.__name__} has no {attribute!r}" in sentence


def test_a_function_that_moved_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("faststream.kafka.security.parse_security")
    with pytest.raises(PrivateApiMoved, match=r"faststream\.kafka\.security has no parse_security any more"):
        check_private_apis()


def test_a_parameter_that_moved_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(self: Any, host: str, port: int, *, client_name: str) -> None: ...

    monkeypatch.setattr(AIOKafkaConnection, "__init__", init)
    with pytest.raises(PrivateApiMoved, match=r"AIOKafkaConnection takes no 'client_id' any more"):
        check_private_apis()


def test_what_is_not_imported_is_not_checked() -> None:
    PrivateApi(package="absent", module="absent.module", name="Absent", reason="none").check()


def test_a_service_ends_before_it_opens_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr("uvicorn.Server.capture_signals")
    home = tmp_path / "home"
    assert run(lambda: ServiceApp(settings(home), service="analyzer", with_bus=False)) == 1
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert sentence.startswith(f"astrolens: uvicorn {metadata.version('uvicorn')} does not fit: ")
    assert "Server.capture_signals" in sentence
    assert not home.exists()


def test_a_name_that_cannot_be_imported_is_named_too() -> None:
    moved = pytest.raises(PrivateApiMoved, match=r"^aiokafka .* does not fit: cannot import name 'Moved'")
    with moved, private_imports("aiokafka"):
        from aiokafka.conn import Moved  # noqa: F401


def test_a_package_that_is_not_installed_is_no_moved_api() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_package"), private_imports("no_such_package"):
        import no_such_package  # type: ignore[import-not-found]  # noqa: F401
