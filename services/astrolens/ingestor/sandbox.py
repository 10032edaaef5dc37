"""The decoding sandbox: untrusted bytes are decoded in confined child processes, a few at a time.

A child that hangs or dies costs one image, never the service: the image is rejected with a reason, the child is
replaced, and what waited behind it is decoded by the next child.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType
from typing import Self

import structlog

from astrolens.ingestor.sandbox_protocol import LENGTHS, MAX_BODY, MAX_HEADER, MalformedReply, frame, parse_reply
from astrolens.platform.errors import TransientError
from astrolens.science.cutouts import Cutout
from astrolens.science.rejection import DecodeLimits, ImageRejected

_log = structlog.get_logger(__name__)


_REPLY_BUFFER_BYTES = 2**20
"""Replies that may wait in the parent: a whole batch."""


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
        images_per_child: Then it is replaced, before leaks in decoders matter.
        batch: Images on their way to one child: while it decodes one, the next is in its pipe.
        batch_bytes: The same, in bytes; a single image may be larger.
    """

    decode: DecodeLimits = field(default_factory=DecodeLimits)
    address_space: int = 1536 * 2**20
    wall_s: float = 10.0
    cpu_s: int = 8
    start_s: float = 60.0
    images_per_child: int = 5000
    batch: int = 8
    batch_bytes: int = 4 * 2**20


@dataclass(eq=False, slots=True)
class _DecodeRequest:
    data: bytes
    result: asyncio.Future[Cutout]
    lost_children: int = 0

    def resolve(self, result: Cutout | Exception) -> None:
        """Give the caller its result, unless it was cancelled."""
        if self.result.done():
            return
        if isinstance(result, Cutout):
            self.result.set_result(result)
        else:
            self.result.set_exception(result)


