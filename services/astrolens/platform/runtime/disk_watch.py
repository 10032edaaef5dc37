"""A nearly full disk as an issue of the service, so that `/readyz`, the heartbeat and `astrolens status` name it."""

import asyncio

import structlog

from astrolens.platform.disk import DiskSpace
from astrolens.platform.runtime.condition import Condition

DISK_ISSUE = "disk"
"""Key of the issue in the condition of a service."""
DISK_CHECK_INTERVAL_S = 2.0
"""Seconds between two looks: as often as the heartbeat that reports them."""

_log = structlog.get_logger(__name__)


class DiskWatch:
    """Keeps the issue `disk` of a condition up to date; logs an outage once."""

    def __init__(self, disk: DiskSpace, condition: Condition) -> None:
        self._disk = disk
        self._condition = condition

    async def check(self) -> None:
        """Look once."""
        shortage = await asyncio.to_thread(self._disk.shortage)
        if shortage is None:
            if self._condition.clear_issue(DISK_ISSUE):
                _log.info("the disk has space again")
        elif self._condition.set_issue(DISK_ISSUE, f"nothing is taken in: {shortage}"):
            _log.warning("the disk is nearly full", reason=shortage)
