"""Finds analysed candidates that something has not been done for yet, the newest first."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from astrolens.contracts.base import utc_now, utc_text
from astrolens.contracts.verdicts import Verdict
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Clause, Document, Order, Query, RecordStore

_MARGIN: Final = timedelta(minutes=5)
"""An analysis may be recorded so long after its time, by an instance whose clock differs."""
_FULL_SEARCH: Final = timedelta(hours=1)
"""How often all candidates are looked through, not only the recent ones: whatever was missed is found then."""
_CANDIDATES: Final = (Verdict.ANOMALY, Verdict.NEAR_MISS)


class CandidateSearch:
    """Candidates that lack something; once there are none, only recent analyses are looked at.

    Args:
        records: The record store.
        lacking: Holds for a candidate that waits.
        fields: Fields of the documents that are wanted.
        clock: Gives the present time, UTC.
    """

    def __init__(
        self,
        records: RecordStore,
        *,
        lacking: Clause,
        fields: Sequence[str],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._records = records
        self._lacking = lacking
        self._fields = tuple(fields)
        self._clock = clock
        self._since: datetime | None = None
        self._searched_all_at: datetime | None = None

    async def newest(self, count: int, *also: Clause) -> list[Document]:
        """At most `count` candidates that wait, for which `also` holds.

        Raises:
            StoreUnavailable: The record store is unreachable.
        """
        began = self._clock()
        if self._searched_all_at is None or not began - _FULL_SEARCH < self._searched_all_at <= began:
            self._since = None
        recent = () if self._since is None else (Clause("analyzed_at", "gte", utc_text(self._since)),)
        found: list[Document] = []
        for verdict in _CANDIDATES:
            query = Query(
                where=(Clause("verdict", "eq", verdict.value), self._lacking, *also, *recent),
                order=Order("analyzed_at", descending=True),
                limit=count - len(found),
                fields=self._fields,
            )
            found += (await self._records.find(Collection.IMAGES, query)).documents
            if len(found) == count:
                return found
        if not found:
            if self._since is None:
                self._searched_all_at = began
            self._since = began - _MARGIN
        return found
