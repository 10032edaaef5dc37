"""Periodic work: the one loop of everything that a service does again and again.

A pass that fails is reported in the service's condition and the next pass comes; only a wrong setting ends the service.
docs/architecture.md lists who uses it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from astrolens.platform.errors import ConfigurationError, TransientError
from astrolens.platform.retry import sleep_unless
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.stores.leases import Lease

_RETRY_S: Final = 5.0
"""Longest wait after a pass that failed: what was away is often back soon."""

_log = structlog.get_logger(__name__)

Work = Callable[[], Awaitable[object]]
"""One pass. What it returns is not looked at."""


class PeriodicTask:
    """Runs a pass at once and then again and again."""

    def __init__(
        self,
        name: str,
        work: Work,
        *,
        interval_s: float,
        condition: Condition,
        lease: Lease | None = None,
        wake: asyncio.Event | None = None,
        fixed_rate: bool = False,
    ) -> None:
        """Compose; nothing runs yet.

        Args:
            name: For the condition and for logs, such as `public heartbeat`.
            work: One pass. A `ConfigurationError` ends the task; any other exception is reported.
            interval_s: Seconds from the end of a pass to the next; with `fixed_rate` from begin to begin.
            condition: Where a failed pass is reported, until one succeeds.
            lease: Of several instances only the one that holds it works; the others try again at every interval.
            wake: Begins the next pass at once when it is set.
            fixed_rate: Keep the rate constant whatever a pass takes.
        """
        self._name = name
        self._work = work
        self._interval_s = interval_s
        self._condition = condition
        self._lease = lease
        self._wake = wake
        self._fixed_rate = fixed_rate

    async def run(self, stopping: asyncio.Event) -> None:
        """Run passes until `stopping`; the lease is given back at the end.

        Raises:
            ConfigurationError: A pass says that a setting is wrong.
        """
        loop = asyncio.get_running_loop()
        due = loop.time()
        try:
            while not stopping.is_set():
                if self._wake is not None:
                    self._wake.clear()
                succeeded = await self.run_pass()
                wait_s = self._interval_s if succeeded else min(self._interval_s, _RETRY_S)
                if self._fixed_rate:
                    due = max(due + self._interval_s, loop.time())
                    wait_s = due - loop.time()
                if await self._sleep(stopping, wait_s):
                    return
        finally:
            await self._give_back()

    async def run_pass(self) -> bool:
        """Run one pass, unless another instance holds the lease; return whether it succeeded."""
        try:
            if self._lease is None or await self._lease.acquire():
                await self._work()
        except ConfigurationError:
            raise
        except Exception as error:  # noqa: BLE001 - reported below; the next pass comes whatever went wrong in this one
            self._report(error)
            return False
        if self._condition.clear_issue(self._name):
            _log.info("periodic work succeeds again", task=self._name)
        return True

    def _report(self, error: Exception) -> None:
        expected = isinstance(error, TransientError)
        sentence = f"{self._name}: {error}" if expected else f"{self._name} failed: {type(error).__name__}: {error}"
        if self._condition.set_issue(self._name, sentence):
            # Once an outage, with its trace where it is a fault of ours.
            _log.warning("periodic work failed", task=self._name, error=str(error), exc_info=not expected)

    async def _sleep(self, stopping: asyncio.Event, seconds: float) -> bool:
        if self._wake is None:
            return await sleep_unless(stopping, seconds)
        waits = [asyncio.create_task(event.wait()) for event in (stopping, self._wake)]
        try:
            await asyncio.wait(waits, timeout=max(seconds, 0.0), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return stopping.is_set()

    async def _give_back(self) -> None:
        if self._lease is None:
            return
        try:
            await self._lease.release()
        except TransientError as error:
            # It ends by itself soon.
            _log.warning("a lease was not given back", task=self._name, error=str(error))
