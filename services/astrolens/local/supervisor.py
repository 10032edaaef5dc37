"""`astrolens up`: one process a service, restarted when it dies (with a limit), stopped together."""

import fcntl
import os
import signal
import time
import webbrowser
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from urllib.error import URLError
from urllib.request import urlopen

from rich.console import Console

from astrolens.local import preflight
from astrolens.local.broker import EmbeddedBroker
from astrolens.local.child import Child
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.runtime.services import SERVICE_NAMES
from astrolens.platform.settings import Settings

_MAX_RESTARTS = 5
_RESTART_WINDOW_S = 60.0
"""A service that dies more often than this in a minute dies of something that a restart does not mend."""

_CHECK_INTERVAL_S = 0.2
_READY_TIMEOUT_S = 90.0
_CONFIGURATION_EXIT = 2


def up(settings: Settings, *, open_browser: bool = True) -> int:
    """Run everything until a signal or a configuration error; return the exit code.

    Raises:
        ConfigurationError: Something is wrong before the start, or another AstroLens runs on this home.
    """
    preflight.check_home(settings.home)
    with ExitStack() as stack:
        stack.enter_context(_only_one(settings.home))
        preflight.check(settings)
        if settings.events_url.startswith("embedded:"):
            broker = stack.enter_context(EmbeddedBroker())
            environment = _environment(settings, events_url=broker.url, embedded=True)
        else:
            environment = _environment(settings, events_url=settings.events_url, embedded=False)
        return Supervisor(settings, environment=environment, open_browser=open_browser).run()


def down(settings: Settings, *, timeout_s: float | None = None) -> int:
    """Stop the AstroLens that runs on this home; 0 when nothing runs any more, 1 when it did not stop in time."""
    pid = running_pid(settings.home)
    say = Console().print
    if pid is None:
        say(f"nothing runs on {settings.home}")
        return 0
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + (timeout_s or settings.shutdown_grace_s + 10)
    while time.monotonic() < deadline:
        if running_pid(settings.home) is None:
            say("stopped")
            return 0
        time.sleep(_CHECK_INTERVAL_S)
    say(f"process {pid} did not stop in time; look into {settings.home / 'logs'}")
    return 1


def running_pid(home: Path) -> int | None:
    """The supervisor that holds this home, or None. The lock tells, not the file: a killed one leaves the file."""
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
def _only_one(home: Path) -> Iterator[None]:
    path = home / "supervisor.lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"AstroLens already runs on {home} (process {running_pid(home)}); `astrolens down` stops it, "
                "another ASTROLENS_HOME and ASTROLENS_PORT run a second one"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


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
    """Starts, watches, restarts and stops the children."""

    def __init__(
        self,
        settings: Settings,
        *,
        environment: dict[str, str],
        open_browser: bool,
        make_child: Callable[..., Child] = Child,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._open_browser = open_browser
        self._clock = clock
        self._say = Console(highlight=False).print
        self._stopping = False
        self._children = [
            make_child(service, environment=environment, logs=settings.home / "logs") for service in SERVICE_NAMES
        ]
        self._deaths: dict[str, deque[float]] = {service: deque(maxlen=_MAX_RESTARTS) for service in SERVICE_NAMES}
        self._given_up: set[str] = set()
        self._restart_at: dict[str, float] = {}

    @property
    def url(self) -> str:
        """Where the console is."""
        host = "localhost" if self._settings.is_loopback else self._settings.host
        return f"http://{host}:{self._settings.port}"

    def run(self) -> int:
        """Run until a signal or a configuration error."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        self._say(f"AstroLens starts; it keeps everything in {self._settings.home}")
        for child in self._children:
            child.start()
        try:
            return self._watch()
        finally:
            self._stop_all()

    def _watch(self) -> int:
        ready_deadline: float | None = self._clock() + _READY_TIMEOUT_S
        while not self._stopping:
            for child in self._children:
                code = self._check(child)
                if code == _CONFIGURATION_EXIT and not self._deaths[child.service]:
                    return code
            if ready_deadline is not None and self._announce(ready_deadline):
                ready_deadline = None
            time.sleep(_CHECK_INTERVAL_S)
        return 0

    def _check(self, child: Child) -> int | None:
        """Look after one child: note a death, restart after a growing pause, give up past the limit."""
        now = self._clock()
        if child.service in self._given_up:
            return None
        if child.service in self._restart_at:
            if now >= self._restart_at[child.service]:
                del self._restart_at[child.service]
                child.start()
            return None
        code = child.exit_code()
        if code is None:
            return None
        if code == _CONFIGURATION_EXIT and not self._deaths[child.service]:
            # At a restart the settings are those that worked before: an engine is away, and the others go on.
            self._say(f"[red]{child.service} cannot start:[/red] {child.last_output_line()}", markup=True)
            return code
        deaths = self._deaths[child.service]
        if len(deaths) == _MAX_RESTARTS and now - deaths[0] < _RESTART_WINDOW_S:
            self._given_up.add(child.service)
            self._say(
                f"{child.service} died {_MAX_RESTARTS + 1} times within a minute and stays down; its last words: "
                f"{child.last_output_line()} (more in {self._settings.home / 'logs' / child.service}.log). "
                "Everything else goes on; `astrolens down` and `astrolens up` try again.",
                markup=False,
            )
            return code
        deaths.append(now)
        lately = sum(now - death < _RESTART_WINDOW_S for death in deaths)
        pause_s = min(0.5 * 2 ** (lately - 1), 8.0)
        self._restart_at[child.service] = now + pause_s
        self._say(f"{child.service} ended with {code} and is started again; {child.last_output_line()}", markup=False)
        return code

    def _announce(self, deadline: float) -> bool:
        """Say where the console is as soon as it answers; True when there is nothing more to say."""
        try:
            with urlopen(f"{self.url}/api/health", timeout=1.0) as answer:  # noqa: S310 - our own loopback address
                ready = answer.status == 200
        except (URLError, OSError):
            ready = False
        if ready:
            self._say(f"AstroLens is up: {self.url}   (Ctrl-C stops it)")
            if self._open_browser and _has_display():
                webbrowser.open(self.url)
            return True
        if self._clock() > deadline:
            self._say(f"the console does not answer yet; look into {self._settings.home / 'logs'}")
            return True
        return False

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _stop_all(self) -> None:
        self._say("AstroLens stops")
        for child in self._children:
            child.terminate()
        deadline = self._clock() + self._settings.shutdown_grace_s + 2.0
        for child in self._children:
            if not child.wait(max(0.1, deadline - self._clock())):
                self._say(f"{child.service} did not stop in time and was killed; nothing is lost")


def _has_display() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) or os.uname().sysname == "Darwin"
