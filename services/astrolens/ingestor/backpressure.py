"""Backpressure: sources pause while enough images are in flight, or while the disk is nearly full."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from astrolens.contracts.records import ImageState
from astrolens.contracts.status import Books
from astrolens.platform.disk import DiskSpace
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import RecordStore

_CHECK_INTERVAL_S: Final = 0.25
"""Reading two tallies costs a fraction of a millisecond; more often would show nothing new."""


class Backpressure:
    """Lets images in while fewer than `max_in_flight` are in flight, in all instances together."""

    def __init__(
        self,
        *,
        records: RecordStore,
        max_in_flight: int,
        count: "Callable[[RecordStore], Awaitable[int]] | None" = None,
        disk: DiskSpace | None = None,
        check_interval_s: float = _CHECK_INTERVAL_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Compose; nothing is asked of the store.

        Args:
            records: Whose tallies are read.
            max_in_flight: Pauses at this many.
            count: What is counted; by default the images in flight.
            disk: Pauses while one of these disks is nearly full.
            check_interval_s: How long a result is used again, seconds.
            monotonic: A clock, seconds.
        """
        self._records = records
        self._count = count or images_in_flight
        self._max_in_flight = max_in_flight
        self._disk = disk
        self._check_interval_s = check_interval_s
        self._monotonic = monotonic
        self._checked_at = -float("inf")
        self._reason: str | None = None

    async def reason_to_pause(self) -> str | None:
        """Why no image may come in now, as a sentence; None where it may."""
        now = self._monotonic()
        if now - self._checked_at >= self._check_interval_s:
            self._reason = await self._check()
            self._checked_at = self._monotonic()
        return self._reason

    async def wait(self, *, timeout_s: float | None = None, on_pause: Callable[[str], None] | None = None) -> bool:
        """Wait until images may come in.

        Args:
            timeout_s: Give up after this many seconds.
            on_pause: Called with the reason while waiting.

        Returns:
            Whether they may.
        """
        end = None if timeout_s is None else self._monotonic() + timeout_s
        while (reason := await self.reason_to_pause()) is not None:
            if on_pause is not None:
                on_pause(reason)
            if end is not None and self._monotonic() >= end:
                return False
            await asyncio.sleep(self._check_interval_s)
        return True

    async def _check(self) -> str | None:
        if self._disk is not None and (shortage := await asyncio.to_thread(self._disk.shortage)) is not None:
            return shortage
        in_flight = await self._count(self._records)
        if in_flight >= self._max_in_flight:
            return f"{in_flight} images are on their way, the limit is {self._max_in_flight}"
        return None


async def images_in_flight(records: RecordStore) -> int:
    """Arrivals that are neither settled otherwise nor analysed yet."""
    outcomes, states = await records.tallies([(Collection.RECEIPTS, "outcome"), (Collection.IMAGES, "state")])
    return Books.of(outcomes, states).in_flight


async def images_to_analyze(records: RecordStore) -> int:
    """Images that have their cutout and wait for their analysis."""
    return (await records.tally(Collection.IMAGES, "state")).get((ImageState.INGESTED.value,), 0)
