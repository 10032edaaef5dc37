import asyncio
import threading
from collections.abc import Sequence

import pytest
from astrolens.inference.batcher import BatcherClosed, MicroBatcher, QueueFull


class Work:
    """Doubles numbers; notes its batches; waits at a gate when it is shut."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.gate.wait(10)
        if -1 in items:
            raise ValueError("minus one")
        return [2 * item for item in items]


async def test_callers_share_a_batch_and_get_their_own_answers() -> None:
    work = Work()
    batcher = MicroBatcher(work, workers=1, max_wait_s=0.05)
    batcher.start()
    answers = await asyncio.gather(*(batcher.submit([number, number + 100]) for number in range(5)))
    await batcher.close()
    assert answers == [[2 * number, 2 * number + 200] for number in range(5)]
    assert [len(batch) for batch in work.batches] == [10]


async def test_a_full_batch_does_not_wait_and_a_large_request_is_divided() -> None:
    work = Work()
    batcher = MicroBatcher(work, workers=2, max_batch=32, max_wait_s=30)
    batcher.start()
    assert await batcher.submit(list(range(64))) == [2 * number for number in range(64)]
    await batcher.close()
    assert [len(batch) for batch in work.batches] == [32, 32]


async def test_idle_workers_share_a_batch_that_is_worth_dividing() -> None:
    work = Work()
    batcher = MicroBatcher(work, workers=2, max_batch=32, max_wait_s=0.001)
    batcher.start()
    work.gate.clear()
    large = asyncio.create_task(batcher.submit(list(range(20))))
    while len(work.batches) < 2:
        await asyncio.sleep(0.001)
    work.gate.set()
    await large
    await batcher.submit(list(range(6)))
    await batcher.close()
    assert [len(batch) for batch in work.batches] == [10, 10, 6]


async def test_the_queue_is_bounded() -> None:
    work = Work()
    work.gate.clear()
    batcher = MicroBatcher(work, workers=1, max_batch=2, max_wait_s=0.001, max_queued=4)
    batcher.start()
    first = asyncio.create_task(batcher.submit([1, 2]))
    while not work.batches:
        await asyncio.sleep(0.001)
    second = asyncio.create_task(batcher.submit([3, 4, 5, 6]))
    await asyncio.sleep(0)
    assert batcher.queued == 4
    with pytest.raises(QueueFull):
        await batcher.submit([7])
    work.gate.set()
    assert (await first, await second) == ([2, 4], [6, 8, 10, 12])
    await batcher.close()


async def test_a_caller_that_went_away_costs_nothing() -> None:
    work = Work()
    work.gate.clear()
    batcher = MicroBatcher(work, workers=1, max_batch=2, max_wait_s=0.001)
    batcher.start()
    first = asyncio.create_task(batcher.submit([1, 2]))
    while not work.batches:
        await asyncio.sleep(0.001)
    gone = asyncio.create_task(batcher.submit([3, 4]))
    last = asyncio.create_task(batcher.submit([5, 6]))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    work.gate.set()
    assert (await first, await last) == ([2, 4], [10, 12])
    await batcher.close()
    assert work.batches == [[1, 2], [5, 6]]


async def test_a_failure_reaches_its_callers_and_the_batcher_goes_on() -> None:
    batcher = MicroBatcher(Work(), workers=1, max_wait_s=0.001)
    batcher.start()
    with pytest.raises(ValueError, match="minus one"):
        await batcher.submit([-1])
    assert await batcher.submit([4]) == [8]
    await batcher.close()


async def test_closing_finishes_what_is_in_hand_and_refuses_the_rest() -> None:
    work = Work()
    work.gate.clear()
    batcher = MicroBatcher(work, workers=1, max_batch=2, max_wait_s=0.001)
    batcher.start()
    in_hand = asyncio.create_task(batcher.submit([1, 2]))
    while not work.batches:
        await asyncio.sleep(0.001)
    waiting = asyncio.create_task(batcher.submit([3]))
    await asyncio.sleep(0)
    closing = asyncio.create_task(batcher.close())
    await asyncio.sleep(0)
    work.gate.set()
    await closing
    assert await in_hand == [2, 4]
    with pytest.raises(BatcherClosed):
        await waiting
    with pytest.raises(BatcherClosed):
        await batcher.submit([5])


async def test_an_empty_request_is_answered_at_once() -> None:
    batcher = MicroBatcher(Work(), workers=1)
    batcher.start()
    assert await batcher.submit([]) == []
    await batcher.close()
