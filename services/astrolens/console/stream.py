"""One event stream a client: the status, at most twice a second, computed only while somebody listens."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import structlog

from astrolens.platform.errors import TransientError
from astrolens.usecases.status import Status

log = structlog.get_logger(__name__)

INTERVAL_S = 0.5
"""Between two looks: two updates a second are as many as a person can read."""

KEEP_ALIVE_S = 15.0
"""Between signs of life on a quiet stream: proxies cut connections that are silent for about 30 s."""

MAX_LISTENERS = 200
"""Open streams: each costs a task and a socket."""

_VOLATILE: Any = {"at": True, "services": {"__all__": {"silent_s", "seen_at"}}}
"""What changes without anything having happened."""


class StatusStream:
    """Reads the status once for all listeners; a slow listener skips to the newest."""

    def __init__(self, look: Callable[[], Awaitable[Status]], *, interval_s: float = INTERVAL_S) -> None:
        self._look = look
        self._interval_s = interval_s
        self._listeners = 0
        self._latest: Status | None = None
        self._version = 0
        self._news = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    @property
    def full(self) -> bool:
        """Whether no further listener is taken."""
        return self._listeners >= MAX_LISTENERS

    @property
    def listeners(self) -> int:
        """How many listen."""
        return self._listeners

    async def close(self) -> None:
        """End every stream and stop looking."""
        self._closing.set()
        async with self._news:
            self._news.notify_all()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def listen(self) -> AsyncIterator[Status | None]:
        """Statuses as they change, the present one first; None is a sign of life."""
        self._listeners += 1
        if self._task is None or self._task.done():
            self._latest = None
            self._task = asyncio.create_task(self._watch(), name="console-stream")
        seen = -1 if self._latest is not None else self._version
        try:
            while not self._closing.is_set():
                if not await self._newer_than(seen):
                    yield None
                    continue
                seen = self._version
                if self._latest is not None and not self._closing.is_set():
                    yield self._latest
        finally:
            self._listeners -= 1

    async def _newer_than(self, seen: int) -> bool:
        async with self._news:
            try:
                await asyncio.wait_for(
                    self._news.wait_for(lambda: self._version != seen or self._closing.is_set()), KEEP_ALIVE_S
                )
            except TimeoutError:
                return False
        return True

    async def _watch(self) -> None:
        shown = ""
        while self._listeners:
            try:
                status = await self._look()
            except TransientError as error:
                log.warning("status is not known for now", error=str(error))
            else:
                if (now := status.model_dump_json(exclude=_VOLATILE)) != shown:
                    shown = now
                    async with self._news:
                        self._latest, self._version = status, self._version + 1
                        self._news.notify_all()
            await asyncio.sleep(self._interval_s)
