"""Reading receipts: one that cannot be read is dead-lettered, and its neighbours are processed."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import structlog
from pydantic import ValidationError

from astrolens.contracts.base import utc_text
from astrolens.contracts.records import Outcome, Reason, Receipt
from astrolens.ingestor.observer import Observer
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, Clause, Document, RecordStore

_log = structlog.get_logger(__name__)

_SETTLED: Final = tuple(outcome.value for outcome in Outcome if outcome is not Outcome.RECEIVED)
_NOT_SETTLED: Final = tuple(Clause("outcome", "ne", outcome) for outcome in _SETTLED)
"""Also holds where the outcome itself is absent or no outcome."""

_MAX_FIELDS: Final = 5
"""Fields that the reason names."""


class ReceiptReader:
    """Makes receipts of documents."""

    def __init__(self, records: RecordStore, *, observer: Observer, clock: Callable[[], datetime]) -> None:
        """Compose.

        Args:
            records: Where the receipts are.
            observer: Counts those that cannot be read.
            clock: The present time.
        """
        self._records = records
        self._observer = observer
        self._clock = clock

    async def unsettled(self, documents: Mapping[str, Document]) -> list[Receipt]:
        """The receipts among these documents that are not settled.

        A document that cannot be validated is settled as dead-lettered, once, so that the books balance.

        Args:
            documents: By receipt id.

        Raises:
            StoreUnavailable: A receipt could not be dead-lettered; doing it again completes it.
        """
        receipts: list[Receipt] = []
        unreadable: dict[str, Reason] = {}
        for receipt_id, document in documents.items():
            if document.get("outcome") in _SETTLED:
                continue
            try:
                receipts.append(Receipt.model_validate(document))
            except ValidationError as error:
                unreadable[receipt_id] = _reason(error)
        if unreadable:
            await self._dead_letter(unreadable, documents)
        return receipts

    async def _dead_letter(self, unreadable: Mapping[str, Reason], documents: Mapping[str, Document]) -> None:
        now = utc_text(self._clock())
        changes = [
            Change(
                id=receipt_id,
                set={
                    "outcome": Outcome.DEAD_LETTERED.value,
                    "reason": reason.model_dump(mode="json"),
                    "settled_at": now,
                },
                pull_pending=_pending_ids(documents[receipt_id]),
                when=_NOT_SETTLED,
            )
            for receipt_id, reason in unreadable.items()
        ]
        changed = await self._records.apply(Collection.RECEIPTS, changes)
        for receipt_id in changed:
            _log.error("dead-lettered a receipt", receipt_id=receipt_id, reason=unreadable[receipt_id].detail)
        self._observer.unreadable([unreadable[receipt_id] for receipt_id in changed])


def _reason(error: ValidationError) -> Reason:
    # Neither the value nor an address of documentation: only which field, and what is wrong with it.
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    named = [f"{'.'.join(map(str, one['loc'])) or 'the document'}: {one['msg']}" for one in problems[:_MAX_FIELDS]]
    return Reason(code="unreadable-record", detail=f"Its receipt cannot be read. {'; '.join(named)}."[:500])


def _pending_ids(document: Document) -> list[str]:
    """Ids of its pending events; none where these cannot be read either."""
    pending = document.get("pending")
    if not isinstance(pending, list) or not all(isinstance(event, dict) for event in pending):
        return []
    ids = [event.get("event_id") for event in pending]
    return [name for name in ids if isinstance(name, str)] if None not in ids else []
