"""What a restart must find again: arrivals that nobody settled, and the index of near-duplicates."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from astrolens.contracts.base import utc_now
from astrolens.contracts.records import Receipt
from astrolens.ingestor.arrivals import UNSETTLED, Arrival, as_text
from astrolens.ingestor.near_duplicates import NearDuplicateIndex
from astrolens.ingestor.service import IngestService
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Clause, Order, Query, RecordStore

_log = structlog.get_logger(__name__)

_INDEX_PAGE: Final = 1000
_SWEEP_PAGE: Final = 64
"""Arrivals processed at once: as many as the bus hands over in a batch."""


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
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Make a sweeper.

        Args:
            records: Where the receipts are.
            service: Who processes them.
            after_s: How long an arrival may wait for its event, seconds.
            clock: The present time.
        """
        self._records = records
        self._service = service
        self._after = timedelta(seconds=after_s)
        self._clock = clock

    async def at_start(self) -> int:
        """Process every arrival that waited when the service started; return how many there were."""
        return await self._sweep(self._clock())

    async def again(self) -> int:
        """Process every arrival that has waited too long; return how many there were."""
        return await self._sweep(self._clock() - self._after)

    async def _sweep(self, before: datetime) -> int:
        swept = 0
        where = (*UNSETTLED, Clause("received_at", "lt", as_text(before)))
        query = Query(where=where, order=Order("received_at"), limit=_SWEEP_PAGE)
        # The cursor moves on whatever becomes of a page, so that one stubborn arrival cannot hold the sweep.
        while True:
            page = await self._records.find(Collection.RECEIPTS, query)
            receipts = [Receipt.model_validate(document) for document in page.documents]
            await self._service.process([Arrival(receipt) for receipt in receipts])
            swept += len(receipts)
            if page.next is None:
                break
            query = Query(where=where, order=query.order, limit=query.limit, after=page.next)
        if swept:
            _log.info("processed arrivals again", receipts=swept)
        return swept
