"""Asks the catalogues about candidates that are due, a batch at a time, and records what they say.

The record store is the queue. A batch is claimed by moving its times on, so that several replicas share the work and
what a dead one had claimed is due again soon; its answers are cached by then, so that nothing is asked twice.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog

from astrolens.contracts.base import utc_now, utc_text
from astrolens.contracts.crossmatch import CrossmatchRecord, not_asked
from astrolens.crossref.candidates import Candidates, readable
from astrolens.crossref.catalogue_set import CatalogueSet
from astrolens.crossref.metrics import CatalogueMetrics
from astrolens.crossref.places import Place
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import Change, Clause, Document, Order, Query, RecordStore

POLL_INTERVAL_S: Final = 2.0
"""Seconds between two looks for candidates that are due; new ones wake it at once."""
BATCH: Final = 128
"""Candidates of one round of questions."""
CLAIM_TIMEOUT: Final = timedelta(seconds=60)
"""A claimed candidate is due again after so long: longer than a round with its writes."""
_ROUNDS_PER_PASS: Final = 8
_COUNTED: Final = 1000

_log = structlog.get_logger(__name__)


class CrossmatchWorker:
    """Works off the candidates that are due.

    Args:
        records: The queue.
        candidates: Writes the answers.
        catalogues: Answers.
        metrics: Shows how many wait.
        stopping: Ends a pass after its round.
        unfinished: Set where more are due, so that the next pass need not wait.
        clock: The present time.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        candidates: Candidates,
        catalogues: CatalogueSet,
        metrics: CatalogueMetrics,
        stopping: asyncio.Event,
        unfinished: asyncio.Event,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._records = records
        self._candidates = candidates
        self._catalogues = catalogues
        self._metrics = metrics
        self._stopping = stopping
        self._unfinished = unfinished
        self._clock = clock
        self._recovered_at: datetime | None = None

    def note_recovery(self) -> None:
        """A catalogue works again: whoever waits for a late answer is due now."""
        self._recovered_at = self._clock()
        self._unfinished.set()

    async def run_pass(self) -> int:
        """Work off what is due, within a bounded number of rounds; return how many candidates were answered.

        Raises:
            StoreUnavailable: What was claimed is due again in a minute.
        """
        await self._advance_after_recovery()
        answered = 0
        for _ in range(_ROUNDS_PER_PASS):
            claimed = await self._claim()
            if claimed:
                answered += await self.answer(claimed)
            if len(claimed) < BATCH or self._stopping.is_set():
                break
        else:
            self._unfinished.set()
        await self._count_waiting()
        return answered

    async def answer(self, claimed: Sequence[CrossmatchRecord]) -> int:
        """Ask the catalogues about candidates and record what they say; return how many were written."""
        changes: list[tuple[CrossmatchRecord, CrossmatchRecord]] = []
        askable = [record for record in claimed if record.position is not None]
        for record in claimed:
            if record.position is None:
                found = not_asked("no-position", "the image has no position on the sky: no catalogue can be asked")
                changes.append((record, self._candidates.answered(record, found)))
        for use_cache in (True, False):
            group = [record for record in askable if record.again is not use_cache]
            if group:
                answers = await self._catalogues.crossmatch([_place(each) for each in group], use_cache=use_cache)
                changes += [(each, self._candidates.answered(each, answers[each.image_id])) for each in group]
        return len(await self._candidates.write(changes))

    async def _claim(self) -> list[CrossmatchRecord]:
        now = self._clock()
        query = Query(where=(Clause("next_try_at", "lte", utc_text(now)),), order=Order("next_try_at"), limit=BATCH)
        due = (await self._records.find(Collection.CROSSMATCHES, query)).documents
        if not due:
            return []
        claim = utc_text(now + CLAIM_TIMEOUT)
        changes = [
            Change(
                id=document["image_id"],
                set={"next_try_at": claim},
                when=(Clause("next_try_at", "eq", document["next_try_at"]),),
            )
            for document in due
        ]
        claimed = await self._records.apply(Collection.CROSSMATCHES, changes)
        mine: list[Document] = [
            {**document, "next_try_at": claim} for document in due if document["image_id"] in claimed
        ]
        return readable(mine)

    async def _advance_after_recovery(self) -> None:
        """Make due whatever waits since before the recovery of a catalogue."""
        recovered_at, self._recovered_at = self._recovered_at, None
        if recovered_at is None:
            return
        now = self._clock()
        query = Query(
            where=(Clause("next_try_at", "gt", utc_text(now + timedelta(seconds=1))),),
            order=Order("next_try_at"),
            limit=BATCH,
            fields=("next_try_at", "matched_at"),
        )
        waiting: list[Document] = []
        async for page in pages(self._records, Collection.CROSSMATCHES, query):
            waiting += page
        changes = [
            Change(
                id=document["image_id"],
                set={"next_try_at": utc_text(now)},
                when=(Clause("next_try_at", "eq", document["next_try_at"]),),
            )
            for document in waiting
            # One that is claimed now has not been asked since either; its answers may be the old failures.
            if document["matched_at"] is not None and document["matched_at"] < utc_text(recovered_at)
        ]
        for start in range(0, len(changes), BATCH):
            await self._records.apply(Collection.CROSSMATCHES, changes[start : start + BATCH])
        if changes:
            _log.info("a catalogue works again; candidates are asked about again", candidates=len(changes))

    async def _count_waiting(self) -> None:
        query = Query(
            where=(Clause("next_try_at", "gt", ""),),
            order=Order("next_try_at"),
            limit=_COUNTED,
            fields=("next_try_at",),
        )
        self._metrics.waiting.set(len((await self._records.find(Collection.CROSSMATCHES, query)).documents))


def _place(record: CrossmatchRecord) -> Place:
    if record.position is None:
        raise ValueError(f"the image {record.image_id} has no position")
    return Place(record.image_id, record.position.ra_deg, record.position.dec_deg, record.observed_at)
