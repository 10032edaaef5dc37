"""Further processes of a service beside those that `astrolens up` started, as a second pod would be."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import httpx
from astrolens.platform.runtime.services import service_named

from tests.e2e.system import System, free_port_block, wait_until

_READY_S = 120.0
_STOP_S = 60.0


@contextlib.contextmanager
def replica(system: System, service: str, number: int) -> Iterator[int]:
    """Start process `number` of a service on a health port of its own; its process id once it is ready.

    On real engines only: the embedded broker serves one member a consumer group.
    """
    port = free_port_block(1)
    log = system.home.parent / f"{system.home.name}-{service}-{number}.log"
    declared = service_named(service)
    assert declared is not None, f"there is no service {service}"
    setting = f"ASTROLENS_{declared.port_setting.upper()}"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "astrolens.cli", "serve", service],
            env={**system.environment, setting: str(port)},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(
            lambda: httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).is_success,
            timeout_s=_READY_S,
            what=lambda: f"{service} {number} ready\n{log.read_text()[-2000:]}",
        )
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_S)
