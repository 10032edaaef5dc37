"""Closing in order, inside a bound, whatever goes wrong on the way."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from time import monotonic

import structlog

_LAST_RESORT_S = 5.0
"""Beyond the grace period a thread ends the process: a blocked call could keep the event loop for ever."""

_log = structlog.get_logger(__name__)

Step = Callable[[], Awaitable[None]]


class Shutdown:
    """Steps, run last in first out, each even when one before it failed."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._steps: list[tuple[str, Step]] = []

    def then(self, name: str, step: Step) -> None:
        """Add a step to be run before those already there."""
        self._steps.append((name, step))

    async def run(self) -> None:
        """Run every step; what exceeds the grace period is cut off and logged."""
        last_resort = threading.Timer(self._grace_s + _LAST_RESORT_S, os._exit, args=(1,))
        last_resort.daemon = True
        last_resort.start()
        deadline = monotonic() + self._grace_s
        try:
            while self._steps:
                name, step = self._steps.pop()
                # The last steps close files: they get a moment even when nothing is left of the grace period.
                await _bounded(name, step, max(deadline - monotonic(), 0.5))
        finally:
            last_resort.cancel()


async def _bounded(name: str, step: Step, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await step()
    except TimeoutError:
        _log.error("a step of the shutdown took too long and was cut off", step=name)
    except Exception:  # noqa: BLE001 - the remaining steps matter more; the trace is in the log
        _log.exception("a step of the shutdown failed", step=name)
