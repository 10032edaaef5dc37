"""`images.submitted`: from receipt ids to settled receipts."""

from collections.abc import Sequence
from typing import Final

from astrolens.contracts.base import utc_now
from astrolens.contracts.events import ImageSubmitted
from astrolens.contracts.records import Outcome, Reason
from astrolens.ingestor.arrivals import Arrival, Settlement
from astrolens.ingestor.gate import Gate
from astrolens.ingestor.service import IngestService, waiting
from astrolens.platform.bus import Refusal
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import RecordStore

_GATE_WAIT_S: Final = 20.0
"""Longest pause before a batch while images wait for their analysis. After it the batch is taken nonetheless: a
handler that stands still would be thought stuck, and the queue behind it is bounded by what people handed in."""


class SubmittedImages:
    """Handles what people and scripts handed in."""

    def __init__(
        self, *, records: RecordStore, service: IngestService, gate: Gate, gate_wait_s: float = _GATE_WAIT_S
    ) -> None:
        self._records = records
        self._service = service
        self._gate = gate
        self._gate_wait_s = gate_wait_s

    async def handle(self, events: Sequence[ImageSubmitted]) -> Sequence[Refusal]:
        """Settle the receipts that the events name; what is settled already is skipped.

        Raises:
            TransientError: Something is away; the batch comes again.
        """
        await self._gate.wait(at_most_s=self._gate_wait_s)
        documents = await self._records.get(Collection.RECEIPTS, list({event.receipt_id for event in events}))
        await self._service.process([Arrival(receipt) for receipt in waiting(documents)])
        return [
            Refusal(event, Reason(code="receipt-unknown", detail=f"There is no receipt {event.receipt_id}."))
            for event in events
            if event.receipt_id not in documents
        ]

    async def refused(self, refusal: Refusal) -> None:
        """Settle the receipt of an event that was dead-lettered, so that the books balance."""
        if not isinstance(refusal.event, ImageSubmitted):
            raise TypeError(f"{type(refusal.event).__name__} is no event of this handler")
        receipts = await self._service.unsettled([refusal.event.receipt_id])
        settlements = [Settlement(Arrival(one), Outcome.DEAD_LETTERED, reason=refusal.reason) for one in receipts]
        now = utc_now()
        await self._records.apply(Collection.RECEIPTS, [one.change(now) for one in settlements])
