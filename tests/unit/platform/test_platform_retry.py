"""Retries: only what may pass, within their bounds, and never after a stop."""

import asyncio

import pytest
from astrolens.platform.errors import PermanentError, TransientError
from astrolens.platform.retry import RetryPolicy, retry, sleep_unless

SHORT = RetryPolicy(initial_wait_s=0.001, max_wait_s=0.002, timeout_s=0.02)
LONG = RetryPolicy(initial_wait_s=100, max_wait_s=100, timeout_s=1000)


class Attempts:
    """Fails the first `failures` times."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.count = 0
        self._failures = failures
        self._error = error

    async def __call__(self) -> str:
        self.count += 1
        if self.count <= self._failures:
            raise self._error or TransientError(f"failure {self.count}")
        return "done"


async def test_it_returns_what_the_first_success_returns_and_reports_each_failure() -> None:
    attempts, reported = Attempts(3), []
    policy = RetryPolicy(initial_wait_s=0.001, max_wait_s=0.002, timeout_s=60)
    answer = await retry(
        attempts, retry_policy=policy, stopping=asyncio.Event(), on_failure=lambda error: reported.append(str(error))
    )
    assert (answer, attempts.count) == ("done", 4)
    assert reported == ["failure 1", "failure 2", "failure 3"]


async def test_it_gives_up_within_its_bound_with_the_last_failure() -> None:
    attempts = Attempts(10_000)
    with pytest.raises(TransientError) as caught:
        await retry(attempts, retry_policy=SHORT, stopping=asyncio.Event())
    assert str(caught.value) == f"failure {attempts.count}"


async def test_it_gives_up_after_the_attempts_that_it_may_make() -> None:
    attempts = Attempts(10_000)
    policy = RetryPolicy(initial_wait_s=0.001, max_wait_s=0.002, timeout_s=60, max_attempts=3)
    with pytest.raises(TransientError, match="failure 3"):
        await retry(attempts, retry_policy=policy, stopping=asyncio.Event())
    assert attempts.count == 3


async def test_it_does_not_wait_for_an_attempt_that_would_come_too_late() -> None:
    attempts = Attempts(10_000)
    policy = RetryPolicy(initial_wait_s=100, max_wait_s=100, timeout_s=10)
    with pytest.raises(TransientError):
        await asyncio.wait_for(retry(attempts, retry_policy=policy, stopping=asyncio.Event()), 60)
    assert attempts.count == 1


@pytest.mark.parametrize("error", [PermanentError("bad", "never"), ValueError("a bug")])
async def test_what_does_not_pass_is_not_tried_again(error: Exception) -> None:
    attempts = Attempts(10_000, error)
    with pytest.raises(type(error)):
        await retry(attempts, retry_policy=LONG, stopping=asyncio.Event())
    assert attempts.count == 1


async def test_a_stop_cuts_a_wait_short_and_no_attempt_follows() -> None:
    attempts, stopping = Attempts(10_000), asyncio.Event()
    retrying = asyncio.create_task(retry(attempts, retry_policy=LONG, stopping=stopping))
    while not attempts.count:
        await asyncio.sleep(0)
    stopping.set()
    with pytest.raises(TransientError, match="failure 1"):
        await asyncio.wait_for(retrying, 60)
    assert attempts.count == 1


async def test_after_a_stop_there_is_one_attempt() -> None:
    attempts, stopping = Attempts(10_000), asyncio.Event()
    stopping.set()
    with pytest.raises(TransientError):
        await retry(attempts, retry_policy=LONG, stopping=stopping)
    assert attempts.count == 1


async def test_a_sleep_says_whether_a_stop_ended_it() -> None:
    stopping = asyncio.Event()
    assert await sleep_unless(stopping, 0) is False
    stopping.set()
    assert await sleep_unless(stopping, 3600) is True


def test_waits_grow_and_stay_below_their_bound() -> None:
    policy = RetryPolicy(initial_wait_s=0.5, max_wait_s=10)
    for attempt in range(50):
        longest = min(10, 0.5 * 2**attempt)
        assert longest / 4 <= policy.wait_s(attempt) <= longest
