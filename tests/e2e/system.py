"""A whole AstroLens in real processes, on a home and ports of its own."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
from astrolens.platform.runtime.services import SERVICE_NAMES

START_TIMEOUT_S = 300.0
SETTLE_TIMEOUT_S = 600.0
PORTS = len(SERVICE_NAMES) + 1
"""Ports of a system: one a service, and the model server's RPC."""
NOBODY = "http://127.0.0.1:9/"
"""Where nobody listens: no test asks a real catalogue, whatever network there is."""
CATALOGUE_ADDRESSES = ("SIMBAD", "NED", "NED_CONE", "VIZIER", "VIZIER_ASU", "XMATCH", "SKYBOT")
BOOKS = ("received", "analyzed", "duplicates", "rejected", "dead_lettered", "in_flight")


def free_port_block(size: int = PORTS) -> int:
    """A port with free ports behind it, below the range that outgoing connections are given."""
    # Tests that run beside each other look in ranges of their own: a block is free until its services listen.
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 2
    first = 20_000 + worker * 6_000
    for base in range(first + (os.getpid() * 7) % 4_500, first + 6_000, size):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(base, base + size):
                    probe = stack.enter_context(socket.socket())
                    probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return base
    raise RuntimeError("no free block of ports")


def wait_until(
    condition: Callable[[], Any], *, timeout_s: float, what: str | Callable[[], str], every_s: float = 0.2
) -> Any:
    """Wait for a truthy answer, bounded; the last error is told, and `what` says what did not come."""
    deadline = time.monotonic() + timeout_s
    fault: Exception | None = None
    while time.monotonic() < deadline:
        try:
            if answer := condition():
                return answer
        except (httpx.HTTPError, OSError, KeyError) as error:
            fault = error
        time.sleep(every_s)
    sentence = what if isinstance(what, str) else what()
    raise AssertionError(f"waited {timeout_s:.0f} s in vain: {sentence} (last fault: {fault})")


class System:
    """`astrolens up` on a home; start it again after a kill and it goes on."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home = home
        self.port = free_port_block()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ASTROLENS_")},
            "ASTROLENS_HOME": str(home),
            "ASTROLENS_PORT": str(self.port),
            "ASTROLENS_SOURCES": "none",
            "ASTROLENS_OPEN_BROWSER": "false",
            **{f"ASTROLENS_{name}_URL": NOBODY for name in CATALOGUE_ADDRESSES},
            **{f"ASTROLENS_{name.upper()}": value for name, value in settings.items()},
        }
        self.process: subprocess.Popen[str] | None = None
        self.http = httpx.Client(base_url=self.url, timeout=30)

    def start(self, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start everything and wait until all services are well. That `astrolens up` ends is a failure at once."""
        with (self.home.parent / f"{self.home.name}-up.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "astrolens.cli", "up"],
                env=self.environment,
                text=True,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(self.all_ready, timeout_s=timeout_s, what=lambda: f"all services ready\n{self.logs()}")

    def all_ready(self) -> bool:
        """Whether every service of this supervisor says it is running.

        Services of a killed supervisor answer a while longer: they do not count.
        """
        assert self.process is not None
        assert self.process.poll() is None, f"`astrolens up` ended with {self.process.returncode}\n{self.logs()}"
        pids = self.pids()
        services = self.status()["services"]
        return len(services) == len(SERVICE_NAMES) and all(
            service["state"] == "running" and service["pid"] == pids.get(name) for name, service in services.items()
        )

    def stop(self) -> int:
        """Stop as Ctrl-C does; the exit code."""
        if self.process is None or self.process.poll() is not None:
            return 0
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def status(self) -> dict[str, Any]:
        """The books and everything beside them."""
        answer = self.http.get("/api/status").raise_for_status().json()
        assert isinstance(answer, dict)
        return answer

    def cli(self, *arguments: str, timeout_s: float = SETTLE_TIMEOUT_S) -> subprocess.CompletedProcess[str]:
        """Run the command line against this system."""
        return subprocess.run(
            [sys.executable, "-m", "astrolens.cli", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def pids(self) -> dict[str, int]:
        """Process ids by service."""
        assert self.process is not None
        found = {}
        for child in psutil.Process(self.process.pid).children():
            try:
                arguments = child.cmdline()
            except psutil.NoSuchProcess:  # just killed; a zombie until the supervisor has looked
                continue
            if "serve" in arguments:
                found[arguments[arguments.index("serve") + 1]] = child.pid
        return found

    def kill(self, *services: str) -> None:
        """Kill services with -9."""
        pids = self.pids()
        for service in services:
            os.kill(pids[service], signal.SIGKILL)

    def kill_supervisor(self) -> None:
        """Kill `astrolens up` alone with -9; its services notice and end a little later."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    def kill_all(self) -> None:
        """Kill the supervisor and every service with -9, as a power cut would."""
        assert self.process is not None
        everyone = [*psutil.Process(self.process.pid).children(recursive=True), psutil.Process(self.process.pid)]
        for victim in everyone:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        self.process.wait(30)

    def wait_settled(
        self, received: int, *, timeout_s: float = SETTLE_TIMEOUT_S, every_s: float = 0.2
    ) -> dict[str, Any]:
        """Wait until `received` arrivals are all settled."""

        def settled() -> dict[str, Any] | None:
            status = self.status()
            return status if status["received"] >= received and status["in_flight"] == 0 else None

        def what() -> str:
            return f"{received} arrivals settled\n{self.logs()}"

        status = wait_until(settled, timeout_s=timeout_s, what=what, every_s=every_s)
        assert isinstance(status, dict)
        return status

    def images(self) -> dict[str, dict[str, Any]]:
        """Every image by id, through the API, page by page."""
        found: dict[str, dict[str, Any]] = {}
        after = None
        while True:
            page = self.http.get("/api/images", params={"limit": 200, **({"after": after} if after else {})})
            body = page.raise_for_status().json()
            found.update({item["image_id"]: item for item in body["items"]})
            after = body["next"]
            if after is None:
                return found

    def logs(self, lines: int = 15) -> str:
        """The last lines of every log."""
        paths = [self.home.parent / f"{self.home.name}-up.log", *sorted((self.home / "logs").glob("*.log"))]
        return "\n".join(
            f"--- {path.name}\n" + "\n".join(path.read_text().splitlines()[-lines:]) for path in paths if path.exists()
        )


@contextlib.contextmanager
def running(home: Path, **settings: str) -> Iterator[System]:
    """A started system, stopped at the end."""
    system = System(home, **settings)
    try:
        system.start()
        yield system
    finally:
        if system.process is not None and system.process.poll() is None and system.stop() != 0:
            print(system.logs())
        system.http.close()
