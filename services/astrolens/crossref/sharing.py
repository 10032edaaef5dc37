"""One request for all who ask the same thing at the same time: tables of a server that answers for several at once."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from astrolens.crossref.catalogues.base import Question

Key = tuple[object, ...]

_END_S: Final = 1.0


class SharedRequests:
    """Requests that are under way. Each is a task of its own: whoever runs out of time leaves it to the others."""

    def __init__(self) -> None:
        self._running: dict[Key, asyncio.Task[bytes]] = {}

    async def reply(self, question: Question, send: Callable[[], Awaitable[bytes]]) -> bytes:
        """The reply to a question; sent once for all who wait for it. A reply that has come is not kept.

        Raises:
            CatalogueFailed: Whatever the one who sent it was told.
        """
        key = _key(question)
        task = self._running.get(key)
        if task is None:
            task = asyncio.ensure_future(_sent(send))
            self._running[key] = task
            task.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """End what is under way."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, key: Key, task: asyncio.Task[bytes]) -> None:
        self._running.pop(key, None)
        if not task.cancelled():
            # Nobody may be left to be told.
            task.exception()


async def _sent(send: Callable[[], Awaitable[bytes]]) -> bytes:
    return await send()


def _key(question: Question) -> Key:
    fields = (question.params, question.form, question.files)
    return (question.url, *(tuple(sorted(each.items())) for each in fields))
