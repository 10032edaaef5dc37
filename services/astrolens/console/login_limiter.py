"""A limit on guessing passwords: a few wrong ones a minute from one address, some more from all together."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

_ALL: Final = "all addresses"
_MAX_ADDRESSES: Final = 10_000
"""Addresses remembered; of more the one whose last failure is oldest is forgotten."""


class LoginLimiter:
    """Counts wrong passwords of the last minute.

    Args:
        clock: The present time, seconds since the epoch, as `limits` reads it.

    Attributes:
        one_at_a_time: Held from `wait_s` to `record_failure`; otherwise attempts sent at once would all see the same
            count. It costs nothing, for passwords are verified one at a time anyway.
    """

    PER_ADDRESS = 5
    ALTOGETHER = 60

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.one_at_a_time = asyncio.Lock()
        self._clock = clock
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._per_address = RateLimitItemPerMinute(self.PER_ADDRESS, namespace="address")
        self._altogether = RateLimitItemPerMinute(self.ALTOGETHER, namespace="altogether")
        # `limits` forgets what an address did, but not that there was one.
        self._addresses: OrderedDict[str, None] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Seconds until this address may try again, 0 where it may now."""
        return max(self._wait_s(self._per_address, address), self._wait_s(self._altogether, _ALL))

    def record_failure(self, address: str) -> None:
        """Count a wrong password."""
        self._limiter.hit(self._per_address, address)
        self._limiter.hit(self._altogether, _ALL)
        self._addresses[address] = None
        self._addresses.move_to_end(address)
        while len(self._addresses) > _MAX_ADDRESSES:
            self._limiter.clear(self._per_address, self._addresses.popitem(last=False)[0])

    def _wait_s(self, limit: RateLimitItemPerMinute, key: str) -> float:
        window = self._limiter.get_window_stats(limit, key)
        return max(window.reset_time - self._clock(), 0.0) if window.remaining <= 0 else 0.0
