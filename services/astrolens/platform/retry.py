"""Retries of what failed for a while: exponential waits with jitter, bounded in time, ended at once by a stop."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

from astrolens.platform.errors import TransientError

T = TypeVar("T")


@dataclass(frozen=True)
class RetryPolicy:
    """How long to try again, and how long to wait between two attempts.

    Waits grow exponentially. Jitter keeps several services from asking at the same moment.

    Attributes:
        initial_wait_s: Longest wait after the first failure, seconds.
        max_wait_s: Longest wait after any failure, seconds.
        timeout_s: No attempt begins later than this after the first, seconds.
        max_attempts: Attempts at most, the first included; by default only the time bounds them.
    """

    initial_wait_s: float = 0.25
    max_wait_s: float = 15.0
    timeout_s: float = 240.0
    max_attempts: int | None = None

    def wait_s(self, attempt: int) -> float:
        """Seconds to wait after attempt `attempt` (from 0): a random share, at least a quarter, of the longest."""
        longest: float = min(self.max_wait_s, self.initial_wait_s * 2.0 ** min(attempt, 16))
        return random.uniform(longest / 4, longest)  # noqa: S311 - jitter is no secret


async def sleep_unless(stopping: asyncio.Event, seconds: float) -> bool:
    """Sleep; return True at once when `stopping` is set meanwhile."""
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            await stopping.wait()
    except TimeoutError:
        return False
    return True


async def retry(
    attempt: Callable[[], Awaitable[T]],
    *,
    retry_policy: RetryPolicy,
    stopping: asyncio.Event,
    on_failure: Callable[[TransientError], None] | None = None,
) -> T:
    """Call `attempt` until it succeeds, the policy gives up, or the service stops.

    Args:
        attempt: Called again after a `TransientError`; any other exception is raised at once.
        retry_policy: The bounds.
        stopping: Ends a wait at once, without another attempt.
        on_failure: Called with every `TransientError`, before the wait.

    Raises:
        TransientError: The last one, when the policy gave up or the service stops.
    """
    deadline = monotonic() + retry_policy.timeout_s
    failures = 0
    while True:
        try:
            return await attempt()
        except TransientError as error:
            if on_failure is not None:
                on_failure(error)
            wait_s = retry_policy.wait_s(failures)
            failures += 1
            if failures == retry_policy.max_attempts or monotonic() + wait_s > deadline:
                raise
            if await sleep_unless(stopping, wait_s):
                raise
