"""Measures morphology in a child process with bounds on memory, processor time and wall clock."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from dataclasses import dataclass
from time import monotonic
from typing import Final

import structlog
from pydantic import ValidationError

from astrolens.contracts.morphology import Morphology, not_measured
from astrolens.inference.morphology_protocol import LENGTH, LENGTHS
from astrolens.platform.errors import TransientError

CHILD_PROGRAM: Final = ("-P", "-m", "astrolens.inference.morphology_child")
"""Arguments of Python. `-P`: its working directory is no place for modules."""

_MAX_REPLY: Final = 64 * 1024
_KILL_S: Final = 10.0
"""Seconds for a killed process to end. The kernel may hold one that waits for a disk; nobody waits longer for it."""

_log = structlog.get_logger(__name__)


class MeasurementUnavailable(TransientError):
    """Nothing measures: no child comes up."""


class MeasurementStalled(TransientError):
    """A child did not answer in time though it had processor time left: the machine may be at fault, or the picture."""


class _ChildEnded(Exception):
    """The child ended at a picture; the text says how."""


@dataclass(frozen=True, slots=True)
class MeasurementLimits:
    """What a child may take.

    Attributes:
        cpu_s: Seconds of processor time for one picture; most take one or two, some five.
        wall_s: Seconds for one picture. Long, since the child has the lowest priority on a busy machine.
        start_s: Seconds for it to come up; its libraries take three of processor time.
        idle_s: So long after its last picture it ends.
        address_space: Bytes of memory that it may map: libraries and a picture take 0.44 GiB.
    """

    cpu_s: int = 20
    wall_s: float = 120.0
    start_s: float = 120.0
    idle_s: float = 300.0
    address_space: int = 2**30


class MorphologyProcess:
    """One child at a time, started for the first picture and again after one that ended it.

    Args:
        limits: What it may take.
        program: Arguments of Python (tests).
    """

    def __init__(self, limits: MeasurementLimits | None = None, *, program: tuple[str, ...] = CHILD_PROGRAM) -> None:
        self._limits = limits or MeasurementLimits()
        self._program = program
        self._child: asyncio.subprocess.Process | None = None
        self._used_at = monotonic()

    async def measure(self, jpeg: bytes) -> Morphology:
        """Measure a cutout: by statmorph, by simple properties where that ends the child, else not at all.

        Raises:
            MeasurementUnavailable: No child comes up.
            MeasurementStalled: It did not answer in time.
        """
        try:
            return await self._ask(jpeg, without_statmorph=None)
        except _ChildEnded as ended:
            first = str(ended)
        try:
            return await self._ask(jpeg, without_statmorph=f"statmorph {first}")
        except _ChildEnded as ended:
            return not_measured(f"statmorph {first}; the simple measurement {ended}")

    async def close_if_idle(self) -> None:
        """End the child where nothing was measured for some time, and give its memory back."""
        if self._child is not None and monotonic() - self._used_at > self._limits.idle_s:
            await self.close()

    async def close(self) -> None:
        """End the child, whatever it does."""
        child, self._child = self._child, None
        if child is None:
            return
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        if child.stdin is not None:
            child.stdin.close()
        try:
            async with asyncio.timeout(_KILL_S):
                await child.wait()
        except TimeoutError:
            _log.error("a killed process does not end", pid=child.pid)

    async def _ask(self, jpeg: bytes, *, without_statmorph: str | None) -> Morphology:
        child = self._child or await self._start()
        self._used_at = monotonic()
        options = json.dumps({"without_statmorph": without_statmorph}).encode()
        answered = False
        try:
            if child.stdin is None:
                raise _ChildEnded("had no input")
            child.stdin.write(LENGTHS.pack(len(options), len(jpeg)) + options + jpeg)
            async with asyncio.timeout(self._limits.wall_s):
                measured = Morphology.model_validate_json(await _reply(child))
            answered = True
        except TimeoutError:
            raise MeasurementStalled(f"a measurement was not done in {self._limits.wall_s:g} s") from None
        except (asyncio.IncompleteReadError, ConnectionError):
            raise _ChildEnded(await self._ending(child)) from None
        except ValidationError:
            raise _ChildEnded("gave a reply that cannot be read") from None
        finally:
            # Also where the caller is cancelled: the answer to this picture must not be read as the next one's.
            if not answered:
                await self.close()
        return measured

    async def _start(self) -> asyncio.subprocess.Process:
        limits = self._limits
        options = json.dumps({"cpu_s": limits.cpu_s, "address_space": limits.address_space})
        try:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                *self._program,
                options,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                cwd="/",
                env=_environment(),
                # No session of its own: Linux shares processors among sessions before it looks at niceness.
                process_group=0,
            )
        except OSError as error:
            raise MeasurementUnavailable(f"no process for morphology can be started: {error}") from error
        self._child = child
        ready = False
        try:
            async with asyncio.timeout(limits.start_s):
                await _reply(child)
            ready = True
        except TimeoutError:
            raise MeasurementUnavailable("the process for morphology did not come up in time") from None
        except (asyncio.IncompleteReadError, ConnectionError):
            ending = await self._ending(child)
            raise MeasurementUnavailable(
                f"the process for morphology {ending} at its start: are statmorph and photutils installed?"
            ) from None
        finally:
            if not ready:
                await self.close()
        return child

    async def _ending(self, child: asyncio.subprocess.Process) -> str:
        """How a child ended that closed its output; one that did not is killed."""
        try:
            async with asyncio.timeout(_KILL_S):
                code = await child.wait()
        except TimeoutError:
            return "closed its output"
        if code == -signal.SIGXCPU:
            return f"took more than {self._limits.cpu_s} s of processor time"
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"was ended by {signal.Signals(-code).name}"
        return f"ended with exit status {code}"


async def _reply(child: asyncio.subprocess.Process) -> bytes:
    if child.stdout is None:
        raise ConnectionError("it has no output")
    (length,) = LENGTH.unpack(await child.stdout.readexactly(LENGTH.size))
    if length > _MAX_REPLY:
        raise ConnectionError("a reply beyond all bounds")
    return await child.stdout.readexactly(length)


def _environment() -> dict[str, str]:
    """No secrets, no settings: the search path of Python, and one thread for every library."""
    needed = ("PATH", "PYTHONPATH", "LANG", "LD_LIBRARY_PATH")
    kept = {name: os.environ[name] for name in needed if name in os.environ}
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**kept, **single, "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1"}
