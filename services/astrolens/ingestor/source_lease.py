"""The lease of a source: of several ingestors, one at a time feeds from it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from astrolens.contracts.base import utc_now
from astrolens.platform.errors import TransientError
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.runtime.periodic import PeriodicTask
from astrolens.platform.stores.leases import Lease

CHECK_INTERVAL_S: Final = 3.0
"""How often the lease is renewed, or tried for: how late a source continues that another instance released."""

_log = structlog.get_logger(__name__)


class SourceLease:
    """Acquires a lease as soon as it is free, renews it, and cancels what runs under it when it is lost."""

    def __init__(
        self,
        lease: Lease,
        *,
        source: str,
        condition: Condition | None = None,
        check_interval_s: float = CHECK_INTERVAL_S,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Compose; nothing is asked of the store.

        Args:
            lease: The lease.
            source: Name of the source, for logs.
            condition: Where a failed renewal is reported.
            check_interval_s: Seconds between two renewals or tries.
            clock: The present time.
        """
        self._lease = lease
        self._source = source
        self._clock = clock
        self._held = asyncio.Event()
        self._lost = asyncio.Event()
        # One renewal interval before the lease ends: whoever cannot renew stops before another instance begins.
        self._lost_after = timedelta(seconds=2 * lease.renew_every_s)
        self._renewed_at: datetime | None = None
        self._renewal = PeriodicTask(
            f"lease of source {source}",
            self._renew,
            interval_s=check_interval_s,
            condition=condition or Condition(),
        )

    @asynccontextmanager
    async def maintained(self) -> AsyncIterator[None]:
        """Inside, the lease is acquired and renewed; at the end it is released."""
        renewing = asyncio.create_task(self._renewal.run(asyncio.Event()), name=f"lease-{self._source}")
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.wait({renewing})
            self._held.clear()
            try:
                await self._lease.release()
            except TransientError as error:
                # It ends by itself soon.
                _log.warning("a lease was not released", source=self._source, error=str(error))

    async def wait_until_held(self, stopping: asyncio.Event) -> bool:
        """Wait for the lease; return False when `stopping` was set first."""
        waits = [asyncio.create_task(event.wait()) for event in (self._held, stopping)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return not stopping.is_set()

    async def run_while_held(self, work: Coroutine[Any, Any, None]) -> bool:
        """Run `work` under the lease; return whether it ended by itself, False where the lease was lost."""
        working = asyncio.create_task(work, name=f"feed-{self._source}")
        losing = asyncio.create_task(self._lost.wait())
        try:
            await asyncio.wait({working, losing}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
                return True
            _log.warning("lost the lease of a source", source=self._source)
            return False
        finally:
            working.cancel()
            losing.cancel()
            await asyncio.wait({working, losing})

    async def _renew(self) -> None:
        now = self._clock()
        try:
            held = await self._lease.acquire()
        except TransientError:
            if self._renewed_at is not None and now - self._renewed_at >= self._lost_after:
                self._set_lost()
            raise
        if held:
            # From before the request on: the lease lasts at least from then.
            self._renewed_at = now
            self._lost.clear()
            self._held.set()
        else:
            self._set_lost()

    def _set_lost(self) -> None:
        self._renewed_at = None
        self._held.clear()
        self._lost.set()
