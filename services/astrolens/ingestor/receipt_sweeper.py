"""Processes again what was received and not settled: its event, or whoever processed it, was lost."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from astrolens.contracts.base import utc_now, utc_text
from astrolens.ingestor.arrivals import UNSETTLED, Arrival
from astrolens.ingestor.backpressure import Backpressure
from astrolens.ingestor.service import IngestService
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import Clause, Order, Query, RecordStore

_log = structlog.get_logger(__name__)

SWEEP_INTERVAL_S: Final = 10.0
"""Seconds between two passes; where nothing waits a pass is three look-ups in an index."""

_PAGE: Final = 64
"""Arrivals processed at once: as many as the bus delivers in a batch."""

_BACKPRESSURE_TIMEOUT_S: Final = 20.0
"""While nobody analyses, arrivals are processed slowly instead of not at all."""

_CLOCK_ERROR: Final = timedelta(minutes=1)
"""Clocks of instances differ by less. A receipt received later than this from now was written before a clock was set
back, or by a wrong one: its event may be lost, and its time tells nothing about how long it has waited."""


class ReceiptSweeper:
    """Finds arrivals that nobody settled, and has them processed."""

    def __init__(
        self,
        *,
        records: RecordStore,
        service: IngestService,
        after_s: float,
        backpressure: Backpressure | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Compose; nothing is asked of the store.

        Args:
            records: Where the receipts are.
            service: Who processes them.
            after_s: How long an arrival may wait for its event, seconds.
            backpressure: Waited for, within a bound, before every page.
            clock: The present time.
        """
        self._records = records
        self._service = service
        self._after = timedelta(seconds=after_s)
        self._backpressure = backpressure
        self._clock = clock
        self._started_at = clock()
        self._swept_at_start = False

    async def sweep(self) -> int:
        """One pass; return how many arrivals were processed again.

        The first complete pass takes whatever waited when the service started, whatever its time says; every later one
        what has waited too long, or has a time that cannot be right.

        Raises:
            TransientError: Something is unreachable; the next pass begins anew.
        """
        now = self._clock()
        before, after = (now - self._after, now + _CLOCK_ERROR) if self._swept_at_start else (self._started_at, now)
        swept = await self._process(Clause("received_at", "lt", utc_text(before)), order=Order("received_at"))
        # Receipts without a time that can be right are in no such range: they are read, and dead-lettered, here.
        swept += await self._process(Clause("received_at", "exists", False))
        swept += await self._process(Clause("received_at", "gt", utc_text(after)))
        self._swept_at_start = True
        if swept:
            _log.info("processed arrivals again", receipts=swept)
        return swept

    async def _process(self, clause: Clause, *, order: Order | None = None) -> int:
        swept = 0
        query = Query(where=(*UNSETTLED, clause), order=order, limit=_PAGE)
        # Pages follow each other whatever becomes of one, so that one arrival cannot hold up the others.
        async for page in pages(self._records, Collection.RECEIPTS, query):
            if self._backpressure is not None:
                await self._backpressure.wait(timeout_s=_BACKPRESSURE_TIMEOUT_S)
            receipts = await self._service.unsettled({str(document["receipt_id"]): document for document in page})
            await self._service.process([Arrival(receipt) for receipt in receipts])
            swept += len(page)
        return swept
