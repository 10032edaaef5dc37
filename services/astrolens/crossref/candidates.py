"""The records of candidates' cross-matches: made when an image is analysed, written when the catalogues have answered.

One document a candidate, which every change writes together with the event that follows from it. An image that no
catalogue can be asked about gets its answer at once; any other is due, and the worker asks about it. One whose place or
time becomes known later, or another, is due again.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog
from pydantic import ValidationError

from astrolens.contracts import topics
from astrolens.contracts.base import utc_now, utc_text
from astrolens.contracts.catalogues import MatchStatus
from astrolens.contracts.crossmatch import Crossmatch, CrossmatchRecord, not_asked
from astrolens.contracts.events import CandidateMatched
from astrolens.contracts.records import ImageRecord, PendingEvent, Reason
from astrolens.contracts.verdicts import Verdict
from astrolens.crossref.metrics import CatalogueMetrics
from astrolens.crossref.sky_objects import ObjectLinker
from astrolens.platform.bus.ports import EventReleaser
from astrolens.platform.errors import TransientError
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, Clause, Document, RecordStore, to_document
from astrolens.platform.telemetry.tracing import traceparent_of

SERVICE: Final = "crossref"

INITIAL_PAUSE: Final = timedelta(seconds=30)
MAX_PAUSE: Final = timedelta(hours=1)
"""Pauses between two rounds of questions about a candidate that is not settled; doubled each time."""
GIVE_UP_AFTER: Final = timedelta(days=14)
"""What could not be settled for so long stays as it is, until a person asks again."""
_TRIES: Final = 5
"""Rounds of one change: each lets somebody else be faster once."""

_log = structlog.get_logger(__name__)


class Candidates:
    """Makes, changes and publishes the cross-matches of candidates.

    Args:
        records: Images and cross-matches.
        outbox: Publishes the events of the writes.
        objects: Links images of one object, before the event about one of them is published.
        metrics: Counts what is published.
        on_due: Called when candidates wait for the catalogues.
        time_scale: Factor of all pauses, for tests.
        clock: The present time.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        outbox: EventReleaser,
        objects: ObjectLinker,
        metrics: CatalogueMetrics,
        on_due: Callable[[], None] = lambda: None,
        time_scale: float = 1.0,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._records = records
        self._outbox = outbox
        self._objects = objects
        self._metrics = metrics
        self._on_due = on_due
        self._scale = time_scale
        self._clock = clock

    def now(self) -> datetime:
        """The present time."""
        return self._clock()

    async def reconcile(self, image_ids: Sequence[str]) -> dict[str, Reason]:
        """Bring the cross-matches of images in line with their analyses, places and times. Idempotent.

        Returns:
            Why some cannot be, by image id.

        Raises:
            TransientError: A store is unreachable, or others change the same records all the time; calling again
                completes the work.
        """
        refused: dict[str, Reason] = {}
        waiting = list(image_ids)
        for _ in range(_TRIES):
            waiting = await self._reconcile(waiting, refused)
            if not waiting:
                return refused
        raise TransientError(f"{len(waiting)} cross-matches changed again and again while they were brought in line")

    async def _reconcile(self, image_ids: Sequence[str], refused: dict[str, Reason]) -> list[str]:
        """One round; return the images whose records somebody else has changed meanwhile."""
        documents = await self._records.get(Collection.IMAGES, image_ids)
        current = await self._records.get(Collection.CROSSMATCHES, image_ids)
        new: dict[str, CrossmatchRecord] = {}
        changed: list[tuple[CrossmatchRecord, CrossmatchRecord]] = []
        for image_id in dict.fromkeys(image_ids):
            if image_id not in documents:
                refused[image_id] = Reason(code="unknown-image", detail=f"no image {image_id} in the record store")
                continue
            try:
                image = ImageRecord.model_validate(documents[image_id])
                before = CrossmatchRecord.model_validate(current[image_id]) if image_id in current else None
            except ValidationError as error:
                refused[image_id] = Reason(code="unreadable-record", detail=f"image {image_id}: {error}"[:500])
                continue
            if image.analysis is None:
                continue  # It is being analysed again; another event follows.
            if before is None:
                if image.analysis.verdict is not Verdict.ORDINARY:
                    new[image_id] = self._new_record(image)
            elif (after := self._updated(before, image)) is not None:
                changed.append((before, after))
        await self._insert(list(new.values()))
        written = await self.write(changed)
        return [after.image_id for _, after in changed if after.image_id not in written]

    def answered(self, before: CrossmatchRecord, found: Crossmatch) -> CrossmatchRecord:
        """A record after a round of questions; it is published where what it says, or of which place, has changed."""
        now = self._clock()
        says_new = (
            before.crossmatch is None or before.crossmatch.statement != found.statement or _is_of_another_place(before)
        )
        after = before.model_copy(
            update={
                "status": found.status,
                "crossmatch": found,
                "revision": before.revision + 1 if says_new else before.revision,
                "tries": before.tries + 1,
                "matched_at": now,
                "next_try_at": self._next_try(before, found, now),
                "again": False,
            }
        )
        return self._with_event(after, now) if says_new else after.model_copy(update={"pending": ()})

    async def write(self, changes: Sequence[tuple[CrossmatchRecord, CrossmatchRecord]]) -> set[str]:
        """Write records and publish their events; return the ids of those that nobody else had changed.

        Raises:
            StoreUnavailable: Nothing is lost; the records are due again.
        """
        if not changes:
            return set()
        await self._copy_status(
            [after for before, after in changes if before.status is not after.status or not before.revision]
        )
        written = await self._records.apply(
            Collection.CROSSMATCHES, [_change(before, after) for before, after in changes]
        )
        # Linked when both the place and what is known there are stored, so that whoever links last has seen all.
        await self._objects.link(
            [
                after.image_id
                for before, after in changes
                if after.image_id in written
                and (after.revision != before.revision or after.placed_at != before.placed_at)
            ]
        )
        await self._release([after for _, after in changes if after.image_id in written])
        if any(
            after.next_try_at is not None and (after.revision == 0 or after.placed_at != before.placed_at)
            for before, after in changes
        ):
            self._on_due()
        return written

    def _new_record(self, image: ImageRecord) -> CrossmatchRecord:
        """The record of a new candidate: due, or answered where no catalogue can be asked."""
        now, observation = self._clock(), image.observation
        record = CrossmatchRecord.of(image, now=now).model_copy(update={"traceparent": traceparent_of(image.image_id)})
        if observation.simulated:
            found = not_asked("simulated-sky", "the sky is simulated: no catalogue can know what is at its places")
        elif observation.position is None:
            found = not_asked("no-position", "the image has no position on the sky: no catalogue can be asked")
        else:
            return record
        answered = record.model_copy(
            update={"status": found.status, "crossmatch": found, "revision": 1, "matched_at": now, "next_try_at": None}
        )
        return self._with_event(answered, now)

    def _updated(self, before: CrossmatchRecord, image: ImageRecord) -> CrossmatchRecord | None:
        """The record after another analysis of its image, or with another place or time; None where it has both."""
        analysis, observation = image.analysis, image.observation
        if analysis is None:
            return None
        analysed = (before.model_digest, before.calibration_id, before.analyzed_at) != (
            analysis.model_digest,
            analysis.calibration_id,
            analysis.analyzed_at,
        )
        placed = not observation.simulated and (before.position, before.observed_at) != (
            observation.position,
            observation.observed_at,
        )
        if not analysed and not placed:
            return None
        after = before.model_copy(update={"survey": observation.survey, "pending": ()})
        if analysed:
            after = after.model_copy(
                update={
                    "model_digest": analysis.model_digest,
                    "calibration_id": analysis.calibration_id,
                    "predicted_class": analysis.predicted_class,
                    "verdict": analysis.verdict,
                    "analyzed_at": analysis.analyzed_at,
                    "traceparent": traceparent_of(image.image_id),
                }
            )
        if placed:
            now = self._clock()
            after = after.model_copy(
                update={
                    "position": observation.position,
                    "observed_at": observation.observed_at,
                    "placed_at": now,
                    "tries": 0,
                    "next_try_at": now,
                }
            )
        if before.crossmatch is None or placed:
            return after  # The next answers publish it.
        return self._with_event(after.model_copy(update={"revision": before.revision + 1}), self._clock())

    def _next_try(self, before: CrossmatchRecord, found: Crossmatch, now: datetime) -> datetime | None:
        """When the catalogues that did not answer are asked again; None where all did, or it has lasted too long."""
        if not any(answer.status in {MatchStatus.FAILED, MatchStatus.STALE} for answer in found.answers):
            return None
        if now - (before.placed_at or before.created_at) > GIVE_UP_AFTER and not before.again:
            return None
        pause_s: float = INITIAL_PAUSE.total_seconds() * 2.0 ** min(before.tries, 12)
        return now + min(timedelta(seconds=pause_s), MAX_PAUSE) * self._scale

    def _with_event(self, record: CrossmatchRecord, now: datetime) -> CrossmatchRecord:
        event = CandidateMatched.of(record, service=SERVICE, at=now).pending(
            topic=topics.CANDIDATES_MATCHED, key=record.image_id, traceparent=record.traceparent
        )
        return record.model_copy(update={"pending": (event,)})

    async def _insert(self, records: Sequence[CrossmatchRecord]) -> None:
        if not records:
            return
        await self._copy_status([record for record in records if record.revision])
        written = await self._records.insert(Collection.CROSSMATCHES, records)
        new = [record for record in records if record.image_id in written]
        await self._release(new)
        if any(record.next_try_at is not None for record in new):
            self._on_due()

    async def _copy_status(self, records: Sequence[CrossmatchRecord]) -> None:
        """Copy what is known to the images, by which lists are filtered.

        Before the record is written: after a crash in between the record is due again, and the copy is written anew.
        """
        changes = [Change(id=record.image_id, set={"crossmatch_status": record.status.value}) for record in records]
        if changes:
            await self._records.apply(Collection.IMAGES, changes)

    async def _release(self, records: Sequence[CrossmatchRecord]) -> None:
        released: list[tuple[str, Sequence[PendingEvent]]] = [
            (record.image_id, record.pending) for record in records if record.pending
        ]
        await self._outbox.release(Collection.CROSSMATCHES, released)
        for record in records:
            if record.pending:
                self._metrics.crossmatches.labels(record.status.value).inc()


