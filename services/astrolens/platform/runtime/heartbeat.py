"""The heartbeat of a service: its `ServiceStatus` in the record store, written every two seconds."""

import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from astrolens import __version__
from astrolens.contracts.base import utc_now
from astrolens.contracts.status import ServiceStatus
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import RecordStore

HEARTBEAT_INTERVAL_S = 2.0
"""Seconds between two heartbeats; the console takes a service for dead after several missed ones."""

Measure = Callable[[], Awaitable[tuple[int, int | None]]]
"""Returns (records processed since the start, records waiting or None)."""


def instance_name(service: str, port: int | None) -> str:
    """The name of one process of a service, the same after a restart: several may share a host, but not a port."""
    return f"{service}@{socket.gethostname()}{f':{port}' if port else ''}"


class Heartbeat:
    """Writes the status of a service."""

    def __init__(
        self,
        records: RecordStore,
        condition: Condition,
        *,
        service: str,
        instance: str,
        info: dict[str, Any],
        measure: Measure,
    ) -> None:
        """Compose; nothing is written.

        Args:
            records: Where the status is written.
            condition: State, open issues and last errors.
            service: Name of the service.
            instance: Name of the process (`instance_name`).
            info: What the service adds to its status, JSON-ready; read at every beat.
            measure: Counts records; called at every beat.
        """
        self._records = records
        self._condition = condition
        self._service = service
        self._instance = instance
        self._info = info
        self._measure = measure
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
