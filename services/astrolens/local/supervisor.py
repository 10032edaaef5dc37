"""`astrolens up`: one process per service, restarted when it exits (with a limit) or hangs, all stopped together."""

import fcntl
import os
import signal
import time
import webbrowser
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from urllib.error import URLError
from urllib.request import urlopen

from rich.console import Console

from astrolens.local import preflight
from astrolens.local.broker import EmbeddedBroker
from astrolens.local.liveness import MAX_MISSES, PROBE_INTERVAL_S, LivenessMonitor
from astrolens.local.service_process import ServiceProcess
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.runtime.services import SERVICE_NAMES
from astrolens.platform.settings import Settings
from astrolens.platform.time_limits import KILL_AFTER_S

_MAX_RESTARTS = 5
_RESTART_WINDOW_S = 60.0
"""A service that exits more often than this within a minute is not restarted: a restart does not help it."""

_CHECK_INTERVAL_S = 0.2
_READY_TIMEOUT_S = 90.0
_CONFIGURATION_EXIT = 2


def up(settings: Settings, *, open_browser: bool = True) -> int:
    """Run all services until a signal or a configuration error; return the exit code.

    Raises:
        ConfigurationError: A check before the start failed, or another AstroLens runs on this home.
    """
    preflight.check_home(settings.home)
    with ExitStack() as stack:
        was_killed = stack.enter_context(_lock_home(settings.home))
        if was_killed:
            preflight.wait_for_ports(
                settings, timeout_s=settings.shutdown_grace_s + KILL_AFTER_S, report=Console(highlight=False).print
            )
        preflight.check(settings)
        if settings.events_url.startswith("embedded:"):
            broker = stack.enter_context(EmbeddedBroker())
            environment = _environment(settings, events_url=broker.url, embedded=True)
        else:
            environment = _environment(settings, events_url=settings.events_url, embedded=False)
        return Supervisor(settings, environment=environment, open_browser=open_browser).run()


def down(settings: Settings, *, timeout_s: float | None = None) -> int:
    """Stop the AstroLens that runs on this home; return 0 when it has stopped, 1 when it did not stop in time."""
    pid = running_pid(settings.home)
    console = Console()
    if pid is None:
        console.print(f"nothing runs on {settings.home}")
        return 0
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + (timeout_s or settings.shutdown_grace_s + 10)
    while time.monotonic() < deadline:
        if running_pid(settings.home) is None:
            console.print("stopped")
            return 0
        time.sleep(_CHECK_INTERVAL_S)
    console.print(f"process {pid} did not stop in time; look into {settings.home / 'logs'}")
    return 1


def running_pid(home: Path) -> int | None:
    """Process id of the supervisor that runs on this home, or None.

    The lock on the file decides, not the file: a supervisor that was killed leaves the file behind.
    """
    path = home / "supervisor.lock"
    if not path.exists():
        return None
    with path.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = file.read().strip()
            return int(text) if text.isdigit() else None
    return None


@contextmanager
def _lock_home(home: Path) -> Iterator[bool]:
    """Hold the lock of the home; give whether the supervisor before was killed.

    One that was killed leaves its process id in the file, and services that end a little later.
    """
    path = home / "supervisor.lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"AstroLens already runs on {home} (process {running_pid(home)}); `astrolens down` stops it, "
                "another ASTROLENS_HOME and ASTROLENS_PORT run a second one"
            ) from None
        file.seek(0)
        was_killed = bool(file.read().strip())
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield was_killed
        finally:
            file.truncate(0)


def _environment(settings: Settings, *, events_url: str, embedded: bool) -> dict[str, str]:
    environment = {**os.environ, **settings.as_environment()}
    environment["ASTROLENS_EVENTS_URL"] = events_url
    environment["ASTROLENS_PARENT_PIPE"] = "1"
    # Each service gets its share of the cores through its own settings, not through every library's thread pool.
    environment.setdefault("OMP_NUM_THREADS", "1")
    environment.setdefault("OPENBLAS_NUM_THREADS", "1")
    if embedded:
        environment["ASTROLENS_EMBEDDED_BROKER"] = "1"
    return environment


