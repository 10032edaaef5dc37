"""How fast and how stubbornly a source may knock: a token bucket and a circuit."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final

Sleep = Callable[[float], Awaitable[None]]

_FIRST_OPEN_S: Final = 30.0
_LONGEST_OPEN_S: Final = 900.0
"""A quarter of an hour: soon enough after an outage, seldom enough during one."""


class TokenBucket:
    """Lets through `rate_per_min` a minute, evenly, with a small burst after a pause."""

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

    async def take(self) -> None:
        """Wait for a token and take it."""
        now = self._monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_s)
        self._at = now
        # The debt is taken first, so that several callers queue up behind each other.
        self._tokens -= 1.0
        if self._tokens < 0.0:
            wait_s = -self._tokens / self._per_s
            if self._on_wait is not None:
                self._on_wait(wait_s)
            await self._sleep(wait_s)


class Circuit:
    """How long to leave a troubled server alone: twice as long after every failure, with jitter."""

    def __init__(
        self,
        *,
        first_s: float = _FIRST_OPEN_S,
        longest_s: float = _LONGEST_OPEN_S,
        on_change: Callable[[bool], None] | None = None,
    ) -> None:
        """A closed circuit; `on_change` is told whether the server is left alone now."""
        self._first_s = first_s
        self._longest_s = longest_s
        self._on_change = on_change or (lambda _: None)
        self.failures = 0

    def failed(self, *, retry_after_s: float | None = None) -> float:
        """Note a failure; return for how many seconds to stay away."""
        ceiling: float = min(self._longest_s, self._first_s * 2.0 ** min(self.failures, 16))
        self.failures += 1
        self._on_change(True)
        wait_s = random.uniform(ceiling / 2, ceiling)  # noqa: S311 - jitter is no secret
        return wait_s if retry_after_s is None else max(retry_after_s, wait_s / 10)

    def succeeded(self) -> None:
        """Note that the server is well again."""
        if self.failures:
            self._on_change(False)
        self.failures = 0
