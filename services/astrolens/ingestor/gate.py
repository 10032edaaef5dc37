"""Back-pressure: sources pause while enough images are on their way, or while the disk is nearly full."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from astrolens.contracts.records import Books, ImageState
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import RecordStore

_LOOK_EVERY_S: Final = 0.25
"""Reading two tallies costs a fraction of a millisecond; more often would tell nothing new."""


class Gate:
    """Open while fewer than `max_in_flight` images are on their way."""

    def __init__(
        self,
        *,
        records: RecordStore,
        max_in_flight: int,
        count: "Callable[[RecordStore], Awaitable[int]] | None" = None,
        free_mib: Callable[[], float] | None = None,
        min_free_mib: float = 0.0,
        look_every_s: float = _LOOK_EVERY_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a gate.

        Args:
            records: Whose tallies are looked at.
            max_in_flight: Closed at this many.
            count: What is counted; by default the images in flight.
            free_mib: Tells the free disk space, MiB.
            min_free_mib: Closed below this.
            look_every_s: How long an answer serves, seconds.
            monotonic: A clock, seconds.
        """
        self._records = records
        self._count = count or images_in_flight
        self._max_in_flight = max_in_flight
        self._free_mib = free_mib
        self._min_free_mib = min_free_mib
        self._look_every_s = look_every_s
        self._monotonic = monotonic
        self._looked_at = -float("inf")
        self._closed: str | None = None

    async def closed(self) -> str | None:
        """Why nothing more may come in now, as a sentence; None while the gate is open."""
        now = self._monotonic()
        if now - self._looked_at >= self._look_every_s:
            self._closed = await self._look()
            self._looked_at = self._monotonic()
        return self._closed

    async def wait(self, *, at_most_s: float | None = None, on_closed: Callable[[str], None] | None = None) -> bool:
        """Wait until the gate is open.

        Args:
            at_most_s: Give up after this many seconds.
            on_closed: Told the reason while waiting.

        Returns:
            Whether it is open.
        """
        end = None if at_most_s is None else self._monotonic() + at_most_s
        while (reason := await self.closed()) is not None:
            if on_closed is not None:
                on_closed(reason)
            if end is not None and self._monotonic() >= end:
                return False
            await asyncio.sleep(self._look_every_s)
        return True

    async def _look(self) -> str | None:
        if self._free_mib is not None:
            free = await asyncio.to_thread(self._free_mib)
            if free < self._min_free_mib:
                return f"only {free:.0f} MiB are free on the disk; at least {self._min_free_mib:.0f} are needed"
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
