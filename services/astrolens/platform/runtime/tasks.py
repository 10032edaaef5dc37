"""Background tasks with an owner: each failure is reported, and all of them are awaited at the end."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

_log = structlog.get_logger(__name__)

Factory = Callable[[], Coroutine[Any, Any, None]]
OnFailure = Callable[[str, BaseException], None]
"""Called with the name and the exception of a task that failed."""


class Tasks:
    """The tasks of one owner. Those spawned before `start` wait for it."""

    def __init__(self, on_failure: OnFailure) -> None:
        self._on_failure = on_failure
        self._waiting: list[tuple[str, Factory, bool]] = []
        self._running: dict[asyncio.Task[None], bool] = {}
        self._started = False

    def spawn(self, name: str, factory: Factory, *, graceful: bool = False) -> None:
        """Run a task; `stop` gives a `graceful` one time to end by itself, and cancels the others at once."""
        if not self._started:
            self._waiting.append((name, factory, graceful))
            return
        task = asyncio.get_running_loop().create_task(factory(), name=name)
        self._running[task] = graceful
        task.add_done_callback(self._task_done)

    def start(self) -> None:
        """Run everything spawned so far."""
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

    def _task_done(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            _log.error("a background task failed", task=task.get_name(), exc_info=error)
            self._on_failure(task.get_name(), error)
