"""The process of a run as the trainer's service starts, watches and ends it.

It has the lowest priority, one thread for every library, and bounds on memory and processor time that it sets for
itself. Its standard input is a pipe that nobody writes: it ends with the service, however that ends.
"""

import asyncio
import contextlib
import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from astrolens.platform.runtime.parent_watch import ENVIRONMENT_VARIABLE
from astrolens.platform.settings import Settings
from astrolens.trainer.retraining.orders import LOG, NEEDED

PROGRAM: Final = ("-P", "-m", "astrolens.trainer.retraining")
"""Arguments of Python. `-P`: its working directory is no place for modules."""
_KILL_S: Final = 10.0
"""Seconds for a killed process to end."""
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def training_available() -> tuple[bool, str]:
    """Whether this installation can train, and what it says of that, without importing anything."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if not missing:
        return True, "Retraining runs on this machine, in a process of its own with the lowest priority."
    return False, (
        f"Training is not installed here ({', '.join(missing)} missing): run `make setup` without TRAINER=no to add "
        "it; it takes 5.6 GB of disk. The interest ranking goes on without it."
    )


class RunProcess:
    """One process at a time.

    Args:
        settings: Handed to the process.
        program: Arguments of Python (tests).
    """

    def __init__(self, settings: Settings, *, program: tuple[str, ...] = PROGRAM) -> None:
        self._settings = settings
        self._program = program
        self._process: asyncio.subprocess.Process | None = None

    @property
    def is_running(self) -> bool:
        """Whether there is a process that has not ended."""
        return self._process is not None and self._process.returncode is None

    @property
    def exit_code(self) -> int | None:
        """How the last one ended."""
        return None if self._process is None else self._process.returncode

    async def start(self, folder: Path) -> None:
        """Start the process of the run in a folder.

        Raises:
            OSError: It cannot be started.
        """
        environment = os.environ | self._settings.as_environment() | dict.fromkeys(_THREADS, "1")
        with (folder / LOG).open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self._program,
                str(folder),
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment | {ENVIRONMENT_VARIABLE: "1"},
                start_new_session=True,
            )

    async def stop(self) -> None:
        """Kill the process; what it has finished stays in its folder."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_KILL_S):
                await process.wait()

    def forget(self) -> None:
        """The last process has ended and was dealt with."""
        if not self.is_running:
            self._process = None


def ending(code: int) -> str:
    """How a process ended, for people."""
    if code == -signal.SIGXCPU:
        return "took more processor time than it is allowed (ASTROLENS_TRAINING_CPU_HOURS)"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit status {code}"


def last_lines(folder: Path, count: int) -> tuple[str, ...]:
    """The last lines of a run's log, each cut to 300 characters."""
    path = folder / LOG
    if not path.is_file():
        return ()
    with path.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        stream.seek(max(0, stream.tell() - 16_384))
        text = stream.read().decode("utf-8", errors="replace")
    return tuple(line[:300] for line in text.splitlines()[-count:])
