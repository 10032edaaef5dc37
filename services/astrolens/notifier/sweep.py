"""Finds analyses whose event got lost, so that no alert is.

The embedded broker forgets everything when it ends: an event that was published and not yet consumed is gone, while
its image is analysed in the record store. So the store is swept: at start for all alerts that stand and for anomalies
since the last sweep, later every `every_s` for recent anomalies. What was told already is not told again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog
from pydantic import AwareDatetime, TypeAdapter

from astrolens.contracts.base import UtcTime, utc_now
from astrolens.contracts.verdicts import Verdict
from astrolens.notifier.alerting import AlertService
from astrolens.platform.errors import TransientError
from astrolens.platform.retry import sleep_unless
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Clause, Document, Order, Query, RecordStore

MARGIN: Final = timedelta(minutes=2)
"""How much of the past is swept again: an analysis carries a time a little before it lies in the store."""

_PAGE: Final = 250
_META: Final = "notifier.sweep"
_TIME: Final[TypeAdapter[AwareDatetime]] = TypeAdapter(UtcTime)
_log = structlog.get_logger(__name__)


class Sweep:
    """Looks for anomalies without an alert and for alerts that their image no longer supports."""

    def __init__(
        self,
        *,
        records: RecordStore,
        alerts: AlertService,
        every_s: float,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._records = records
        self._alerts = alerts
        self._every_s = every_s
        self._clock = clock
        self._looked_at_standing = False

    async def run(self, stopping: asyncio.Event) -> None:
        """Sweep at once and then regularly, until `stopping`."""
        while True:
            try:
                await self.once()
            except TransientError as error:
                _log.warning("a sweep was cut off", error=str(error))
            if await sleep_unless(stopping, self._every_s):
                return

    async def once(self) -> None:
        """One sweep.

        Raises:
            TransientError: A store is away; the next sweep begins where this one did.
        """
        begun = self._clock()
        if not self._looked_at_standing:
            async for page in self._pages(Collection.ALERTS, Query(order=Order("raised_at"), limit=_PAGE)):
                await self._reconcile([str(document["image_id"]) for document in page])
            self._looked_at_standing = True
        where = [Clause("verdict", "eq", Verdict.ANOMALY.value)]
        if (since := await self._swept_until()) is not None:
            where.append(Clause("analyzed_at", "gte", _text(since - MARGIN)))
        anomalies = Query(where=tuple(where), order=Order("analyzed_at"), limit=_PAGE)
        async for page in self._pages(Collection.IMAGES, anomalies):
            await self._reconcile([str(document["image_id"]) for document in page])
        await self._records.upsert(Collection.META, [{"name": _META, "swept_until": _text(begun)}])

    async def _reconcile(self, image_ids: Sequence[str]) -> None:
        for image_id, reason in (await self._alerts.reconcile(image_ids)).items():
            _log.error("cannot tell whether an alert is due", image_id=image_id, reason=reason.detail)

    async def _swept_until(self) -> datetime | None:
        found = (await self._records.get(Collection.META, [_META])).get(_META)
        return None if found is None else _TIME.validate_python(found["swept_until"])

    async def _pages(self, collection: Collection, query: Query) -> AsyncIterator[list[Document]]:
        after: str | None = None
        while True:
            page = await self._records.find(
                collection, Query(where=query.where, order=query.order, limit=query.limit, after=after)
            )
            yield page.documents
            if (after := page.next) is None:
                return


def _text(moment: datetime) -> str:
    return str(_TIME.dump_python(moment, mode="json"))
