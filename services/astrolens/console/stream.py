"""The status as a stream: at most two updates a second, read once for all listeners, and only while there are some."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from astrolens.usecases.status import Status

POLL_INTERVAL_S = 0.5
"""Between two reads of the status: two updates a second are as many as a person can read."""

KEEP_ALIVE_S = 15.0
"""Between signs of life on a quiet stream: proxies cut connections that are silent for about 30 s."""

MAX_LISTENERS = 200
"""Open streams: each costs a task and a socket."""

MAX_LISTENERS_PER_ADDRESS = 50
"""Open streams of one address: more windows than a control room has, and a quarter of all."""

_VOLATILE: Any = {"at": True, "services": {"__all__": {"silent_s", "seen_at"}}}
"""What changes without anything having happened."""


class StatusStream:
    """Gives every listener each new status; a slow one skips to the newest.

    Args:
        read: Reads the present status.

    Attributes:
        wake: Set when the next poll must not wait for its interval: somebody began to listen.
    """

    def __init__(self, read: Callable[[], Awaitable[Status]]) -> None:
        self._read = read
        self._listeners: Counter[str] = Counter()
        self._latest: Status | None = None
        self._published = ""
        self._version = 0
        self._changed = asyncio.Condition()
        self._closed = False
        self.wake = asyncio.Event()

    def full(self, address: str) -> bool:
        """Whether no further listener of this address is taken."""
        return self.listeners >= MAX_LISTENERS or self._listeners[address] >= MAX_LISTENERS_PER_ADDRESS

    @property
    def listeners(self) -> int:
        """How many listen."""
        return self._listeners.total()

    @property
    def latest(self) -> Status | None:
        """The status as it was read last, while somebody listens."""
        return self._latest

    async def current(self) -> Status:
        """The present status: as it was read last while somebody listens, else read now.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        if self.listeners and self._latest is not None:
            return self._latest
        return await self._read()

    async def poll(self) -> None:
        """Read the status, unless nobody listens, and give it to the listeners where it changed.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        if not self.listeners:
            return
        status = await self._read()
        text = status.model_dump_json(exclude=_VOLATILE)
        changed = text != self._published or self._latest is None
        # Kept even where only a heartbeat is newer: whoever shows how long ago it was would show an old one.
        self._latest = status
        if changed:
            async with self._changed:
                self._published, self._version = text, self._version + 1
                self._changed.notify_all()

    async def close(self) -> None:
        """End every stream."""
        self._closed = True
        async with self._changed:
            self._changed.notify_all()

    async def listen(self, address: str = "") -> AsyncIterator[Status | None]:
        """Statuses as they change, the present one first; None is a sign of life.

        It ends at once where the stream is full: many may have asked before the first of them began to listen.

        Args:
            address: Where the listener is.
        """
        if self.full(address):
            return
        if not self.listeners:
            # Nobody listened, so nobody polled: what is remembered is old.
            self._latest = None
            self.wake.set()
        self._listeners[address] += 1
        seen = -1 if self._latest is not None else self._version
        try:
            while not self._closed:
                if not await self._newer_than(seen):
                    yield None
                    continue
                seen = self._version
                if self._latest is not None and not self._closed:
                    yield self._latest
        finally:
            self._listeners[address] -= 1
            if not self._listeners[address]:
                del self._listeners[address]

    async def _newer_than(self, seen: int) -> bool:
        async with self._changed:
            try:
                await asyncio.wait_for(
                    self._changed.wait_for(lambda: self._version != seen or self._closed), KEEP_ALIVE_S
                )
            except TimeoutError:
                return False
        return True
