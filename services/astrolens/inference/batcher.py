"""Dynamic micro-batching: requests share forward passes, and the event loop never waits for one."""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Generic, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")

_MIN_SPLIT_ROWS: Final = 8
"""Rows below which a batch is not split among idle workers: smaller batches cost more per row."""


class QueueFull(Exception):
    """The queue has no room for the request; try again later."""


class BatcherClosed(Exception):
    """The batcher is not running."""


class _Request(Generic[In, Out]):
    """The items of one caller and their results so far."""

    def __init__(self, items: Sequence[In], future: "asyncio.Future[list[Out]]") -> None:
        self.items = items
        self.future = future
        self.answers: dict[int, Out] = {}

    def answer(self, position: int, outcome: Out) -> None:
        self.answers[position] = outcome
        if len(self.answers) == len(self.items) and not self.future.done():
            self.future.set_result([self.answers[index] for index in range(len(self.items))])

    def fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class MicroBatcher(Generic[In, Out]):
    """Bounded queue, batches, worker threads.

    A batch starts when it is full or `max_wait_s` old and a worker is idle. Items whose caller is gone (cancelled, or
    past its deadline) are dropped before a worker sees them.

    Args:
        work: Called in a worker thread with a batch; returns one answer an item, in their order.
        workers: Batches worked on at once.
        max_batch: Items a batch.
        max_wait_s: Longest wait for more items of an item that finds an idle worker.
        max_queued: Items that may wait.
    """

    def __init__(
        self,
        work: Callable[[Sequence[In]], Sequence[Out]],
        *,
        workers: int,
        max_batch: int = 32,
        max_wait_s: float = 0.004,
        max_queued: int = 1024,
    ) -> None:
        self._work = work
        self._workers = workers
        self._max_batch = max_batch
        self._max_wait_s = max_wait_s
        self._max_queued = max_queued
        self._queue: deque[tuple[_Request[In, Out], int]] = deque()
        self._arrived = asyncio.Event()
        self._full = asyncio.Event()
        self._idle = asyncio.Semaphore(workers)
        self._busy = 0
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="inference")
        self._dispatcher: asyncio.Task[None] | None = None
        self._batches: set[asyncio.Task[None]] = set()
        self._unanswered: set[asyncio.Future[list[Out]]] = set()

    @property
    def queued(self) -> int:
        """Items that wait."""
        return len(self._queue)

    def start(self) -> None:
        """Start the dispatcher."""
        self._dispatcher = asyncio.create_task(self._dispatch(), name="batch-dispatcher")

    async def drain(self, *, timeout_s: float) -> None:
        """Wait until everything that was submitted is answered, at most `timeout_s`; nothing more is submitted."""
        if self._unanswered:
            await asyncio.wait(self._unanswered, timeout=timeout_s)

    async def close(self) -> None:
        """Finish the batches under way; fail what still waits with `BatcherClosed`."""
        if self._dispatcher is not None:
            self._dispatcher.cancel()
            await asyncio.gather(self._dispatcher, return_exceptions=True)
            self._dispatcher = None
        await asyncio.gather(*self._batches, return_exceptions=True)
        while self._queue:
            self._queue.popleft()[0].fail(BatcherClosed())
        self._pool.shutdown(wait=True)

    async def submit(self, items: Sequence[In]) -> list[Out]:
        """One answer an item, in their order.

        Raises:
            QueueFull: Try again later.
            BatcherClosed: The batcher does not run.
        """
        if self._dispatcher is None or self._dispatcher.done():
            raise BatcherClosed
        if not items:
            return []
        if len(self._queue) + len(items) > self._max_queued:
            raise QueueFull
        request: _Request[In, Out] = _Request(items, asyncio.get_running_loop().create_future())
        self._unanswered.add(request.future)
        request.future.add_done_callback(self._unanswered.discard)
        self._queue.extend((request, position) for position in range(len(items)))
        self._arrived.set()
        if len(self._queue) >= self._max_batch:
            self._full.set()
        return await request.future

    async def _dispatch(self) -> None:
        while True:
            await self._arrived.wait()
            await self._idle.acquire()
            if len(self._queue) < self._max_batch:
                await self._wait_for_more()
            batch = self._take()
            if not batch:
                self._idle.release()
                continue
            self._busy += 1
            task = asyncio.create_task(self._run(batch))
            self._batches.add(task)
            task.add_done_callback(self._batches.discard)

    async def _wait_for_more(self) -> None:
        """Wait until the batch is full, at most `max_wait_s`."""
        try:
            async with asyncio.timeout(self._max_wait_s):
                await self._full.wait()
        except TimeoutError:
            return

    def _take(self) -> list[tuple[_Request[In, Out], int]]:
        share = math.ceil(len(self._queue) / (self._workers - self._busy))
        size = min(self._max_batch, max(_MIN_SPLIT_ROWS, share))
        batch: list[tuple[_Request[In, Out], int]] = []
        while self._queue and len(batch) < size:
            request, position = self._queue.popleft()
            if not request.future.done():
                batch.append((request, position))
        if not self._queue:
            self._arrived.clear()
        if len(self._queue) < self._max_batch:
            self._full.clear()
        return batch

    async def _run(self, batch: list[tuple[_Request[In, Out], int]]) -> None:
        items = [request.items[position] for request, position in batch]
        try:
            outcomes = await asyncio.get_running_loop().run_in_executor(self._pool, self._work, items)
            for (request, position), outcome in zip(batch, outcomes, strict=True):
                request.answer(position, outcome)
        except Exception as error:  # noqa: BLE001 - raised in every caller that waits for the batch
            for request, _ in batch:
                request.fail(error)
        finally:
            self._busy -= 1
            self._idle.release()
