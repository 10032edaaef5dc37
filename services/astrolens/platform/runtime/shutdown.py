"""The shutdown of a service: its steps in order, within a bound, each even where one before it failed."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final

import structlog

from astrolens.platform.time_limits import FORCED_EXIT_S

_MIN_STEP_S: Final = 0.5
"""Each step gets so much, even where nothing is left of the grace period: the last ones close files."""

_log = structlog.get_logger(__name__)

Step = Callable[[], Awaitable[None]]


def is_cancelled() -> bool:
    """Whether the present task itself was cancelled; else a `CancelledError` comes from what it awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Shutdown:
    """Steps that are run in the reverse order of their registration."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._steps: list[tuple[str, Step]] = []

    def register(self, name: str, step: Step) -> None:
        """Register a step; it runs before those that are registered already."""
        self._steps.append((name, step))

    async def run(self) -> None:
        """Run every step; one that exceeds the grace period is cancelled and logged."""
        forced_exit = threading.Timer(self._grace_s + FORCED_EXIT_S, os._exit, args=(1,))
        forced_exit.daemon = True
        forced_exit.start()
        deadline = monotonic() + self._grace_s
        try:
            while self._steps:
                name, step = self._steps.pop()
                await _run_within(name, step, max(deadline - monotonic(), _MIN_STEP_S))
        finally:
            forced_exit.cancel()


async def _run_within(name: str, step: Step, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await step()
    except asyncio.CancelledError:
        # Something that the step awaited was cancelled, not this task.
        if is_cancelled():
            raise
        _log.warning("a step of the shutdown ended early: what it waited for was cancelled", step=name)
    except TimeoutError:
        _log.error("a step of the shutdown took too long and was cancelled", step=name)
    except Exception:  # noqa: BLE001 - the remaining steps matter more; the trace is in the log
        _log.exception("a step of the shutdown failed", step=name)
