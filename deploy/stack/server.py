"""One server process: started detached, known by a pid file, ended only when the pid is still that process."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_STOP_S = 20.0
_POLL_S = 0.1
_LAST_LINES = 15


class StackError(Exception):
    """Something of the stack cannot be installed or started; the message says what to do."""


@dataclass(frozen=True)
class Server:
    """What is started, and how to see that it serves.

    Attributes:
        name: Name of the server, of its pid file and its log.
        command: Program and arguments.
        state: The folder for pid file and log; also the working directory.
        healthy: Whether it serves.
        environment: Variables beside this process's own.
        start_timeout_s: Longest start.
    """

    name: str
    command: Sequence[str]
    state: Path
    healthy: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    start_timeout_s: float = 60.0

    @property
    def log(self) -> Path:
        """Where it writes."""
        return self.state / f"{self.name}.log"

    def start(self) -> bool:
        """Start it unless it runs; return whether it was started.

        Raises:
            StackError: It ended, or did not serve in time.
        """
        running = find(self.state, self.name)
        process = None if running else self._spawn()
        deadline = time.monotonic() + self.start_timeout_s
        while not self.healthy():
            if process is not None and process.poll() is not None:
                (self.state / f"{self.name}.pid").unlink(missing_ok=True)
                raise StackError(f"{self.name} ended with {process.returncode}:\n{self._log_tail()}")
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} did not serve within {self.start_timeout_s:g} s:\n{self._log_tail()}")
            time.sleep(_POLL_S)
        return process is not None

    def _spawn(self) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - programs that this package installed
                list(self.command),
                cwd=self.state,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # it outlives the terminal that started it
            )
        started = psutil.Process(process.pid).create_time()
        (self.state / f"{self.name}.pid").write_text(json.dumps({"pid": process.pid, "started": started}))
        return process

    def _log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-_LAST_LINES:]) or "it said nothing"


def find(state: Path, name: str) -> psutil.Process | None:
    """The process of a pid file, None when it is gone: a number alone may by now be somebody else's."""
    path = state / f"{name}.pid"
    try:
        noted = json.loads(path.read_text())
        process = psutil.Process(noted["pid"])
        same = abs(process.create_time() - noted["started"]) < 1.0
        if same and process.status() != psutil.STATUS_ZOMBIE:
            return process
    except (FileNotFoundError, ValueError, KeyError, psutil.NoSuchProcess):
        return None
    return None


def stop(state: Path, name: str, *, kill: bool = False) -> bool:
    """End a server (with -9 where `kill`); return whether it ran."""
    process = find(state, name)
    if process is not None:
        (process.kill if kill else process.terminate)()
        try:
            process.wait(_STOP_S)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(_STOP_S)
    (state / f"{name}.pid").unlink(missing_ok=True)
    return process is not None
