"""Background tasks with an owner: none is forgotten, none dies unseen, all are awaited at the end."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

_log = structlog.get_logger(__name__)

Factory = Callable[[], Coroutine[Any, Any, None]]
OnDeath = Callable[[str, BaseException], None]
"""Told the name and exception of a task that died."""


class Tasks:
    """The tasks of one owner. Those spawned before `start` wait for it."""

    def __init__(self, on_death: OnDeath) -> None:
        self._on_death = on_death
        self._waiting: list[tuple[str, Factory, bool]] = []
        self._running: dict[asyncio.Task[None], bool] = {}
        self._started = False

    def spawn(self, name: str, factory: Factory, *, graceful: bool = False) -> None:
        """Run a task; a `graceful` one ends by itself when its service stops and is only cancelled when it does not."""
        if not self._started:
            self._waiting.append((name, factory, graceful))
            return
        task = asyncio.get_running_loop().create_task(factory(), name=name)
        self._running[task] = graceful
        task.add_done_callback(self._ended)

    def start(self) -> None:
        """Begin everything spawned so far."""
        self._started = True
        waiting, self._waiting = self._waiting, []
        for name, factory, graceful in waiting:
            self.spawn(name, factory, graceful=graceful)

    async def stop(self, grace_s: float) -> None:
        """End everything: graceful tasks get `grace_s` seconds to end by themselves."""
        self._started = False
        for task, graceful in self._running.items():
            if not graceful:
                task.cancel()
        if self._running:
            await asyncio.wait(list(self._running), timeout=grace_s)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(list(self._running))

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            _log.error("a background task died", task=task.get_name(), exc_info=error)
            self._on_death(task.get_name(), error)
