"""A limit on guessing passwords and tokens: a few wrong ones a minute from one address, more from all together."""

import asyncio
import hashlib
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
    """Counts wrong log-ins and tokens of the last minute.

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
        # `limits` forgets what an address did, but not that there was one. Beside it, the last wrong token's digest.
        self._addresses: OrderedDict[str, bytes] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Seconds until this address may log in again, 0 where it may now."""
        return max(self.token_wait_s(address), self._wait_s(self._altogether, _ALL))

    def token_wait_s(self, address: str) -> float:
        """Seconds until this address may send a token again: whatever others do, a script of another address works."""
        return self._wait_s(self._per_address, address)

    def record_failure(self, address: str) -> None:
        """Count a wrong log-in."""
        self._limiter.hit(self._altogether, _ALL)
        self._count(address, b"")

    def record_wrong_token(self, address: str, token: str) -> None:
        """Count a wrong token; the same one again is a script with an old token, and no further guess."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        if self._addresses.get(address) != digest:
            self._count(address, digest)

    def _count(self, address: str, digest: bytes) -> None:
        self._limiter.hit(self._per_address, address)
        self._addresses[address] = digest
        self._addresses.move_to_end(address)
        while len(self._addresses) > _MAX_ADDRESSES:
            self._limiter.clear(self._per_address, self._addresses.popitem(last=False)[0])

    def _wait_s(self, limit: RateLimitItemPerMinute, key: str) -> float:
        window = self._limiter.get_window_stats(limit, key)
        return max(window.reset_time - self._clock(), 0.0) if window.remaining <= 0 else 0.0
