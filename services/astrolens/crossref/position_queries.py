"""Answers questions of people and scripts what is known at a place.

The console writes a question into the record store, and one of the replicas answers it there. Nobody but this service
talks to the catalogues, so that all questions share their limits.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog
from pydantic import ValidationError

from astrolens.contracts.base import utc_now, utc_text
from astrolens.contracts.crossmatch import PositionQuery
from astrolens.crossref.catalogue_set import CatalogueSet
from astrolens.crossref.places import Place
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, Clause, Order, Query, RecordStore

POLL_INTERVAL_S: Final = 0.5
"""Seconds between two looks for questions: a person waits for the answer."""
_MAX_PER_PASS: Final = 32
_KEPT_FOR: Final = timedelta(hours=1)
_PURGE_EVERY: Final = timedelta(minutes=5)
_WAITING: Final = Clause("state", "eq", "waiting")

_log = structlog.get_logger(__name__)


class PositionQueries:
    """Answers the questions that wait, the oldest first. Two replicas at once would answer twice, from the cache."""

    def __init__(
        self, *, records: RecordStore, catalogues: CatalogueSet, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._records = records
        self._catalogues = catalogues
        self._clock = clock
        self._purged_at: datetime | None = None

    async def run_pass(self) -> int:
        """Answer what waits; return how many.

        Raises:
            StoreUnavailable: The questions still wait.
        """
        await self._purge()
        query = Query(where=(_WAITING,), order=Order("asked_at"), limit=_MAX_PER_PASS)
        found = (await self._records.find(Collection.POSITION_QUERIES, query)).documents
        places: list[Place] = []
        for document in found:
            try:
                asked = PositionQuery.model_validate(document)
            except ValidationError as error:
                _log.warning("a question cannot be read", query_id=document["query_id"], error=str(error)[:300])
                await self._records.delete(Collection.POSITION_QUERIES, [document["query_id"]])
                continue
            places.append(Place(asked.query_id, asked.ra_deg, asked.dec_deg))
        answers = await self._catalogues.crossmatch(places)
        changes = [
            Change(
                id=key,
                set={"state": "answered", "crossmatch": found.model_dump(mode="json")},
                when=(_WAITING,),
            )
            for key, found in answers.items()
        ]
        if changes:
            await self._records.apply(Collection.POSITION_QUERIES, changes)
        return len(changes)

    async def _purge(self) -> None:
        now = self._clock()
        if self._purged_at is not None and now - self._purged_at < _PURGE_EVERY:
            return
        self._purged_at = now
        query = Query(
            where=(Clause("asked_at", "lt", utc_text(now - _KEPT_FOR)),),
            order=Order("asked_at"),
            limit=500,
            fields=("asked_at",),
        )
        old = (await self._records.find(Collection.POSITION_QUERIES, query)).documents
        if old:
            await self._records.delete(Collection.POSITION_QUERIES, [document["query_id"] for document in old])