def _is_of_another_place(record: CrossmatchRecord) -> bool:
    """Whether the place or the time changed after the catalogues were asked: the same words mean something else now."""
    return record.placed_at is not None and (record.matched_at is None or record.matched_at < record.placed_at)


def _change(before: CrossmatchRecord, after: CrossmatchRecord) -> Change:
    """Every field that differs. The guards let one of several writers through."""
    old, new = to_document(before), to_document(after)
    events = new.pop("pending")
    placed_at = None if before.placed_at is None else utc_text(before.placed_at)
    guards = [
        Clause("revision", "eq", before.revision),
        Clause("analyzed_at", "eq", utc_text(before.analyzed_at)),
        # An answer about the place that was asked must not settle a record that has another one by now.
        Clause("placed_at", "eq", placed_at),
    ]
    values: Document = {name: value for name, value in new.items() if value != old.get(name)}
    return Change(id=after.image_id, set=values, push={"pending": events} if events else {}, when=tuple(guards))


def readable(documents: Sequence[Mapping[str, object]]) -> list[CrossmatchRecord]:
    """The records among some documents; those that cannot be read are logged, and left out."""
    found = []
    for document in documents:
        try:
            found.append(CrossmatchRecord.model_validate(document))
        except ValidationError as error:
            _log.warning("a cross-match cannot be read", image_id=document.get("image_id"), error=str(error)[:300])
    return found
