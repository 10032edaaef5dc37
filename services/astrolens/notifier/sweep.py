"""Repairs what lost events leave behind: alerts that are missing or out of date.

The embedded broker keeps events in memory: one that was published and not yet consumed is lost when the broker ends,
while the image is analysed in the record store. A lost event leaves one of two traces, and nothing else is repaired:
an anomaly without an alert, or an alert that is older than the analysis of its image. A new model alone changes no
alert: it does once an image is analysed again. Messages that stayed pending are published by the outbox relay.

One pass reads at most `MAX_DOCUMENTS` anomalies and as many alerts, pauses between pages so that other writers get the
record store's write lock, and stores where the next pass goes on, also after a restart.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog
from pydantic import TypeAdapter, ValidationError

from astrolens.contracts.base import Contract, UtcTime, utc_now, utc_text
from astrolens.contracts.verdicts import Verdict
from astrolens.notifier.alert_service import CROSSMATCH_WAIT, AlertService
from astrolens.notifier.unreadable import UnreadableDocuments
from astrolens.platform.errors import PermanentError
from astrolens.platform.retry import sleep_unless
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.paging import pages_with_cursors
from astrolens.platform.stores.records import Clause, Document, Order, Query, RecordStore

MARGIN: Final = CROSSMATCH_WAIT + timedelta(minutes=2)
"""Overlap of one walk through the anomalies with the next: an image gets its time a little before it is stored, and may
wait so long for the catalogues."""

MAX_DOCUMENTS: Final = 500
"""Documents of each kind in one pass; a pass is short next to the interval and to the lease."""

PAGE_SIZE: Final = 100
"""Documents in one page, and so the most that one write transaction holds."""

PAUSE_S: Final = 0.25
"""Pause after each page, in which other processes write."""

_META_NAME: Final = "notifier.sweep"
_UTC_TIME: Final = TypeAdapter(UtcTime)
_log = structlog.get_logger(__name__)


class SweepProgress(Contract):
    """Where the sweep goes on; a document of the collection `META`.

    Attributes:
        swept_until: Every anomaly that was analysed before has been looked at.
        begun_at: When the unfinished walk through the anomalies began.
        anomalies_after: Cursor of that walk.
        alerts_after: Cursor of the walk through the alerts, which begins again when it is at the end.
    """

    name: str = _META_NAME
    swept_until: UtcTime | None = None
    begun_at: UtcTime | None = None
    anomalies_after: str | None = None
    alerts_after: str | None = None


class Sweep:
    """Looks for anomalies without an alert, and for alerts that are older than the analysis of their image.

    Several notifiers may run it; a lease lets one of them do so. Two at once would do work twice, without harm.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        alerts: AlertService,
        unreadable: UnreadableDocuments,
        stopping: asyncio.Event,
        unfinished: asyncio.Event,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Compose; nothing is read.

        Args:
            records: Images, alerts and the sweep's progress.
            alerts: Repairs alerts.
            unreadable: Where documents that cannot be used are reported.
            stopping: Ends a pass after the page that is being worked on.
            unfinished: Set at the end of a pass when more anomalies wait, so that the next pass need not.
            clock: The present time.
        """
        self._records = records
        self._alerts = alerts
        self._unreadable = unreadable
        self._stopping = stopping
        self._unfinished = unfinished
        self._clock = clock

    async def run_pass(self) -> None:
        """Look at a bounded number of anomalies and alerts.

        Raises:
            TransientError: A store is unreachable; the next pass begins where this one did.
        """
        progress = await self._load_progress()
        try:
            progress = await self._repair_anomalies(progress)
            await self._repair_alerts(progress)
        except PermanentError as error:
            if error.reason.code != "bad-cursor":
                raise
            # The records were moved to a store of another kind, whose cursors differ: both walks begin again.
            update = {"anomalies_after": None, "alerts_after": None}
            progress = await self._store_progress(progress, progress.model_copy(update=update))
        if progress.anomalies_after is not None and not self._stopping.is_set():
            self._unfinished.set()

    async def _repair_anomalies(self, progress: SweepProgress) -> SweepProgress:
        begun_at = progress.begun_at or self._clock()
        where = [Clause("verdict", "eq", Verdict.ANOMALY.value)]
        if progress.swept_until is not None:
            where.append(Clause("analyzed_at", "gte", utc_text(progress.swept_until - MARGIN)))
        query = Query(
            where=tuple(where),
            order=Order("analyzed_at"),
            limit=PAGE_SIZE,
            after=progress.anomalies_after,
            fields=("analyzed_at",),
        )
        after = await self._walk(Collection.IMAGES, query, self._repair)
        update = {"swept_until": begun_at, "begun_at": None} if after is None else {"begun_at": begun_at}
        return await self._store_progress(progress, progress.model_copy(update={**update, "anomalies_after": after}))

    async def _repair_alerts(self, progress: SweepProgress) -> None:
        async def repair_page(alerts: Sequence[Document]) -> None:
            image_ids = tuple(image for alert in alerts if isinstance(image := alert.get("image_id"), str))
            where = (Clause("image_id", "in", image_ids),)
            query = Query(where=where, limit=len(alerts), fields=("analyzed_at",))
            await self._repair((await self._records.find(Collection.IMAGES, query)).documents)

        query = Query(order=Order("raised_at"), limit=PAGE_SIZE, after=progress.alerts_after, fields=("image_id",))
        after = await self._walk(Collection.ALERTS, query, repair_page)
        await self._store_progress(progress, progress.model_copy(update={"alerts_after": after}))

    async def _walk(
        self,
        collection: Collection,
        query: Query,
        visit: Callable[[Sequence[Document]], Awaitable[None]],
    ) -> str | None:
        """Visit the next pages of a query; return the cursor to go on from, None at the end of the query."""
        visited = 0
        async for page in pages_with_cursors(self._records, collection, query):
            await visit(page.documents)
            visited += len(page.documents)
            if await sleep_unless(self._stopping, PAUSE_S) or visited >= MAX_DOCUMENTS:
                return page.next
        return None

    async def _repair(self, images: Sequence[Document]) -> None:
        analyzed_at: dict[str, datetime] = {}
        for image in images:
            if image.get("analyzed_at") is None:
                continue  # Not analysed yet.
            try:
                analyzed_at[image["image_id"]] = _UTC_TIME.validate_python(image["analyzed_at"])
            except ValidationError as error:
                self._unreadable.report(Collection.IMAGES, image["image_id"], error)
        for image_id, reason in (await self._alerts.repair(analyzed_at)).items():
            self._unreadable.report(Collection.IMAGES, image_id, reason.detail)

    async def _load_progress(self) -> SweepProgress:
        document = (await self._records.get(Collection.META, [_META_NAME])).get(_META_NAME, {})
        try:
            return SweepProgress.model_validate(document)
        except ValidationError as error:
            _log.warning("the progress of the sweep cannot be read; it begins again", error=str(error))
            return SweepProgress()

    async def _store_progress(self, before: SweepProgress, after: SweepProgress) -> SweepProgress:
        if after != before:
            await self._records.upsert(Collection.META, [after])
        return after
