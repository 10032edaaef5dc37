"""Checks before anything starts. Each failure is one sentence that says what to do."""

import shutil
import socket
from pathlib import Path

from astrolens.platform.errors import ConfigurationError
from astrolens.platform.runtime.services import SERVICES
from astrolens.platform.settings import Settings
from astrolens.science.bundle import Bundle, BundleDamaged


def check(settings: Settings) -> None:
    """Check home, disk, ports and bundle.

    Raises:
        ConfigurationError: The first check that failed.
    """
    check_home(settings.home)
    check_disk(settings.home, settings.min_free_disk_mib)
    for name, host, port in ports(settings):
        check_port(name, host, port)
    check_bundle(settings.bundle)


def ports(settings: Settings) -> list[tuple[str, str, int]]:
    """Every port that the services will listen on, as (setting, host, port)."""
    host, _, port = settings.inference_address.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigurationError(f"ASTROLENS_INFERENCE_ADDRESS: {settings.inference_address!r} is not host:port")
    return [
        ("ASTROLENS_INFERENCE_ADDRESS", host, int(port)),
        *(
            (f"ASTROLENS_{service.port_setting.upper()}", settings.host, int(getattr(settings, service.port_setting)))
            for service in SERVICES
        ),
    ]


def check_home(home: Path) -> None:
    """The home folder exists or can be created, and is writable."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe = home / ".probe"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise ConfigurationError(
            f"ASTROLENS_HOME: {home} cannot be written ({error.strerror}); choose another folder"
        ) from error


def check_disk(home: Path, min_free_mib: int) -> None:
    """The disk has at least `min_free_mib` MiB free."""
    free_mib = shutil.disk_usage(home).free // 2**20
    if free_mib < min_free_mib:
        raise ConfigurationError(
            f"the disk of {home} is full: {free_mib} MiB are free, {min_free_mib} are wanted; "
            "free some or set ASTROLENS_HOME to another disk"
        )


def check_port(setting: str, host: str, port: int) -> None:
    """The port is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigurationError(
                f"{setting}: port {port} on {host} is taken or not allowed ({error.strerror}); "
                "stop what uses it or set another port"
            ) from error


def check_bundle(path: Path) -> None:
    """The model bundle is complete and undamaged."""
    try:
        Bundle.load(path)
    except BundleDamaged as error:
        raise ConfigurationError(f"ASTROLENS_BUNDLE: {error}") from error
