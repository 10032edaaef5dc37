"""What a restart must find again: arrivals that nobody settled, and the index of near-duplicates."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from astrolens.contracts.base import utc_now, utc_text
from astrolens.contracts.records import Receipt
from astrolens.ingestor.arrivals import UNSETTLED, Arrival
from astrolens.ingestor.gate import Gate
from astrolens.ingestor.near_duplicates import NearDuplicateIndex
from astrolens.ingestor.service import IngestService
from astrolens.platform.errors import TransientError
from astrolens.platform.retry import sleep_unless
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Clause, Order, Query, RecordStore

_log = structlog.get_logger(__name__)

_INDEX_PAGE: Final = 1000
_SWEEP_PAGE: Final = 64
"""Arrivals processed at once: as many as the bus hands over in a batch."""
_GATE_WAIT_S: Final = 20.0
"""While nobody analyses, arrivals trickle instead of standing still."""
_RETRY_S: Final = 5.0
_ISSUE: Final = "sweep"


async def restore_index(records: RecordStore, index: NearDuplicateIndex) -> int:
    """Fill the index from the record store, oldest image first; return how many images were new to it."""
    restored = 0
    query = Query(order=Order("ingested_at"), limit=_INDEX_PAGE)
    while True:
        page = await records.find(Collection.IMAGES, query)
        restored += index.update((str(image["image_id"]), str(image["phash"])) for image in page.documents)
        if page.next is None:
            return restored
        query = Query(order=query.order, limit=query.limit, after=page.next)


class Sweeper:
    """Processes again what an event announced and nobody settled: the event, or whoever read it, is gone."""

    def __init__(
        self,
        *,
        records: RecordStore,
        service: IngestService,
        after_s: float,
        gate: Gate | None = None,
        condition: Condition | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Make a sweeper.

        Args:
            records: Where the receipts are.
            service: Who processes them.
            after_s: How long an arrival may wait for its event, seconds.
            gate: Waited for, within a bound, before every page.
            condition: Told when a store is away.
            clock: The present time.
        """
        self._records = records
        self._service = service
        self._after = timedelta(seconds=after_s)
        self._gate = gate
        self._condition = condition or Condition()
        self._clock = clock

    async def run(self, stopping: asyncio.Event) -> None:
        """Sweep at once, then again and again, until `stopping`; a store that is away is a trouble, not the end."""
        sweep = self.at_start
        while True:
            try:
                await sweep()
            except TransientError as error:
                if self._condition.set_issue(_ISSUE, f"arrivals wait to be processed again: {error}"):
                    _log.warning("arrivals wait to be processed again", error=str(error))
                wait_s = min(_RETRY_S, self._after.total_seconds())
            else:
                self._condition.clear_issue(_ISSUE)
                sweep = self.again
                wait_s = self._after.total_seconds()
            if await sleep_unless(stopping, wait_s):
                return

    async def at_start(self) -> int:
        """Process every arrival that waited when the service started; return how many there were."""
        return await self._sweep(self._clock())

    async def again(self) -> int:
        """Process every arrival that has waited too long; return how many there were."""
        return await self._sweep(self._clock() - self._after)

    async def _sweep(self, before: datetime) -> int:
        swept = 0
        where = (*UNSETTLED, Clause("received_at", "lt", utc_text(before)))
        query = Query(where=where, order=Order("received_at"), limit=_SWEEP_PAGE)
        # The cursor moves on whatever becomes of a page, so that one stubborn arrival cannot hold the sweep.
        while True:
            page = await self._records.find(Collection.RECEIPTS, query)
            receipts = [Receipt.model_validate(document) for document in page.documents]
            if receipts and self._gate is not None:
                await self._gate.wait(at_most_s=_GATE_WAIT_S)
            await self._service.process([Arrival(receipt) for receipt in receipts])
            swept += len(receipts)
            if page.next is None:
                break
            query = Query(where=where, order=query.order, limit=query.limit, after=page.next)
        if swept:
            _log.info("processed arrivals again", receipts=swept)
        return swept
