"""Finds candidates whose event was lost with a volatile broker.

Analysed, and without a cross-match: a walk looks at the candidates that were analysed since the last one, and stores
how far it came. The first walk of an archive begins an hour back: older candidates were alerted before there were
cross-matches, and wait for a request.

Placed later, and matched without their place or time, or without an object (a crash, an older version): another walk
goes round all cross-matches, a part in each pass.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog
from pydantic import Field, ValidationError

from astrolens.contracts.base import Contract, UtcTime, utc_now, utc_text
from astrolens.contracts.verdicts import Verdict
from astrolens.crossref.candidates import Candidates
from astrolens.crossref.sky_objects import ObjectLinker
from astrolens.platform.errors import PermanentError
from astrolens.platform.retry import sleep_unless
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.paging import pages_with_cursors
from astrolens.platform.stores.records import Clause, Document, Order, Query, RecordStore

MARGIN: Final = timedelta(minutes=2)
"""Overlap of two walks: an image gets its time a little before it is stored."""
FIRST_WALK: Final = timedelta(hours=1)
MAX_DOCUMENTS: Final = 1000
"""Candidates of one verdict in one pass."""
PAGE: Final = 100
PAUSE_S: Final = 0.1
"""Pause after each page, in which others write."""

_CANDIDATES: Final = (Verdict.ANOMALY, Verdict.NEAR_MISS)
_NAME: Final = "crossref.sweep"
_log = structlog.get_logger(__name__)


class SweepProgress(Contract):
    """How far the walks came; a document of `META`.

    Attributes:
        behind: Cursors of unfinished walks through the candidates, by verdict.
        crossmatches_after: Cursor of the walk through the cross-matches, which begins again when it is at the end.
    """

    name: str = _NAME
    swept_until: UtcTime | None = None
    begun_at: UtcTime | None = None
    behind: dict[str, str] = Field(default_factory=dict)
    crossmatches_after: str | None = None


class Sweep:
    """One pass after the other; a lease lets one of several replicas do it."""

    def __init__(
        self,
        *,
        records: RecordStore,
        candidates: Candidates,
        objects: ObjectLinker,
        stopping: asyncio.Event,
        unfinished: asyncio.Event,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Compose; nothing is read. `unfinished` is set where more wait, so that the next pass comes at once."""
        self._records = records
        self._candidates = candidates
        self._objects = objects
        self._stopping = stopping
        self._unfinished = unfinished
        self._clock = clock

    async def run_pass(self) -> None:
        """Look at a bounded number of candidates, and of cross-matches.

        Raises:
            TransientError: The next pass begins where this one did.
        """
        before = await self._load()
        begun_at = before.begun_at or self._clock()
        since = before.swept_until or begun_at - FIRST_WALK
        behind: dict[str, str] = {}
        for verdict in _CANDIDATES:
            if before.behind and verdict.value not in before.behind:
                continue  # This walk is at its end; the other one goes on.
            try:
                cursor = await self._walk(verdict, since, before.behind.get(verdict.value))
            except PermanentError as error:
                if error.reason.code != "bad-cursor":
                    raise
                cursor = None  # The records were moved to a store of another kind: the next walk finds the rest.
                begun_at = since + MARGIN
            if cursor is not None:
                behind[verdict.value] = cursor
        after = (
            before.model_copy(update={"begun_at": begun_at, "behind": behind, "swept_until": since})
            if behind
            else SweepProgress(swept_until=begun_at)
        )
        after = after.model_copy(update={"crossmatches_after": await self._walk_crossmatches(before)})
        if after != before:
            await self._records.upsert(Collection.META, [after])
        if behind and not self._stopping.is_set():
            self._unfinished.set()

    async def _walk(self, verdict: Verdict, since: datetime, after: str | None) -> str | None:
        query = Query(
            where=(
                Clause("verdict", "eq", verdict.value),
                Clause("analyzed_at", "gte", utc_text(since - MARGIN)),
            ),
            order=Order("analyzed_at"),
            limit=PAGE,
            after=after,
            fields=("analyzed_at",),
        )
        seen = 0
        async for page in pages_with_cursors(self._records, Collection.IMAGES, query):
            await self._repair(page.documents)
            seen += len(page.documents)
            if await sleep_unless(self._stopping, PAUSE_S) or seen >= MAX_DOCUMENTS:
                return page.next
        return None

    async def _walk_crossmatches(self, progress: SweepProgress) -> str | None:
        """Look at the next cross-matches; return the cursor to go on from, None at the end of them."""
        query = Query(limit=PAGE, after=progress.crossmatches_after, fields=("position", "observed_at"))
        seen = 0
        try:
            async for page in pages_with_cursors(self._records, Collection.CROSSMATCHES, query):
                await self._repair_places(page.documents)
                seen += len(page.documents)
                if await sleep_unless(self._stopping, PAUSE_S) or seen >= MAX_DOCUMENTS:
                    return page.next
        except PermanentError as error:
            if error.reason.code != "bad-cursor":
                raise
        return None

    async def _repair_places(self, crossmatches: Sequence[Document]) -> None:
        fields = (
            "observation.position",
            "observation.observed_at",
            "observation.simulated",
            "observation.injected",
            "analyzed_at",
            "object_id",
        )
        ids = [document["image_id"] for document in crossmatches]
        images = await self._records.get(Collection.IMAGES, ids, fields=fields)
        lost = [
            document["image_id"]
            for document in crossmatches
            if (image := images.get(document["image_id"])) is not None
            and image["analyzed_at"] is not None
            and not image["observation"]["simulated"]
            and (document["position"], document["observed_at"])
            != (image["observation"]["position"], image["observation"]["observed_at"])
        ]
        if lost:
            await self._reconcile(lost)
        await self._objects.link(
            image_id
            for image_id, image in images.items()
            if image["object_id"] is None
            and image["observation"]["position"] is not None
            and not (image["observation"]["simulated"] or image["observation"]["injected"])
        )

    async def _repair(self, images: Sequence[Document]) -> None:
        analyzed_at = {image["image_id"]: image["analyzed_at"] for image in images}
        known = await self._records.get(Collection.CROSSMATCHES, list(analyzed_at), fields=("analyzed_at",))
        lost = [
            image
            for image, at in analyzed_at.items()
            if image not in known or (known[image].get("analyzed_at") or "") < (at or "")
        ]
        if lost:
            await self._reconcile(lost)

    async def _reconcile(self, image_ids: Sequence[str]) -> None:
        for image, reason in (await self._candidates.reconcile(image_ids)).items():
            _log.warning("a candidate cannot be cross-matched", image_id=image, reason=reason.detail)

    async def _load(self) -> SweepProgress:
        document = (await self._records.get(Collection.META, [_NAME])).get(_NAME, {})
        try:
            return SweepProgress.model_validate(document)
        except ValidationError as error:
            _log.warning("the progress of the sweep cannot be read; it begins again", error=str(error)[:300])
            return SweepProgress()
