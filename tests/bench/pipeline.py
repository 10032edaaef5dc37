"""The whole pipeline under the meter: embedded, or on the real engines with their servers' own cost."""

import contextlib
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psutil

from deploy.stack.server import find
from tests.bench.measure import Meter
from tests.bench.replicas import replica
from tests.e2e.system import System, running
from tests.engines.conftest import ENGINE_SETTINGS

SERVERS = ("kafka", "mongodb", "minio")
_TIMEOUT_S = 900
_POLL_S = 1.0
_LOCAL = "supervisor and broker"


def variables(stack: Path) -> dict[str, str]:
    """What the stack's file says."""
    return dict(line.split("=", 1) for line in stack.read_text().splitlines() if "=" in line)


def runs(stack: Path) -> bool:
    """Whether every server of a stack runs."""
    return stack.exists() and len(servers_of(variables(stack))) == len(SERVERS)


def measured(
    home: Path, pictures: Path, count: int, *, stack: Path | None = None, ingestors: int = 1
) -> dict[str, Any]:
    """Feed pictures to all services and wait until each is analysed; figures an image.

    Args:
        home: A folder for the services.
        pictures: The pictures.
        count: How many there are.
        stack: The file of a running stack; None measures the embedded default.
        ingestors: Ingestors beside each other; more than one need a stack.
    """
    engines = engines_of(variables(stack)) if stack else {}
    with running(home, max_in_flight="2048", **engines) as system, contextlib.ExitStack() as others:
        assert system.process is not None
        servers = servers_of(variables(stack)) if stack else {}
        # Whatever the supervisor did not start itself.
        further = {
            f"ingestor-{number}": others.enter_context(replica(system, "ingestor", number))
            for number in range(2, ingestors + 1)
        }
        meter = Meter({**system.pids(), **further, **servers, _LOCAL: system.process.pid})
        meter.start()
        client_cpu = feed(system, pictures)
        # Asking for the books costs the record store a little each time: ask as seldom as a person would.
        system.wait_settled(count, timeout_s=_TIMEOUT_S, every_s=_POLL_S)
        cost = meter.stop(count)
    # The supervisor's children are measured by name; what is left is itself with the embedded broker.
    apart = {*further, *servers, _LOCAL}
    cost.cpu_s[_LOCAL] -= sum(spent for name, spent in cost.cpu_s.items() if name not in apart)
    cost.peak_mib[_LOCAL] -= sum(mib for name, mib in cost.peak_mib.items() if name not in apart)
    cost.cpu_s["ingest client"] = client_cpu
    return cost.as_row()


def engines_of(stack: Mapping[str, str]) -> dict[str, str]:
    """Settings for the stack, with a database and a bucket of this run's own."""
    settings = {name: stack[f"ASTROLENS_{name.upper()}"] for name in ENGINE_SETTINGS}
    own = f"bench-{uuid.uuid4().hex[:12]}"
    for store in ("records_url", "images_url"):
        settings[store] = urlunsplit(urlsplit(settings[store])._replace(path=f"/{own}"))
    return settings


def servers_of(stack: Mapping[str, str]) -> dict[str, int]:
    """Process ids of the stack's servers that run."""
    found = {name: find(Path(stack["STACK_STATE"]), name) for name in SERVERS}
    return {name: process.pid for name, process in found.items() if process is not None}


def feed(system: System, pictures: Path) -> float:
    """Hand everything in under a new batch; the CPU seconds that the client took."""
    with subprocess.Popen(
        [sys.executable, "-m", "astrolens.cli", "ingest", str(pictures), "--survey", "sdss"],
        env=system.environment,
        stdout=subprocess.DEVNULL,
    ) as client:
        spent = 0.0
        deadline = time.monotonic() + _TIMEOUT_S
        while client.poll() is None:
            if time.monotonic() > deadline:
                client.kill()
                raise TimeoutError(f"the ingest client did not end within {_TIMEOUT_S} s")
            try:
                times = psutil.Process(client.pid).cpu_times()
            except psutil.NoSuchProcess:
                break
            spent = times.user + times.system
            time.sleep(0.05)
    return spent
