"""What the catalogues know at the place of an image, or at any place; and asking them again.

Only the crossref service talks to catalogues. A question about a place is a document that it answers; asking again
about an image makes its cross-match due.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from time import monotonic
from typing import Any, Final
from uuid import uuid4

from pydantic import Field, ValidationError

from astrolens.contracts.base import utc_now, utc_text
from astrolens.contracts.catalogues import CrossmatchStatus
from astrolens.contracts.crossmatch import Crossmatch, CrossmatchRecord, PositionQuery
from astrolens.contracts.records import ImageRecord, Reason
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import Change, Clause, Document, Order, Query, RecordStore
from astrolens.usecases.errors import Conflict, InvalidRequest, NotFound, Overloaded
from astrolens.usecases.status import MAX_CLOCK_AHEAD_S, SILENT_AFTER_S
from astrolens.usecases.views import View

ANSWER_TIMEOUT_S: Final = 20.0
"""Longest wait for an answer about a place: the crossref service takes at most ten seconds and half a second's look."""
_POLL_INTERVAL_S: Final = 0.2
MAX_WAITING: Final = 100
"""Questions about places that may wait at once."""
MAX_COUNTED: Final = 1000
"""Of more candidates that wait, only so many are counted."""
_SERVICE: Final = "crossref"


class CrossmatchView(View):
    """What the catalogues said of an image, or why they were not asked."""

    image_id: str
    state: str = Field(
        description="`settled`, `waiting` (asked now, or asked again at `next_try_at`), or `not_asked` (no candidate)."
    )
    status: CrossmatchStatus
    possible_discovery: bool = Field(description="Whether `status` is `unmatched`; nothing else may be called so.")
    reason: Reason
    references: int | None = Field(description="References in the literature; 0: none; null: nobody told.")
    answers: list[dict[str, Any]] = Field(description="Of each catalogue, as in the alert.")
    revision: int
    tries: int
    matched_at: datetime | None
    next_try_at: datetime | None


class PlaceView(View):
    """What the catalogues know at a place."""

    ra_deg: float
    dec_deg: float
    status: CrossmatchStatus
    possible_discovery: bool
    reason: Reason
    references: int | None
    answers: list[dict[str, Any]]


NO_POSITION: Final = "this image came without one"


class CrossmatchSummary(View):
    """All candidates by what is known of them, and how each catalogue is."""

    known: int
    unmatched: int
    undetermined: int
    waiting: int = Field(description="Candidates that are asked (again); of many the first 1,000 are counted.")
    catalogues: dict[str, dict[str, Any]] = Field(
        description="Each catalogue as every instance of the crossref service sees it: required, host, release, "
        "credit; `instances` with breaker, reason, retry_in_s, retry_at, canary_at, last_answer_at, latency_s, rows."
    )
    at: datetime