class DecodingSandbox:
    """A pool of decoding children. Use it as an async context manager, or call `start` and `close`."""

    def __init__(
        self,
        workers: int,
        limits: SandboxLimits | None = None,
        *,
        waiting: int | None = None,
        on_death: Callable[[str], None] | None = None,
        on_decoded: Callable[[float], None] | None = None,
    ) -> None:
        """Nothing is started yet.

        Args:
            workers: Children.
            limits: What each may take.
            waiting: Images that may wait for a child; further callers wait for a slot. By default two batches a child.
            on_death: Called with the cause of each child that died or was killed: `timeout`, `died`, `malformed`.
            on_decoded: Called for each reply with the seconds that the child took for it.
        """
        self._limits = limits or SandboxLimits()
        self._workers = workers
        self._slots = asyncio.Semaphore(waiting or 2 * workers * self._limits.batch)
        self._queue: deque[_DecodeRequest] = deque()
        self._has_requests = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._on_death = on_death
        self._on_decoded = on_decoded or (lambda _: None)
        self._running: set[_Child] = set()
        self._closed = False

    @property
    def children(self) -> int:
        """Children that are up."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Images that wait for a child."""
        return len(self._queue)

    async def start(self) -> None:
        """Start the children; they come up beside what the caller does next."""
        self._tasks = [asyncio.create_task(self._run_worker(), name=f"sandbox-{n}") for n in range(self._workers)]

    async def close(self) -> None:
        """End the children. Callers still waiting get `SandboxUnavailable`."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while self._queue:
            self._queue.popleft().resolve(SandboxUnavailable("the decoding sandbox was closed"))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def decode(self, data: bytes) -> Cutout:
        """Make the cutout of an original.

        Raises:
            ImageRejected: These bytes will never become a cutout; `timeout` and `decoder-died` are such reasons.
            SandboxUnavailable: No child can be started.
        """
        limits = self._limits.decode
        if len(data) > limits.max_bytes:
            raise ImageRejected("too-large", f"It has {len(data)} bytes, more than the limit of {limits.max_bytes}.")
        async with self._slots:
            if self._closed or not self._tasks:
                raise SandboxUnavailable("the decoding sandbox is not running")
            request = _DecodeRequest(data, asyncio.get_running_loop().create_future())
            self._queue.append(request)
            self._has_requests.set()
            return await request.result

    async def _next_batch(self) -> deque[_DecodeRequest]:
        """The next requests for one child. One in whose decoding a child was lost before goes alone."""
        while not self._queue:
            self._has_requests.clear()
            await self._has_requests.wait()
        batch = [self._queue.popleft()]
        room = self._limits.batch_bytes - len(batch[0].data)
        # The queue is shared out evenly: a batch must not make other children idle.
        limit = min(self._limits.batch, -(-(len(self._queue) + 1) // self._workers))
        while self._queue and len(batch) < limit and not batch[0].lost_children and not self._queue[0].lost_children:
            room -= len(self._queue[0].data)
            if room < 0:
                break
            batch.append(self._queue.popleft())
        return deque(request for request in batch if not request.result.done())

    def _requeue(self, requests: deque[_DecodeRequest]) -> None:
        """Put requests that no child has begun at the front of the queue, in their order."""
        self._queue.extendleft(reversed(requests))
        requests.clear()
        self._has_requests.set()

    async def _run_worker(self) -> None:
        """Serve requests with one child at a time, replaced when it is lost or retired."""
        child: _Child | None = None
        try:
            while True:
                requests = await self._next_batch()
                try:
                    child = await self._usable_child(child)
                    child.send(requests)
                    await self._collect_replies(child, requests)
                except asyncio.CancelledError:
                    for request in requests:
                        request.resolve(SandboxUnavailable("the decoding sandbox was closed"))
                    raise
                except SandboxUnavailable as error:
                    _log.warning("a decoding child did not start", error=str(error))
                    for request in requests:
                        request.resolve(error)
                except _ChildLost as lost:
                    self._resolve_lost(requests.popleft(), lost)
                    # Nothing may be awaited before: a cancellation would leave their callers waiting for ever.
                    self._requeue(requests)
                    await self._stop_child(child)
                    child = None
        finally:
            await self._stop_child(child)

    async def _usable_child(self, child: "_Child | None") -> "_Child":
        if child is not None and child.retired:
            await self._stop_child(child)
            child = None
        if child is None:
            child = await _Child.start(self._limits)
            self._running.add(child)
        return child

    async def _stop_child(self, child: "_Child | None") -> None:
        if child is not None:
            self._running.discard(child)
            await child.kill()

    async def _collect_replies(self, child: "_Child", requests: deque[_DecodeRequest]) -> None:
        """Resolve the requests in their order; those that remain when the child is lost are still in `requests`."""
        while requests:
            # The child decodes while its replies are read: what it takes for an image is the time until its reply.
            start = monotonic()
            reply = await child.receive()
            self._on_decoded(monotonic() - start)
            requests.popleft().resolve(reply)
            if child.retired and requests:
                # It works, but asked to be replaced: what is in its pipe goes to the next one.
                self._requeue(requests)

    def _resolve_lost(self, request: _DecodeRequest, lost: "_ChildLost") -> None:
        """Decide about the image in whose decoding a child was lost."""
        _log.warning("lost a decoding child", cause=lost.cause, detail=str(lost), size_bytes=len(request.data))
        if self._on_death is not None:
            self._on_death(lost.cause)
        request.lost_children += 1
        if lost.cause == "timeout":
            request.resolve(ImageRejected("timeout", f"Decoding it took longer than {self._limits.wall_s:g} s."))
        elif request.lost_children > 1:
            request.resolve(ImageRejected("decoder-died", f"Decoding it ended two decoders: {lost}."))
        else:
            # Perhaps the machine was short of memory and the image is harmless: once more, alone, in a fresh child.
            self._queue.appendleft(request)


class _ChildLost(Exception):
    """A child hangs, died or sent a malformed reply."""

    def __init__(self, cause: str, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause


class _Child:
    """One confined process and the pipes to it."""

    def __init__(self, process: asyncio.subprocess.Process, limits: SandboxLimits) -> None:
        self._process = process
        self._limits = limits
        self._served = 0
        self.retired = False

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
                *("-m", "astrolens.ingestor.sandbox_child", json.dumps(options)),
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
                await child._frame()
        except (TimeoutError, _ChildLost) as error:
            await child.kill()
            raise SandboxUnavailable(f"a decoding child did not come up: {error}") from error
        except asyncio.CancelledError:
            await child.kill()
            raise
        return child

    def send(self, requests: deque[_DecodeRequest]) -> None:
        """Put a batch into the pipe. Not awaited: the child empties it while its replies are read."""
        pipe = self._process.stdin
        if pipe is not None:
            # One write: each write of its own would wake the event loop for what the pipe has no room for.
            pipe.write(b"".join(frame({}, request.data) for request in requests))

    async def receive(self) -> Cutout | ImageRejected:
        """The next reply.

        Raises:
            _ChildLost: It hangs, died or sent a malformed reply.
        """
        try:
            async with asyncio.timeout(self._limits.wall_s):
                head, body = await self._frame()
        except TimeoutError:
            raise _ChildLost("timeout", "no answer in time") from None
        try:
            reply, wants_replacement = parse_reply(head, body, side=self._limits.decode.cutout_side)
        except MalformedReply as error:
            raise _ChildLost("malformed", str(error)) from error
        self._served += 1
        self.retired = wants_replacement or self._served >= self._limits.images_per_child
        return reply

    async def _frame(self) -> tuple[bytes, bytes]:
        pipe = self._process.stdout
        if pipe is None:
            raise _ChildLost("died", "it has no output")
        try:
            head, body = LENGTHS.unpack(await pipe.readexactly(LENGTHS.size))
            if head > MAX_HEADER or body > MAX_BODY:
                raise _ChildLost("malformed", "a reply beyond all bounds")
            reply = await pipe.readexactly(head + body)
            return reply[:head], reply[head:]
        except (asyncio.IncompleteReadError, ConnectionError):
            code = await self._process.wait()
            if code == -signal.SIGXCPU:
                raise _ChildLost("timeout", "its processor time is spent") from None
            how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
            raise _ChildLost("died", f"the decoder ended with {how}") from None

    async def kill(self) -> None:
        """Kill it, whatever it does, and wait for its end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()


def _environment() -> dict[str, str]:
    """No secrets, no settings: the search path of Python, and one thread for every library."""
    needed = ("PATH", "PYTHONPATH", "LANG", "LD_LIBRARY_PATH")
    kept = {name: os.environ[name] for name in needed if name in os.environ}
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**kept, **single, "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1"}
