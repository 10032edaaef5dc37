"""`images.submitted`: from receipt ids to settled receipts."""

from collections.abc import Sequence
from typing import Final

from astrolens.contracts.base import utc_now
from astrolens.contracts.events import ImageSubmitted
from astrolens.contracts.records import Outcome, Reason
from astrolens.ingestor.arrivals import Arrival, Settlement
from astrolens.ingestor.backpressure import Backpressure
from astrolens.ingestor.service import IngestService
from astrolens.platform.bus import Refusal
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import RecordStore

_BACKPRESSURE_TIMEOUT_S: Final = 20.0
"""Longest pause before a batch while images wait for their analysis. After it the batch is processed nonetheless: a
handler that makes no progress counts as stuck, and the queue behind it is bounded by what people submitted."""


class SubmittedImages:
    """Handles what people and scripts submitted."""

    def __init__(
        self,
        *,
        records: RecordStore,
        service: IngestService,
        backpressure: Backpressure,
        backpressure_timeout_s: float = _BACKPRESSURE_TIMEOUT_S,
    ) -> None:
        self._records = records
        self._service = service
        self._backpressure = backpressure
        self._backpressure_timeout_s = backpressure_timeout_s

    async def handle(self, events: Sequence[ImageSubmitted]) -> Sequence[Refusal]:
        """Settle the receipts that the events name; what is settled already is skipped.

        Raises:
            TransientError: Something is unreachable; the batch is redelivered.
        """
        await self._backpressure.wait(timeout_s=self._backpressure_timeout_s)
        documents = await self._records.get(Collection.RECEIPTS, list({event.receipt_id for event in events}))
        receipts = await self._service.unsettled(documents)
        await self._service.process([Arrival(receipt) for receipt in receipts])
        return [
            Refusal(event, Reason(code="receipt-unknown", detail=f"There is no receipt {event.receipt_id}."))
            for event in events
            if event.receipt_id not in documents
        ]

    async def refused(self, refusal: Refusal) -> None:
        """Settle the receipt of an event that was dead-lettered, so that the books balance."""
        if not isinstance(refusal.event, ImageSubmitted):
            raise TypeError(f"{type(refusal.event).__name__} is no event of this handler")
        documents = await self._records.get(Collection.RECEIPTS, [refusal.event.receipt_id])
        receipts = await self._service.unsettled(documents)
        settlements = [Settlement(Arrival(one), Outcome.DEAD_LETTERED, reason=refusal.reason) for one in receipts]
        now = utc_now()
        await self._records.apply(Collection.RECEIPTS, [one.change(now) for one in settlements])
