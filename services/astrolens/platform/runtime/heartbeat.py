"""A service's sign of life in the record store, every two seconds."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from astrolens import __version__
from astrolens.contracts.base import utc_now
from astrolens.contracts.records import ServiceStatus
from astrolens.platform.errors import TransientError
from astrolens.platform.retry import sleep_unless
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import RecordStore

HEARTBEAT_S = 2.0
_ISSUE = "heartbeat"
_log = structlog.get_logger(__name__)

Measure = Callable[[], Awaitable[tuple[int, int | None]]]
"""Gives (records processed, records waiting or None)."""


def instance_name(service: str, port: int | None) -> str:
    """What one process of a service is called, also after a restart: several may share a host, not a port."""
    return f"{service}@{socket.gethostname()}{f':{port}' if port else ''}"


class Heartbeat:
    """Writes `ServiceStatus`; `info` is the service's own to fill."""

    def __init__(
        self,
        records: RecordStore,
        condition: Condition,
        *,
        service: str,
        instance: str,
        info: dict[str, Any],
        measure: Measure,
        every_s: float = HEARTBEAT_S,
    ) -> None:
        self._records = records
        self._condition = condition
        self._service = service
        self._instance = instance
        self._info = info
        self._measure = measure
        self._every_s = every_s
        self._started_at = utc_now()

    async def beat(self) -> None:
        """Write the status of this moment.

        Raises:
            StoreUnavailable: It could not be written.
        """
        processed, lag = await self._measure()
        status = ServiceStatus(
            service=self._service,
            instance=self._instance,
            pid=os.getpid(),
            version=__version__,
            started_at=self._started_at,
            seen_at=utc_now(),
            ready=self._condition.state == "running",
            state=self._condition.state,
            detail=self._condition.detail,
            processed=processed,
            lag=lag,
            last_errors=self._condition.last_errors,
            info=dict(self._info),
        )
        await self._records.upsert(Collection.SERVICES, [status])

    async def run(self, stopping: asyncio.Event) -> None:
        """Beat until `stopping`; a store that is away is a trouble, not the end."""
        while True:
            try:
                await self.beat()
            except TransientError as error:
                if self._condition.set_issue(_ISSUE, f"the record store is away: {error}"):
                    _log.warning("cannot write its sign of life", error=str(error))
            else:
                self._condition.clear_issue(_ISSUE)
            if await sleep_unless(stopping, self._every_s):
                return