class Crossmatches:
    """Reads and requests cross-matches.

    Args:
        records: The record store.
        clock: The present time.
        answer_timeout_s: Longest wait for an answer about a place.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        clock: Callable[[], datetime] = utc_now,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        self._records = records
        self._clock = clock
        self._answer_timeout_s = answer_timeout_s

    async def of_image(self, image_id: str) -> CrossmatchView:
        """What the catalogues said of an image.

        Raises:
            NotFound: There is no such image.
        """
        await self._image(image_id, fields=("state",))
        record = await self._record(image_id)
        return _not_asked(image_id) if record is None else _view(record)

    async def ask_again(self, image_id: str) -> CrossmatchView:
        """Ask the catalogues about an image now, past what they answered before; also one that is no candidate.

        Raises:
            NotFound: There is no such image.
            Conflict: It is not analysed yet.
            InvalidRequest: It has no place on the sky to ask about.
        """
        document = await self._image(image_id)
        record = await self._record(image_id)
        requested = _requested(document, self._clock()) if record is None else None
        if document["observation"]["simulated"]:
            raise InvalidRequest("No position", "Catalogues are not asked: the sky of this image is simulated")
        if document["observation"].get("position") is None:
            raise InvalidRequest("No position", f"Catalogues are asked by position: {NO_POSITION}")
        if requested is not None:
            await self._records.insert(Collection.CROSSMATCHES, [requested])
        elif record is not None:
            values = {"again": True, "next_try_at": utc_text(self._clock())}
            await self._records.apply(Collection.CROSSMATCHES, [Change(id=record.image_id, set=values)])
        return await self.of_image(image_id)

    async def at(self, ra_deg: float, dec_deg: float) -> PlaceView:
        """What the catalogues know at a place; every catalogue answers or fails within the crossref service's budget.

        Raises:
            InvalidRequest: It is no place on the sky.
            Overloaded: Too many questions wait, or the crossref service does not answer.
        """
        try:
            asked = PositionQuery(query_id=uuid4().hex, ra_deg=ra_deg, dec_deg=dec_deg, asked_at=self._clock())
        except ValidationError:
            raise InvalidRequest(
                "No place on the sky",
                f"{ra_deg:g} {dec_deg:g} is no place: right ascension 0 to 360, declination -90 to 90, in degrees",
            ) from None
        where = (Clause("state", "eq", "waiting"),)
        waiting = await self._records.find(
            Collection.POSITION_QUERIES,
            Query(where=where, order=Order("asked_at"), limit=MAX_WAITING, fields=("asked_at",)),
        )
        if len(waiting.documents) >= MAX_WAITING:
            raise Overloaded("Too many questions", f"{MAX_WAITING} questions about places wait already: ask again soon")
        await self._records.insert(Collection.POSITION_QUERIES, [asked])
        try:
            found = await self._answer(asked.query_id)
        finally:
            await self._records.delete(Collection.POSITION_QUERIES, [asked.query_id])
        return PlaceView(
            ra_deg=ra_deg,
            dec_deg=dec_deg,
            status=found.status,
            possible_discovery=found.possible_discovery,
            reason=found.reason,
            references=found.references,
            answers=[answer.model_dump(mode="json") for answer in found.answers],
        )

    async def summary(self) -> CrossmatchSummary:
        """How many candidates are known, unmatched, undetermined; and how each catalogue is."""
        counts = await self._records.tally(Collection.CROSSMATCHES, "status")
        query = Query(
            where=(Clause("next_try_at", "gt", ""),),
            order=Order("next_try_at"),
            limit=MAX_COUNTED,
            fields=("next_try_at",),
        )
        waiting = await self._records.find(Collection.CROSSMATCHES, query)
        return CrossmatchSummary(
            known=counts.get((CrossmatchStatus.KNOWN.value,), 0),
            unmatched=counts.get((CrossmatchStatus.UNMATCHED.value,), 0),
            undetermined=counts.get((CrossmatchStatus.UNDETERMINED.value,), 0),
            waiting=len(waiting.documents),
            catalogues=await self._catalogues(),
            at=self._clock(),
        )

    async def _catalogues(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        now = self._clock()
        async for page in pages(self._records, Collection.SERVICES, Query(limit=200)):
            for service in page:
                silent_s = (now - datetime.fromisoformat(service["seen_at"])).total_seconds()
                if service["service"] != _SERVICE or not -MAX_CLOCK_AHEAD_S <= silent_s <= SILENT_AFTER_S:
                    continue
                for name, state in (service.get("info") or {}).get("catalogues", {}).items():
                    shared = {key: state.get(key) for key in ("required", "host", "release", "local", "credit")}
                    entry = found.setdefault(name, {**shared, "instances": {}})
                    entry["instances"][service["instance"]] = {
                        key: value for key, value in state.items() if key not in shared
                    }
        return found

    async def _answer(self, query_id: str) -> Crossmatch:
        deadline = monotonic() + self._answer_timeout_s
        while monotonic() < deadline:
            await asyncio.sleep(_POLL_INTERVAL_S)
            document = (await self._records.get(Collection.POSITION_QUERIES, [query_id])).get(query_id)
            if document is not None and document["state"] == "answered":
                found = PositionQuery.model_validate(document).crossmatch
                if found is not None:
                    return found
        raise Overloaded(
            "No answer", "the crossref service does not answer: `astrolens status` says whether it runs; then ask again"
        )

    async def _image(self, image_id: str, fields: tuple[str, ...] = ()) -> Document:
        document = (await self._records.get(Collection.IMAGES, [image_id], fields=fields)).get(image_id)
        if document is None:
            raise NotFound("image", image_id)
        return document

    async def _record(self, image_id: str) -> CrossmatchRecord | None:
        document = (await self._records.get(Collection.CROSSMATCHES, [image_id])).get(image_id)
        return None if document is None else CrossmatchRecord.model_validate(document)


def _view(record: CrossmatchRecord) -> CrossmatchView:
    found = record.crossmatch
    return CrossmatchView(
        image_id=record.image_id,
        state="settled" if record.next_try_at is None else "waiting",
        status=record.status,
        possible_discovery=found is not None and found.possible_discovery,
        reason=Reason(code="waiting", detail="the catalogues are being asked") if found is None else found.reason,
        references=None if found is None else found.references,
        answers=[] if found is None else [answer.model_dump(mode="json") for answer in found.answers],
        revision=record.revision,
        tries=record.tries,
        matched_at=record.matched_at,
        next_try_at=record.next_try_at,
    )


def _not_asked(image_id: str) -> CrossmatchView:
    reason = Reason(
        code="not-asked", detail="only candidates are looked up by themselves, other images when somebody asks"
    )
    return CrossmatchView(
        image_id=image_id,
        state="not_asked",
        status=CrossmatchStatus.UNDETERMINED,
        possible_discovery=False,
        reason=reason,
        references=None,
        answers=[],
        revision=0,
        tries=0,
        matched_at=None,
        next_try_at=None,
    )


def _requested(document: Document, now: datetime) -> CrossmatchRecord:
    """The cross-match of an image that has none yet, due now."""
    try:
        image = ImageRecord.model_validate(document)
    except ValidationError as error:
        raise Conflict("Unreadable image", f"the record of the image cannot be read: {error}"[:300]) from error
    if image.analysis is None:
        raise Conflict("Not analysed", "the image is not analysed yet: its cross-match follows its analysis")
    record = CrossmatchRecord.of(image, now=now)
    position = None if image.observation.simulated else record.position
    return record.model_copy(update={"position": position, "again": True})
