"""Lets originals of ordinary images go, where the image store takes marked ones by itself at an age.

An original is marked only while its record says that the image is analysed, ordinary and unlabelled, and no alert is
about it. Marks and records lie in two stores, so the order of steps makes it so: this one looks, marks, looks again
and takes back what changed meanwhile; who labels (or has an image analysed again) takes the mark off before it writes
and once more after. Whoever comes last sees what the other did. Each step may be done twice, and a crash between two
of them is mended by the next pass: its place moves on only when a page is done, and it looks again at whatever was
labelled or became a candidate since the last pass.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from astrolens.contracts.base import utc_now, utc_text
from astrolens.contracts.ids import alert_id
from astrolens.contracts.records import ImageState
from astrolens.contracts.verdicts import Verdict
from astrolens.platform.errors import TransientError
from astrolens.platform.retry import sleep_unless
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import Expiry
from astrolens.platform.stores.records import Clause, Document, Order, Query, RecordStore

GRACE: Final = timedelta(days=1)
"""How long an image is left alone after its analysis, however old its original is: a person can still label it."""
EVERY_S: Final = 600.0
MARGIN: Final = timedelta(minutes=10)
"""How much of the past is looked at again: a label carries a time a little before it lies in the store."""

_PAGE: Final = 250
_META: Final = "ingestor.retention"
_RETRY_S: Final = 30.0
_ISSUE: Final = "retention"
_CANDIDATES: Final = [verdict.value for verdict in Verdict if verdict is not Verdict.ORDINARY]
_log = structlog.get_logger(__name__)


class Retention:
    """Marks originals that may go, and takes marks back."""

    def __init__(
        self,
        *,
        records: RecordStore,
        originals: Expiry,
        days: int,
        condition: Condition | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Make one.

        Args:
            records: The truth about every image.
            originals: The image store.
            days: Age at which marked originals go; 0 keeps everything, marked or not.
            condition: Told when a store is away.
            clock: The present time.
        """
        self._records = records
        self._originals = originals
        self._days = days
        self._condition = condition or Condition()
        self._clock = clock
        self._ruled = False

    async def run(self, stopping: asyncio.Event) -> None:
        """Pass after pass, until `stopping`; without an age only the rule is taken away.

        Raises:
            ConfigurationError: The credentials may not set the rule.
        """
        while not stopping.is_set():
            wait_s = EVERY_S
            try:
                marked = await self.once(stopping)
            except TransientError as error:
                wait_s = _RETRY_S
                if self._condition.set_issue(_ISSUE, f"originals wait to be marked or kept: {error}"):
                    _log.warning("originals wait to be marked or kept", error=str(error))
            else:
                self._condition.clear_issue(_ISSUE)
                if marked:
                    _log.info("marked originals of ordinary images as expendable", originals=marked)
                if not self._days:
                    return
            if await sleep_unless(stopping, wait_s):
                return

    async def once(self, stopping: asyncio.Event | None = None) -> int:
        """One pass; return how many originals were marked.

        Raises:
            TransientError: A store is away; the next pass goes on where this one was.
            ConfigurationError: The credentials may not set the rule.
        """
        if not self._days:
            await self._originals.expire_after(0)
            return 0
        state = (await self._records.get(Collection.META, [_META])).get(_META) or {"name": _META}
        begun = self._clock()
        await self._keep_since(state.get("kept_until"))
        state["kept_until"] = utc_text(begun - MARGIN)
        await self._records.upsert(Collection.META, [state])
        if not self._ruled:
            # Only now: labels that were given while there was no rule did not take the mark off.
            await self._originals.expire_after(self._days)
            self._ruled = True
        marked = 0
        until = utc_text(begun - GRACE)
        where = Clause("verdict", "eq", Verdict.ORDINARY.value), Clause("analyzed_at", "lte", until)
        async for page in self._pages(*where, field="analyzed_at", since=state.get("marked_until")):
            marked += await self._mark(page)
            state["marked_until"] = page[-1]["analyzed_at"]
            await self._records.upsert(Collection.META, [state])
            if stopping is not None and stopping.is_set():
                return marked
        state["marked_until"] = until
        await self._records.upsert(Collection.META, [state])
        return marked

    async def _keep_since(self, since: str | None) -> None:
        # One verdict at a time: then an index gives them in order.
        for verdict in _CANDIDATES:
            async for page in self._pages(Clause("verdict", "eq", verdict), field="analyzed_at", since=since):
                await self._originals.unmark_expendable(_keys(page))
        async for page in self._pages(field="labeled_at", since=since):
            await self._originals.unmark_expendable(_keys(page))

    async def _mark(self, page: Sequence[Document]) -> int:
        told = await self._with_alert(page)
        expendable = [image for image in page if _is_expendable(image) and image["image_id"] not in told]
        # What is none now may have been marked by a pass that a crash cut off.
        await self._originals.unmark_expendable(_keys([image for image in page if image not in expendable]))
        await self._originals.mark_expendable(_keys(expendable))
        after = await self._records.get(Collection.IMAGES, [image["image_id"] for image in expendable])
        told = await self._with_alert(expendable)
        changed = [
            image
            for image in expendable
            if image["image_id"] in told or not _is_expendable(after.get(image["image_id"], {}))
        ]
        await self._originals.unmark_expendable(_keys(changed))
        return len(expendable) - len(changed)

    async def _with_alert(self, images: Sequence[Document]) -> set[str]:
        alerts = {alert_id(image["image_id"]): str(image["image_id"]) for image in images}
        return {alerts[alert] for alert in await self._records.get(Collection.ALERTS, list(alerts))}

    async def _pages(self, *where: Clause, field: str, since: str | None) -> AsyncIterator[list[Document]]:
        clauses = where if since is None else (*where, Clause(field, "gte", since))
        after: str | None = None
        while True:
            page = await self._records.find(
                Collection.IMAGES, Query(where=clauses, order=Order(field), limit=_PAGE, after=after)
            )
            if page.documents:
                yield page.documents
            if (after := page.next) is None:
                return


def _is_expendable(image: Document) -> bool:
    """Whether a record says analysed, ordinary and unlabelled; one being analysed again says its old verdict still."""
    return (
        image.get("state") == ImageState.ANALYZED.value
        and image.get("verdict") == Verdict.ORDINARY.value
        and image.get("label") is None
    )


def _keys(images: Sequence[dict[str, Any]]) -> list[str]:
    return [image["original"]["key"] for image in images]
