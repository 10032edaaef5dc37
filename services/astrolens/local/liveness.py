"""Whether the services still answer: their `/livez` is asked regularly, in a thread of its own.

A process that hangs does not exit, so that only asking it finds out. A service counts as hung after many misses in a
row, and only once it has answered: a start may take as long as it needs.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Final, Protocol

from astrolens.platform.runtime.services import SERVICES
from astrolens.platform.settings import Settings

PROBE_TIMEOUT_S: Final = 2.0
"""Longest wait for one answer. `/livez` computes next to nothing: a service that needs longer is starved or hangs."""
PROBE_INTERVAL_S: Final = 5.0
"""Pause between two rounds; five requests a round cost nothing next to the services."""
MAX_MISSES: Final = 12
"""Misses in a row after which a service hangs: 60 to 84 s. A machine that swaps or is starved delays single answers by
seconds; a restart would only add to its load. The probes of `k8s/` allow 60 s as well."""

_UNAVAILABLE: Final = 503
"""What `/livez` answers when a consumer is stuck. Any other answer shows a working event loop."""

Probe = Callable[[str, int], bool]
"""Whether the service at (host, port) answers that it is alive, within `PROBE_TIMEOUT_S`."""


class ProbedProcess(Protocol):
    """A process as the monitor sees it."""

    service: str

    @property
    def pid(self) -> int | None:
        """Process id, None before the first start."""


@dataclass
class _State:
    """What is known of one process."""

    pid: int | None = None
    answered: bool = False
    misses: int = 0


def probe(host: str, port: int) -> bool:
    """Ask `/livez` once, without any proxy."""
    connection = HTTPConnection(host, port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status != _UNAVAILABLE
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


class LivenessMonitor:
    """Counts the misses of each process. A process with another id begins anew."""

    def __init__(self, processes: Sequence[ProbedProcess], settings: Settings, *, ask: Probe = probe) -> None:
        """Compose; nothing is asked.

        Args:
            processes: The services.
            settings: Their host and ports.
            ask: See `Probe`.
        """
        self._processes = processes
        self._host = _reachable(settings.host)
        self._ports: dict[str, int] = {each.name: getattr(settings, each.port_setting) for each in SERVICES}
        self._ask = ask
        self._states: dict[str, _State] = {process.service: _State() for process in processes}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="liveness", daemon=True)

    def start(self) -> None:
        """Ask in a thread of its own, so that a service that hangs does not delay the supervisor."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._stopping.set()

    def ask_all(self) -> None:
        """Ask every process once."""
        for process in self._processes:
            if self._stopping.is_set():
                return
            pid = process.pid
            if pid is None:
                continue
            alive = self._ask(self._host, self._ports[process.service])
            state = self._states[process.service]
            if state.pid != pid:
                state = self._states[process.service] = _State(pid)
            state.answered = state.answered or alive
            state.misses = 0 if alive else state.misses + 1

    def is_hung(self, process: ProbedProcess) -> bool:
        """Whether this process answered once and has missed `MAX_MISSES` requests in a row since."""
        state = self._states[process.service]
        return state.pid == process.pid and state.answered and state.misses >= MAX_MISSES

    def _run(self) -> None:
        while not self._stopping.wait(PROBE_INTERVAL_S):
            self.ask_all()


def _reachable(host: str) -> str:
    """The address at which a listener on `host` is reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
