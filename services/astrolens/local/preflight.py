"""Checks before anything starts. Each failure is one sentence that says what to do."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

from astrolens.platform.disk import DiskSpace, local_folders
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.private_files import create_private_folder, make_home_private
from astrolens.platform.runtime.services import SERVICES
from astrolens.platform.settings import PACKAGED_BUNDLE, PACKAGED_BUNDLE_DIGEST, Settings
from astrolens.science.bundle import Bundle, BundleDamaged

_PORT_CHECK_INTERVAL_S = 0.2


def check(settings: Settings) -> None:
    """Check home, disk, ports and bundle.

    Raises:
        ConfigurationError: The first check that failed.
    """
    check_home(settings.home)
    check_disk(settings)
    for name, host, port in ports(settings):
        check_port(name, host, port)
    check_bundle(settings.bundle)


def wait_for_ports(
    settings: Settings, *, timeout_s: float, report: Callable[[str], None], pause: Callable[[float], None] = time.sleep
) -> None:
    """Wait until every port is free: the services of a supervisor that was killed end a little later than it does.

    Args:
        settings: The ports.
        timeout_s: Longest wait. What is taken then is for `check` to refuse.
        report: Told once what is waited for.
        pause: Sleeps for some seconds.
    """
    wanted = ports(settings)
    for attempt in range(max(1, round(timeout_s / _PORT_CHECK_INTERVAL_S))):
        taken = [str(port) for _, host, port in wanted if not _is_free(host, port)]
        if not taken:
            return
        if attempt == 0:
            report(
                "The AstroLens that ran here before was killed and its services are still ending; "
                f"waiting up to {timeout_s:.0f} s for port {', '.join(taken)}"
            )
        pause(_PORT_CHECK_INTERVAL_S)


def _is_free(host: str, port: int) -> bool:
    try:
        check_port("", host, port)
    except ConfigurationError:
        return False
    return True


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
    """The home folder exists or can be created, is writable, and is made private."""
    try:
        create_private_folder(home)
        make_home_private(home)
        probe = home / ".probe"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise ConfigurationError(
            f"ASTROLENS_HOME: {home} cannot be written ({error.strerror}); choose another folder"
        ) from error


def check_disk(settings: Settings) -> None:
    """The disks of the home folder and of the local stores have enough free space."""
    disk = DiskSpace([settings.home, *local_folders(settings)], min_free_mib=settings.min_free_disk_mib)
    if (shortage := disk.shortage()) is not None:
        raise ConfigurationError(f"{shortage}, or set ASTROLENS_HOME to another disk")


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
        Bundle.load(path, expected_digest=PACKAGED_BUNDLE_DIGEST if path == PACKAGED_BUNDLE else None)
    except BundleDamaged as error:
        raise ConfigurationError(f"ASTROLENS_BUNDLE: {error}") from error
