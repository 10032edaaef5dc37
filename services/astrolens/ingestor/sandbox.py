"""The decoding sandbox: untrusted bytes are decoded in confined child processes, a few at a time.

A child that hangs or dies costs one image, never the service: the image is rejected with a reason, the child is
replaced, and what waited behind it is decoded by the next child. An image is rejected only for what it does itself;
when the machine stops a child, the image is decoded again. Nobody waits for ever: a worker that fails is begun again,
and while nothing makes progress the callers get an error that they may retry.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Final, Self

import structlog

from astrolens.ingestor.ports import DecoderStalled
from astrolens.ingestor.sandbox_process import ChildLost, ChildProcess, SandboxLimits, SandboxUnavailable
from astrolens.ingestor.sandbox_replies import Confinement
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.runtime.tasks import Tasks
from astrolens.science.cutouts import Cutout
from astrolens.science.rejection import ImageRejected

__all__ = ["DecodingSandbox", "SandboxLimits", "SandboxUnavailable"]

_log = structlog.get_logger(__name__)

_MAX_STALLS: Final = 3
"""Attempts at an image whose child does not run, each alone and longer than the one before."""

_MAX_FAILURES: Final = 2
"""Attempts at an image whose child dies, or at which a worker fails."""

_WORKER_RESTART_S: Final = 0.5
"""Pause before a worker that failed begins again, so that a lasting fault does not spin."""


_CLOSE_S: Final = 5.0
"""Seconds for the children to end when the sandbox is closed."""


@dataclass(eq=False, slots=True)
class _DecodeRequest:
    data: bytes
    result: asyncio.Future[Cutout]
    failures: int = 0
    stalls: int = 0

    @property
    def is_suspect(self) -> bool:
        """Whether a child was lost with it before: it goes alone then."""
        return self.failures + self.stalls > 0

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
        on_failure: Callable[[str], None] | None = None,
        on_confined: Callable[[Confinement], None] | None = None,
        require_confinement: bool = False,
    ) -> None:
        """Nothing is started yet.

        Args:
            workers: Children.
            limits: What each may take.
            waiting: Images that may wait for a child; further callers wait for a slot. By default two batches a child.
            on_death: Called with the cause of each child that died or was killed: a `Cause`, or `failed` where this
                side of it failed.
            on_decoded: Called for each reply with the seconds that the child took for it.
            on_failure: Called with a sentence when a worker failed by a fault of ours; it begins again.
            on_confined: Called with the layers that are in force when a child is up.
            require_confinement: Decode nothing in a child of which the kernel refused to confine anything.
        """
        self._limits = limits or SandboxLimits()
        self._workers = workers
        self._slots = asyncio.Semaphore(waiting or 2 * workers * self._limits.batch)
        self._queue: deque[_DecodeRequest] = deque()
        self._has_requests = asyncio.Event()
        self._tasks: Tasks | None = None
        self._on_death = on_death or (lambda _: None)
        self._on_decoded = on_decoded or (lambda _: None)
        self._on_failure = on_failure or (lambda _: None)
        self._on_confined = on_confined or (lambda _: None)
        self._require_confinement = require_confinement
        self._running: set[ChildProcess] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._progress_at = monotonic()

    @property
    def children(self) -> int:
        """Children that are up."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Images that wait for a child."""
        return len(self._queue)

    async def start(self) -> None:
        """Start the workers; each starts its child when it gets its first image.

        Raises:
            ConfigurationError: The confinement is required, and the kernel refuses a part of it.
            SandboxUnavailable: It is required, and no child can be started.
        """
        if self._require_confinement:
            await self._stop_child(await self._start_child())
        self._tasks = Tasks(self._worker_ended)
        for number in range(self._workers):
            self._tasks.spawn(f"sandbox-{number}", self._keep_worker)
        self._tasks.start()

    async def close(self) -> None:
        """End the children. Callers still waiting get `SandboxUnavailable`."""
        tasks, self._tasks = self._tasks, None
        if tasks is not None:
            await tasks.stop(grace_s=_CLOSE_S)
        if self._ending:
            await asyncio.wait(self._ending)
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
            SandboxUnavailable: No child can be started, or none makes progress.
            DecoderStalled: The children that had it did not run.
        """
        limits = self._limits.decode
        if len(data) > limits.max_bytes:
            raise ImageRejected("too-large", f"It has {len(data)} bytes, more than the limit of {limits.max_bytes}.")
        if self._slots.locked():
            await self._while_progress(self._slots.acquire)
        else:
            await self._slots.acquire()
        try:
            if self._tasks is None:
                raise SandboxUnavailable("the decoding sandbox is not running")
            request = _DecodeRequest(data, asyncio.get_running_loop().create_future())
            self._queue.append(request)
            self._has_requests.set()
            try:
                await self._while_progress(lambda: asyncio.wait([request.result]))
            finally:
                # A worker passes over requests whose caller no longer waits.
                request.result.cancel()
            return request.result.result()
        finally:
            self._slots.release()

    async def _while_progress(self, wait: Callable[[], Awaitable[object]]) -> None:
        """Wait for as long as any child makes progress.

        Raises:
            SandboxUnavailable: None did for `idle_s`.
        """
        since = monotonic()
        while True:
            within_s = max(self._progress_at, since) + self._limits.idle_s - monotonic()
            if within_s <= 0:
                raise SandboxUnavailable(f"no decoder made any progress for {self._limits.idle_s:g} s")
            try:
                async with asyncio.timeout(within_s):
                    await wait()
            except TimeoutError:
                continue
            return

    async def _next_batch(self) -> deque[_DecodeRequest]:
        """The next requests for one child. One with which a child was lost before goes alone."""
        while not self._queue:
            self._has_requests.clear()
            await self._has_requests.wait()
        batch = [self._queue.popleft()]
        room = self._limits.batch_bytes - len(batch[0].data)
        # The queue is shared out evenly: a batch must not make other children idle.
        limit = min(self._limits.batch, -(-(len(self._queue) + 1) // self._workers))
        while self._queue and len(batch) < limit and not batch[0].is_suspect and not self._queue[0].is_suspect:
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

    def _worker_ended(self, name: str, error: BaseException) -> None:
        """Last resort: `_keep_worker` ends by cancellation only."""
        if self._tasks is not None:
            self._tasks.spawn(name, self._keep_worker)
        self._on_failure(f"the decoding worker {name} ended: {type(error).__name__}: {error}")

    async def _keep_worker(self) -> None:
        """Run a worker, again and again: whatever ends it must not end decoding."""
        while True:
            try:
                await self._run_worker()
            except Exception as error:  # noqa: BLE001 - no fault of one worker may end all decoding
                _log.exception("a decoding worker failed and begins again")
                self._on_death("failed")
                self._on_failure(f"a decoding worker failed and begins again: {type(error).__name__}: {error}")
                await asyncio.sleep(_WORKER_RESTART_S)

    async def _run_worker(self) -> None:
        """Serve requests with one child at a time, replaced when it is lost or retired."""
        child: ChildProcess | None = None
        try:
            while True:
                requests = await self._next_batch()
                try:
                    child = await self._usable_child(child)
                    child.send([request.data for request in requests])
                    await self._collect_replies(child, requests)
                except asyncio.CancelledError:
                    for request in requests:
                        request.resolve(SandboxUnavailable("the decoding sandbox was closed"))
                    raise
                except SandboxUnavailable as error:
                    _log.warning("a decoding child did not start", error=str(error))
                    child = None
                    for request in requests:
                        request.resolve(error)
                except ChildLost as lost:
                    # Nothing may be awaited before: a cancellation would leave their callers waiting for ever.
                    self._handle_lost_child(requests, lost)
                    await self._stop_child(child)
                    child = None
                except Exception as error:
                    self._handle_lost_child(requests, error)
                    raise
        finally:
            await self._stop_child(child)

    async def _usable_child(self, child: ChildProcess | None) -> ChildProcess:
        if child is not None and child.retired:
            await self._stop_child(child)
            child = None
        if child is None:
            child = await self._start_child()
        return child

    async def _start_child(self) -> ChildProcess:
        child = await ChildProcess.start(self._limits)
        self._running.add(child)
        if self._require_confinement and child.confinement.refused:
            await self._stop_child(child)
            raise ConfigurationError(
                "ASTROLENS_REQUIRE_SANDBOX is set, but this machine does not confine decoders: it refuses "
                f"{', '.join(child.confinement.refused)}. Use a Linux kernel with Landlock (5.13 or later) and "
                "seccomp, and a container host that permits both, or unset it."
            )
        self._on_confined(child.confinement)
        return child

    async def _stop_child(self, child: ChildProcess | None) -> None:
        if child is not None:
            self._running.discard(child)
            # In a task of its own: a worker that is cancelled meanwhile must not leave a process behind.
            ending = asyncio.create_task(child.kill())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            await asyncio.shield(ending)

    async def _collect_replies(self, child: ChildProcess, requests: deque[_DecodeRequest]) -> None:
        """Resolve the requests in their order; those that remain when the child is lost are still in `requests`."""
        while requests:
            # The child decodes while its replies are read: what it takes for an image is the time until its reply.
            start = monotonic()
            reply = await child.receive(self._limits.wall_s * (1 + requests[0].stalls))
            self._progress_at = monotonic()
            requests.popleft().resolve(reply)
            self._on_decoded(self._progress_at - start)
            if child.retired and requests:
                # It works, but asked to be replaced: what is in its pipe goes to the next one.
                self._requeue(requests)

    def _handle_lost_child(self, requests: deque[_DecodeRequest], error: Exception) -> None:
        """Decide about the image at which a child was lost or this worker failed; the others go to the next child."""
        self._progress_at = monotonic()
        if not requests:
            return
        request = requests.popleft()
        self._requeue(requests)
        result = self._result_after_loss(request, error)
        if result is None:
            self._queue.appendleft(request)
        else:
            request.resolve(result)
        if isinstance(error, ChildLost):
            _log.warning("lost a decoding child", cause=error.cause, detail=str(error), size_bytes=len(request.data))
            self._on_death(error.cause)

    def _result_after_loss(self, request: _DecodeRequest, error: Exception) -> Exception | None:
        """What the caller gets, or None: once more, alone, in a fresh child."""
        if not isinstance(error, ChildLost):
            request.failures += 1
            # A fault of ours, not of the image: the caller gets the error itself and settles the image by it.
            return error if request.failures >= _MAX_FAILURES else None
        if error.cause == "timeout":
            return ImageRejected("timeout", f"Decoding it took longer than {self._limits.wall_s:g} s.")
        if error.cause == "stalled":
            request.stalls += 1
            return (
                DecoderStalled(f"{_MAX_STALLS} decoders stood still: {error}")
                if request.stalls >= _MAX_STALLS
                else None
            )
        request.failures += 1
        # Perhaps the machine was short of memory and the image is harmless.
        dead = ImageRejected("decoder-died", f"Decoding it ended two decoders: {error}.")
        return dead if request.failures >= _MAX_FAILURES else None
