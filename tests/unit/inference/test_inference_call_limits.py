"""The budget of bytes that the calls of all clients share; tests/integration/test_inference_memory.py has the wire."""

import asyncio

import pytest
from astrolens.inference.call_limits import BudgetExhausted, ByteBudget


async def test_shares_are_given_in_the_order_in_which_they_are_asked_for() -> None:
    budget = ByteBudget(10)
    await budget.take(8, timeout_s=1)
    given: list[int] = []

    async def take(share: int) -> None:
        await budget.take(share, timeout_s=60)
        given.append(share)

    async with asyncio.TaskGroup() as group:
        for share in (9, 1):  # the small one would fit, but it came later: else a large one could wait for ever
            group.create_task(take(share))
            await asyncio.sleep(0)
        assert given == []
        budget.give_back(8)
    assert given == [9, 1]
    assert budget.free == 0


async def test_who_waits_too_long_is_refused_and_lets_the_next_one_pass() -> None:
    budget = ByteBudget(10)
    await budget.take(5, timeout_s=1)
    large = asyncio.create_task(budget.take(10, timeout_s=0.01))
    await asyncio.sleep(0)
    small = asyncio.create_task(budget.take(5, timeout_s=60))
    with pytest.raises(BudgetExhausted):
        await large
    await small
    assert budget.free == 0


async def test_who_gives_up_leaves_nothing_behind() -> None:
    budget = ByteBudget(10)
    await budget.take(10, timeout_s=1)
    waiting = asyncio.create_task(budget.take(4, timeout_s=60))
    await asyncio.sleep(0)
    budget.give_back(10)
    waiting.cancel()  # after its share was granted, before it noticed
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert budget.free == 10


async def test_a_queue_that_is_too_long_refuses_at_once() -> None:
    budget = ByteBudget(1, max_waiting=1)
    await budget.take(1, timeout_s=1)
    waiting = asyncio.create_task(budget.take(1, timeout_s=60))
    await asyncio.sleep(0)
    with pytest.raises(BudgetExhausted):
        await budget.take(1, timeout_s=60)
    budget.give_back(1)
    await waiting
