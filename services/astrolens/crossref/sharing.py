"""One request for all who ask the same thing in one round: tables of a server that answers for several at once."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from astrolens.crossref.catalogues.base import CatalogueRequest

Key = tuple[object, ...]

_ROUND_TTL_S: Final = 10.0
"""As long as a round of questions: whoever asks later asks anew."""
_END_S: Final = 1.0


@dataclass(slots=True)
class _Request:
    task: asyncio.Task[bytes]
    begun_at: float
    asked_by: set[str] = field(default_factory=set)

    def serves(self, asker: str, now: float) -> bool:
        """Whether its reply is for this asker: each has it once, so that whoever asks again is answered anew."""
        failed = self.task.done() and (self.task.cancelled() or self.task.exception() is not None)
        return asker not in self.asked_by and not failed and now - self.begun_at < _ROUND_TTL_S


class SharedRequests:
    """Requests of a round. Each is a task of its own: whoever runs out of time leaves it to the others."""

    def __init__(self) -> None:
        self._requests: dict[Key, _Request] = {}
        self._running: set[asyncio.Task[bytes]] = set()

    async def reply(self, wanted: CatalogueRequest, send: Callable[[], Awaitable[bytes]], *, asker: str) -> bytes:
        """The reply to a request, sent once for all who ask it.

        Args:
            wanted: What is asked.
            send: Sends it.
            asker: Who asks. The second time it is sent again.

        Raises:
            CatalogueFailed: The request failed, whoever sent it.
        """
        now = monotonic()
        self._requests = {key: one for key, one in self._requests.items() if now - one.begun_at < _ROUND_TTL_S}
        key = _key(wanted)
        request = self._requests.get(key)
        if request is None or not request.serves(asker, now):
            request = self._requests[key] = _Request(asyncio.ensure_future(_sent(send)), now)
            self._running.add(request.task)
            request.task.add_done_callback(self._ended)
        request.asked_by.add(asker)
        return await asyncio.shield(request.task)

    async def close(self) -> None:
        """End what is under way."""
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[bytes]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            # Every waiter may be gone.
            task.exception()


async def _sent(send: Callable[[], Awaitable[bytes]]) -> bytes:
    return await send()


def _key(wanted: CatalogueRequest) -> Key:
    fields = (wanted.params, wanted.form, wanted.files)
    return (wanted.url, *(tuple(sorted(each.items())) for each in fields))
