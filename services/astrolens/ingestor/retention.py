"""Expires originals of ordinary images, where the image store deletes marked objects by itself at an age.

An original is marked only while its record says that the image is analysed, ordinary and unlabelled, and no alert is
about it. Marks and records lie in two stores, so the order of steps ensures it: a pass reads, marks, reads again and
unmarks what changed meanwhile; whoever labels (or has an image analysed again) unmarks before the write and once more
after it. Whoever comes last sees what the other did. Each step may be done twice, and a crash between two of them is
repaired by the next pass: its position moves only when a page is done, and it reads again whatever was labelled or
became a candidate since the last pass.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog

from astrolens.contracts.base import utc_now, utc_text
from astrolens.contracts.ids import alert_id
from astrolens.contracts.records import ImageState
from astrolens.contracts.verdicts import Verdict
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.runtime.periodic import PeriodicTask
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.documents import get_path
from astrolens.platform.stores.images import Expiry
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import Clause, Document, Order, Query, RecordStore

GRACE: Final = timedelta(days=1)
"""How long an image is not marked after its analysis, however old its original is: a person can still label it."""

INTERVAL_S: Final = 600.0
"""Seconds between two passes."""

MARGIN: Final = timedelta(minutes=10)
"""How much of the past is read again: a label carries a time a little before it lies in the store."""

_PAGE: Final = 250
_META: Final = "ingestor.retention"
_RULE_RETRY_S: Final = 30.0
_CANDIDATES: Final = [verdict.value for verdict in Verdict if verdict is not Verdict.ORDINARY]
_log = structlog.get_logger(__name__)


class Retention:
    """Marks originals that may expire, and unmarks those that may not any more."""

    def __init__(
        self,
        *,
        records: RecordStore,
        originals: Expiry,
        days: int,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Compose; nothing is asked of the stores.

        Args:
            records: The truth about every image.
            originals: The image store.
            days: Age at which marked originals expire, at least 1.
            clock: The present time.
        """
        self._records = records
        self._originals = originals
        self._days = days
        self._clock = clock
        self._rule_is_set = False

    async def run_pass(self) -> int:
        """One pass; return how many originals were marked. It may be cancelled at any step.

        Raises:
            TransientError: A store is unreachable; the next pass continues where this one was.
            ConfigurationError: The credentials may not set the rule.
        """
        state = (await self._records.get(Collection.META, [_META])).get(_META) or {"name": _META}
        begun = self._clock()
        await self._unmark_since(state.get("kept_until"))
        state["kept_until"] = utc_text(begun - MARGIN)
        await self._records.upsert(Collection.META, [state])
        if not self._rule_is_set:
            # Only now: labels that were given while there was no rule did not unmark.
            await self._originals.expire_after(self._days)
            self._rule_is_set = True
        marked = 0
        until = utc_text(begun - GRACE)
        where = Clause("verdict", "eq", Verdict.ORDINARY.value), Clause("analyzed_at", "lte", until)
        async for page in self._pages(*where, field="analyzed_at", since=state.get("marked_until")):
            marked += await self._mark(page)
            state["marked_until"] = page[-1]["analyzed_at"]
            await self._records.upsert(Collection.META, [state])
        state["marked_until"] = until
        await self._records.upsert(Collection.META, [state])
        if marked:
            _log.info("marked originals of ordinary images as expendable", originals=marked)
        return marked

    async def _unmark_since(self, since: str | None) -> None:
        # One verdict at a time: then an index gives them in order.
        for verdict in _CANDIDATES:
            async for page in self._pages(Clause("verdict", "eq", verdict), field="analyzed_at", since=since):
                await self._originals.unmark_expendable(_keys(page))
        async for page in self._pages(field="labeled_at", since=since):
            await self._originals.unmark_expendable(_keys(page))

    async def _mark(self, page: Sequence[Document]) -> int:
        alerted = await self._with_alert(page)
        expendable = [image for image in page if _is_expendable(image) and image["image_id"] not in alerted]
        # What is not expendable now may have been marked by a pass that a crash cut off.
        await self._originals.unmark_expendable(_keys([image for image in page if image not in expendable]))
        await self._originals.mark_expendable(_keys(expendable))
        after = await self._records.get(Collection.IMAGES, [image["image_id"] for image in expendable])
        alerted = await self._with_alert(expendable)
        changed = [
            image
            for image in expendable
            if image["image_id"] in alerted or not _is_expendable(after.get(image["image_id"], {}))
        ]
        await self._originals.unmark_expendable(_keys(changed))
        return len(expendable) - len(changed)

    async def _with_alert(self, images: Sequence[Document]) -> set[str]:
        alerts = {alert_id(image["image_id"]): str(image["image_id"]) for image in images}
        return {alerts[alert] for alert in await self._records.get(Collection.ALERTS, list(alerts))}

    async def _pages(self, *where: Clause, field: str, since: str | None) -> AsyncIterator[list[Document]]:
        clauses = where if since is None else (*where, Clause(field, "gte", since))
        query = Query(where=clauses, order=Order(field), limit=_PAGE)
        async for page in pages(self._records, Collection.IMAGES, query):
            yield page


async def remove_expiry_rule(originals: Expiry, *, condition: Condition) -> None:
    """Have the image store expire nothing any more, marked or not; tried again until the store answers.

    Raises:
        ConfigurationError: The credentials may not set the rule.
    """
    removed = asyncio.Event()

    async def remove() -> None:
        await originals.expire_after(0)
        removed.set()

    task = PeriodicTask(
        "retention rule", remove, interval_s=_RULE_RETRY_S, condition=condition, issue="originals may still expire"
    )
    await task.run(removed)


def _is_expendable(image: Document) -> bool:
    """Whether a record says analysed, ordinary and unlabelled; one being analysed again says its old verdict still."""
    return (
        image.get("state") == ImageState.ANALYZED.value
        and image.get("verdict") == Verdict.ORDINARY.value
        and image.get("label") is None
        and bool(_keys([image]))
    )


def _keys(images: Sequence[Document]) -> list[str]:
    """Keys of their originals; a record that names none has nothing to mark."""
    keys = [get_path(image, "original.key") for image in images]
    return [key for key in keys if isinstance(key, str)]
