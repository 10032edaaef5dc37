"""Periodic work: the one loop of everything that a service does again and again.

A pass that fails is reported in the service's condition and the next pass comes; only a wrong setting ends the service.
docs/architecture.md lists who uses it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import structlog

from astrolens.platform.errors import ConfigurationError, TransientError
from astrolens.platform.retry import sleep_unless
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.stores.leases import Lease

_RETRY_S: Final = 5.0
"""Longest wait after a pass that failed: most outages are short."""

_log = structlog.get_logger(__name__)

Work = Callable[[], Awaitable[object]]
"""One pass. Its result is ignored."""


class PeriodicTask:
    """Runs a pass at once and then again and again."""

    def __init__(
        self,
        name: str,
        work: Work,
        *,
        interval_s: float,
        condition: Condition,
        issue: str | None = None,
        lease: Lease | None = None,
        wake: asyncio.Event | None = None,
        fixed_rate: bool = False,
    ) -> None:
        """Compose; nothing runs yet.

        Args:
            name: Key of the issue and name in logs, such as `public heartbeat`.
            work: One pass. A `ConfigurationError` ends the task; any other exception is reported.
            interval_s: Seconds from the end of a pass to the next; with `fixed_rate` from begin to begin.
            condition: Where a failed pass is reported, until one succeeds.
            issue: What a failed pass means, such as `events wait to be published`: the sentence of the issue begins
                with it. The name by default.
            lease: Of several instances only the one that holds it works; the others try again at every interval. It is
                renewed while a pass runs and between passes, and released at the end.
            wake: Begins the next pass at once when it is set, but after a failed pass not before its retry. A pass
                clears it when it begins.
            fixed_rate: Keep the rate constant however long a pass takes; a pass that outlasts the interval is
                followed by one pass, not by all that were missed.
        """
        self._name = name
        self._work = work
        self._interval_s = interval_s
        self._condition = condition
        self._issue = issue or name
        self._lease = lease
        self._holds_lease = False
        self._wake = wake
        self._fixed_rate = fixed_rate

    async def run(self, stopping: asyncio.Event) -> None:
        """Run passes until `stopping`. A pass that runs then is finished; cancel the task to cut it off.

        Raises:
            ConfigurationError: A pass says that a setting is wrong.
        """
        loop = asyncio.get_running_loop()
        async with self._lease_renewed():
            while not stopping.is_set():
                if self._wake is not None:
                    self._wake.clear()
                began = loop.time()
                succeeded = await self.run_pass()
                if self._fixed_rate:
                    wait_s = began + self._interval_s - loop.time()
                else:
                    wait_s = self._interval_s if succeeded else min(self._interval_s, _RETRY_S)
                # Without the wait after a failure, frequent wakes would repeat it without a pause.
                await self._sleep(stopping, wait_s, wake=self._wake if succeeded else None)

    async def run_pass(self) -> bool:
        """Run one pass, unless another instance holds the lease; return False where it failed.

        Raises:
            ConfigurationError: The pass says that a setting is wrong.
        """
        try:
            if await self._acquire_lease():
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
        cause = str(error) if expected else f"{type(error).__name__}: {error}"
        if self._condition.set_issue(self._name, f"{self._issue}: {cause}"):
            # Once an outage; with the trace where it is no outage.
            _log.warning("periodic work failed", task=self._name, error=cause, exc_info=None if expected else error)

    async def _sleep(self, stopping: asyncio.Event, seconds: float, *, wake: asyncio.Event | None) -> None:
        if wake is None:
            await sleep_unless(stopping, seconds)
            return
        waits = [asyncio.create_task(event.wait()) for event in (stopping, wake)]
        try:
            await asyncio.wait(waits, timeout=max(seconds, 0.0), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _acquire_lease(self) -> bool:
        if self._lease is None:
            return True
        self._holds_lease = await self._lease.acquire()
        return self._holds_lease

    @contextlib.asynccontextmanager
    async def _lease_renewed(self) -> AsyncIterator[None]:
        """Renew the lease as long as it is held, and release it at the end."""
        if self._lease is None:
            yield
            return
        renewing = asyncio.create_task(self._renew(self._lease))
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.wait((renewing,))
            try:
                await self._lease.release()
            except TransientError as error:
                # It ends by itself soon.
                _log.warning("a lease was not released", task=self._name, error=str(error))

    async def _renew(self, lease: Lease) -> None:
        while True:
            await asyncio.sleep(lease.renew_every_s)
            if not self._holds_lease:
                continue
            try:
                self._holds_lease = await lease.acquire()
            except Exception as error:  # noqa: BLE001 - tried again; the next pass acquires the lease and reports
                _log.warning("a lease was not renewed", task=self._name, error=str(error))
