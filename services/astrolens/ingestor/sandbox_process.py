"""One child of the decoding sandbox as the ingestor sees it: a process, the pipes to it, and its bounds."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Self

import structlog

from astrolens.ingestor.sandbox_protocol import LENGTHS, MAX_BODY, MAX_HEADER, frame
from astrolens.ingestor.sandbox_replies import Confinement, MalformedReply, parse_ready, parse_reply
from astrolens.platform.errors import TransientError
from astrolens.science.cutouts import Cutout
from astrolens.science.rejection import DecodeLimits, ImageRejected

CHILD_PROGRAM = ("-P", "-m", "astrolens.ingestor.sandbox_child")
"""Arguments of Python. `-P`: its working directory is no place for modules."""

_REPLY_BUFFER_BYTES: Final = 2**20
"""Replies that may wait in the parent: a whole batch."""

_CPU_SHARE: Final = 0.8
"""An image that took this share of its bound as processor time has spent it: the kernel's clock ticks are coarse."""


_FIRST_CPU_CHECK: Final = 0.05
"""Share of an image's time after which its processor time is first measured."""

_KILL_TIMEOUT_S: Final = 10.0
"""Seconds for a killed process to end. The kernel may hold one that waits for a disk; nobody waits longer for it."""

_log = structlog.get_logger(__name__)


class SandboxUnavailable(TransientError):
    """No child can be started, or the sandbox is closed."""


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """What one child may take.

    Attributes:
        decode: Bounds on an original.
        address_space: Bytes of memory that a child may map: libraries 0.4 GiB, 64 million pixels the rest.
        wall_s: Seconds for one image.
        cpu_s: Seconds of processor time for one image.
        start_s: Seconds for a child to come up, on a busy machine.
        idle_s: Seconds that an image waits while no child makes any progress. Longer than the start of a child and
            an image together.
        images_per_child: Then it is replaced, before leaks in decoders matter.
        batch: Images on their way to one child: while it decodes one, the next is in its pipe.
        batch_bytes: The same, in bytes; a single image may be larger.
    """

    decode: DecodeLimits = field(default_factory=DecodeLimits)
    address_space: int = 1536 * 2**20
    wall_s: float = 10.0
    cpu_s: int = 8
    start_s: float = 60.0
    idle_s: float = 120.0
    images_per_child: int = 5000
    batch: int = 8
    batch_bytes: int = 4 * 2**20


Cause = Literal["timeout", "stalled", "died", "malformed"]
"""Why a child was lost: its image took too long, it did not run, it died, or it sent a malformed reply."""


class ChildLost(Exception):
    """A child hangs, died or sent a malformed reply."""

    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause


class ChildProcess:
    """One confined process and the pipes to it."""

    def __init__(self, process: asyncio.subprocess.Process, limits: SandboxLimits) -> None:
        self._process = process
        self._limits = limits
        self._served = 0
        self.retired = False
        self.confinement = Confinement(landlock=False, seccomp=False, network=False)

    @classmethod
    async def start(cls, limits: SandboxLimits) -> Self:
        """Start a child and wait until it is confined.

        Raises:
            SandboxUnavailable: It does not come up.
        """
        options = {
            "parent": os.getpid(),
            "address_space": limits.address_space,
            "cpu_s": limits.cpu_s,
            "limits": limits.decode.to_json(),
        }
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *(*CHILD_PROGRAM, json.dumps(options)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=_REPLY_BUFFER_BYTES,
                cwd="/",
                env=_environment(),
                start_new_session=True,
            )
        except OSError as error:
            raise SandboxUnavailable(f"a decoding child cannot be started: {error}") from error
        child = cls(process, limits)
        try:
            async with asyncio.timeout(limits.start_s):
                head, _ = await child._frame()
            child.confinement = parse_ready(head)
        except (TimeoutError, ChildLost, MalformedReply) as error:
            await child.kill()
            raise SandboxUnavailable(f"a decoding child did not come up: {error}") from error
        except BaseException:
            await child.kill()
            raise
        return child

    def send(self, originals: Sequence[bytes]) -> None:
        """Put a batch into the pipe. Not awaited: the child empties it while its replies are read."""
        pipe = self._process.stdin
        if pipe is not None:
            # One write: each write of its own would wake the event loop for what the pipe has no room for.
            pipe.write(b"".join(frame({}, data) for data in originals))

    async def receive(self, wall_s: float) -> Cutout | ImageRejected:
        """The next reply, within a bound on the wall clock.

        Raises:
            ChildLost: It hangs, died or sent a malformed reply.
        """
        # Only late replies need it: most arrive before the first look at the processor time.
        cpu_s: list[float | None] = []
        first_cpu_check = asyncio.get_running_loop().call_later(
            wall_s * _FIRST_CPU_CHECK, lambda: cpu_s.append(self._cpu_s())
        )
        try:
            async with asyncio.timeout(wall_s):
                head, body = await self._frame()
        except TimeoutError:
            raise self._late(cpu_s[0] if cpu_s else None, wall_s) from None
        finally:
            first_cpu_check.cancel()
        try:
            reply, wants_replacement = parse_reply(head, body, limits=self._limits.decode)
        except MalformedReply as error:
            raise ChildLost("malformed", str(error)) from error
        self._served += 1
        self.retired = wants_replacement or self._served >= self._limits.images_per_child
        return reply

    def _late(self, cpu_before_s: float | None, wall_s: float) -> ChildLost:
        """Whether the child worked all the time, or was stopped, starved or asleep: then its image is not at fault."""
        cpu_now_s = self._cpu_s()
        if cpu_before_s is None or cpu_now_s is None:
            return ChildLost("timeout", "no answer in time")
        spent_s = cpu_now_s - cpu_before_s
        if spent_s >= _CPU_SHARE * min(self._limits.cpu_s, wall_s):
            return ChildLost("timeout", f"no answer in time; it took {spent_s:.1f} s of processor time")
        return ChildLost("stalled", f"no answer in time, yet it ran for {spent_s:.1f} s only")

    def _cpu_s(self) -> float | None:
        """Seconds of processor time of the child so far; None where the system does not show it."""
        try:
            # Behind the name in parentheses: state, then utime and stime as the 12th and 13th field.
            fields = Path(f"/proc/{self._process.pid}/stat").read_bytes().rpartition(b")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, IndexError, ValueError):
            return None

    async def _frame(self) -> tuple[bytes, bytes]:
        pipe = self._process.stdout
        if pipe is None:
            raise ChildLost("died", "it has no output")
        try:
            head, body = LENGTHS.unpack(await pipe.readexactly(LENGTHS.size))
            if head > MAX_HEADER or body > MAX_BODY:
                raise ChildLost("malformed", "a reply beyond all bounds")
            reply = await pipe.readexactly(head + body)
            return reply[:head], reply[head:]
        except (asyncio.IncompleteReadError, ConnectionError):
            code = await self._process.wait()
            if code == -signal.SIGXCPU:
                raise ChildLost("timeout", "its processor time is spent") from None
            raise ChildLost("died", f"the decoder ended with {_ending(code)}") from None

    async def kill(self) -> None:
        """Kill it, whatever it does, and wait for its end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(_KILL_TIMEOUT_S):
                await self._process.wait()
        except TimeoutError:
            _log.error("a killed decoding child does not end", pid=self._process.pid)


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def _environment() -> dict[str, str]:
    """No secrets, no settings: the search path of Python, and one thread for every library."""
    needed = ("PATH", "PYTHONPATH", "LANG", "LD_LIBRARY_PATH")
    kept = {name: os.environ[name] for name in needed if name in os.environ}
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**kept, **single, "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1"}