class Supervisor:
    """Starts, watches, restarts and stops the services."""

    def __init__(
        self,
        settings: Settings,
        *,
        environment: dict[str, str],
        open_browser: bool,
        make_process: Callable[..., ServiceProcess] = ServiceProcess,
        make_monitor: Callable[[Sequence[ServiceProcess], Settings], LivenessMonitor] = LivenessMonitor,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._open_browser = open_browser
        self._clock = clock
        self._print = Console(highlight=False).print
        self._stopping = False
        self._processes = [
            make_process(service, environment=environment, logs=settings.home / "logs") for service in SERVICE_NAMES
        ]
        self._exits: dict[str, deque[float]] = {service: deque(maxlen=_MAX_RESTARTS) for service in SERVICE_NAMES}
        self._not_restarted: set[str] = set()
        self._restart_at: dict[str, float] = {}
        self._liveness = make_monitor(self._processes, settings)
        self._kill_at: dict[str, float] = {}
        """When services that hang and were asked to stop are killed."""

    @property
    def url(self) -> str:
        """URL of the console."""
        host = "localhost" if self._settings.is_loopback else self._settings.host
        return f"http://{host}:{self._settings.port}"

    def run(self) -> int:
        """Run until a signal or a configuration error."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        self._print(f"AstroLens starts; it keeps everything in {self._settings.home}")
        for process in self._processes:
            process.start()
        self._liveness.start()
        try:
            return self._watch()
        finally:
            self._liveness.stop()
            self._stop_all()

    def _watch(self) -> int:
        ready_deadline: float | None = self._clock() + _READY_TIMEOUT_S
        while not self._stopping:
            for process in self._processes:
                code = self._supervise(process)
                if code == _CONFIGURATION_EXIT and not self._exits[process.service]:
                    return code
            if ready_deadline is not None and self._print_when_ready(ready_deadline):
                ready_deadline = None
            time.sleep(_CHECK_INTERVAL_S)
        return 0

    def _supervise(self, process: ServiceProcess) -> int | None:
        """Restart a service that exited, after a growing pause and up to the limit.

        Returns:
            Its exit code if it has just exited, else None.
        """
        now = self._clock()
        if process.service in self._not_restarted:
            return None
        if process.service in self._restart_at:
            if now >= self._restart_at[process.service]:
                del self._restart_at[process.service]
                process.start()
            return None
        code = process.exit_code()
        if code is None:
            self._stop_if_hung(process, now)
            return None
        self._kill_at.pop(process.service, None)
        if code == _CONFIGURATION_EXIT and not self._exits[process.service]:
            # Only at the first start: settings that worked before are right, so an engine is unreachable for a while.
            self._print(f"[red]{process.service} cannot start:[/red] {process.last_output_line()}", markup=True)
            return code
        exits = self._exits[process.service]
        if len(exits) == _MAX_RESTARTS and now - exits[0] < _RESTART_WINDOW_S:
            self._not_restarted.add(process.service)
            log = self._settings.home / "logs" / f"{process.service}.log"
            self._print(
                f"{process.service} ended {_MAX_RESTARTS + 1} times within a minute and is not started again; "
                f"its last output: {process.last_output_line()} (more in {log}). "
                "Everything else goes on; `astrolens down` and `astrolens up` try again.",
                markup=False,
            )
            return code
        exits.append(now)
        recent = sum(now - exited_at < _RESTART_WINDOW_S for exited_at in exits)
        pause_s = min(0.5 * 2 ** (recent - 1), 8.0)
        self._restart_at[process.service] = now + pause_s
        self._print(f"{process.service} ended with {code} and is started again; {_why(process, code)}", markup=False)
        return code

    def _stop_if_hung(self, process: ServiceProcess, now: float) -> None:
        """Stop a service that hangs, and kill it where that does not help; it is then started again as any other."""
        if process.service in self._kill_at:
            if now >= self._kill_at[process.service]:
                process.kill()
            return
        if not self._liveness.is_hung(process):
            return
        self._print(
            f"{process.service} hangs: it has not answered for {MAX_MISSES * PROBE_INTERVAL_S:.0f} s; "
            "it is stopped and started again",
            markup=False,
        )
        self._kill_at[process.service] = now + self._settings.shutdown_grace_s + KILL_AFTER_S
        process.terminate()

    def _print_when_ready(self, deadline: float) -> bool:
        """Print the console's URL once it answers, or a hint after `deadline`. Return True when one was printed."""
        try:
            with urlopen(f"{self.url}/api/health", timeout=1.0) as answer:  # noqa: S310 - our own loopback address
                ready = answer.status == 200
        except (URLError, OSError):
            ready = False
        if ready:
            self._print(f"AstroLens is up: {self.url}   (Ctrl-C stops it)")
            if self._open_browser and _has_display():
                webbrowser.open(self.url)
            return True
        if self._clock() > deadline:
            self._print(f"the console does not answer yet; look into {self._settings.home / 'logs'}")
            return True
        return False

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _stop_all(self) -> None:
        self._print("AstroLens stops")
        for process in self._processes:
            process.terminate()
        deadline = self._clock() + self._settings.shutdown_grace_s + KILL_AFTER_S
        for process in self._processes:
            if not process.wait(max(0.1, deadline - self._clock())):
                self._print(f"{process.service} did not stop in time and was killed; nothing is lost")


def _has_display() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) or os.uname().sysname == "Darwin"


def _why(process: ServiceProcess, code: int) -> str:
    """Why a service ended: what it said last, or the signal, of which the log knows nothing."""
    if code >= 0:
        return process.last_output_line()
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"{name} ended it, of which its log says nothing"
