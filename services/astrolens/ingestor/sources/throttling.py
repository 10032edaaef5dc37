"""How often a source may ask a server: a token bucket for the rate, a backoff after failures."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final

Sleep = Callable[[float], Awaitable[None]]

_INITIAL_WAIT_S: Final = 30.0
_MAX_WAIT_S: Final = 900.0
"""A quarter of an hour: soon enough after an outage, seldom enough during one."""


class TokenBucket:
    """Lets through `rate_per_min` a minute, evenly spaced, with a small burst after a pause."""

    def __init__(
        self,
        rate_per_min: float,
        *,
        burst: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        on_wait: Callable[[float], None] | None = None,
    ) -> None:
        self._per_s = rate_per_min / 60.0
        self._burst = max(burst, 1.0)
        self._monotonic = monotonic
        self._sleep = sleep
        self._on_wait = on_wait
        self._tokens = 1.0
        self._at = monotonic()

    async def acquire(self) -> None:
        """Wait for a token and take it."""
        now = self._monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_s)
        self._at = now
        # The token is taken before the wait, so that several callers queue up behind each other.
        self._tokens -= 1.0
        if self._tokens < 0.0:
            wait_s = -self._tokens / self._per_s
            if self._on_wait is not None:
                self._on_wait(wait_s)
            await self._sleep(wait_s)


class Backoff:
    """How long to wait after failures of a server: twice as long after every one, with jitter."""

    def __init__(
        self,
        *,
        initial_wait_s: float = _INITIAL_WAIT_S,
        max_wait_s: float = _MAX_WAIT_S,
        on_change: Callable[[bool], None] | None = None,
    ) -> None:
        """No failure yet; `on_change` is called with whether the server is being left alone now."""
        self._initial_wait_s = initial_wait_s
        self._max_wait_s = max_wait_s
        self._on_change = on_change or (lambda _: None)
        self.failures = 0

    def record_failure(self, *, retry_after_s: float | None = None) -> float:
        """Record a failure; return how long to wait, seconds, at least as long as the server asked for."""
        ceiling: float = min(self._max_wait_s, self._initial_wait_s * 2.0 ** min(self.failures, 16))
        self.failures += 1
        self._on_change(True)
        wait_s = random.uniform(ceiling / 2, ceiling)  # noqa: S311 - jitter is no secret
        return wait_s if retry_after_s is None else max(retry_after_s, wait_s / 10)

    def record_success(self) -> None:
        """Record that the server answers again; the next failure waits the shortest time."""
        if self.failures:
            self._on_change(False)
        self.failures = 0
