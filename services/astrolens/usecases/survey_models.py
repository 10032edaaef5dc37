"""Survey models: what calibrates each survey, what a person is asked to look at, and a person's decision.

The analyzer changes the documents as images come; a person may return a survey to the bundle's calibration.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, Self

import structlog
from pydantic import Field, ValidationError

from astrolens.contracts.base import utc_now
from astrolens.contracts.events import CalibrationRevised
from astrolens.contracts.survey_models import (
    MAX_EARLIER_REVISIONS,
    Rejudging,
    SurveyModelRecord,
    SurveyRevision,
    SurveyState,
)
from astrolens.contracts.topics import CALIBRATIONS_REVISED
from astrolens.platform.bus.ports import EventReleaser
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import Change, Clause, Document, Query, RecordStore, to_document
from astrolens.usecases.errors import Conflict, NotFound
from astrolens.usecases.views import ImageCard, ImagePage, View

MAX_SURVEYS: Final = 200
"""Surveys that have a document: whoever uploads images may name surveys without limit."""
_PAGE: Final = 100

_log = structlog.get_logger(__name__)


class SurveyModelStore:
    """Reads and changes the documents of survey models, with the events that follow.

    Args:
        records: The record store.
        releaser: Publishes the events.
        service: Producer of the events.
        clock: The present time.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        releaser: EventReleaser,
        service: str,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._records = records
        self._releaser = releaser
        self._service = service
        self._clock = clock

    async def read_all(self) -> dict[str, SurveyModelRecord]:
        """Every document by survey; one that cannot be read is logged and left out."""
        return await read_survey_models(self._records)

    async def save(self, before: SurveyModelRecord | None, after: SurveyModelRecord, *, announce: bool) -> bool:
        """Write a document, unless it was changed since it was read; return whether it was written.

        Args:
            before: As it was read; None where there is none yet.
            after: As it shall be; its version is set here.
            announce: Whether another calibration serves the survey now: the version grows, and an event follows.
        """
        version = 0 if before is None else before.version
        after = after.model_copy(update={"version": version + announce, "pending": ()})
        event = None
        if announce:
            event = CalibrationRevised.of(after, service=self._service, at=self._clock()).pending(
                topic=CALIBRATIONS_REVISED, key=after.survey
            )
        if before is None:
            document = after if event is None else after.model_copy(update={"pending": (event,)})
            written = bool(await self._records.insert(Collection.SURVEY_MODELS, [document]))
        else:
            change = _change(before, after)
            push = {"pending": [event.model_dump(mode="json")]} if event else {}
            when = (Clause("version", "eq", before.version),)
            changed = Change(id=after.survey, set=change, push=push, when=when)
            written = bool(await self._records.apply(Collection.SURVEY_MODELS, [changed]))
        if written and event is not None:
            await self._releaser.release(Collection.SURVEY_MODELS, [(after.survey, (event,))])
        return written


async def read_survey_models(records: RecordStore) -> dict[str, SurveyModelRecord]:
    """Every document of survey models by survey; one that cannot be read is logged and left out."""
    found: dict[str, SurveyModelRecord] = {}
    async for page in pages(records, Collection.SURVEY_MODELS, Query(limit=_PAGE)):
        for document in page:
            try:
                found[document["survey"]] = SurveyModelRecord.model_validate(document)
            except ValidationError as error:
                _log.error("a survey model cannot be read and is skipped", survey=document["survey"], error=str(error))
    return dict(sorted(found.items()))


def without_revision(record: SurveyModelRecord) -> SurveyModelRecord:
    """The record without its revision, which is named among the earlier ones."""
    earlier = (record.revision, *record.earlier) if record.revision else record.earlier
    update = {"revision": None, "earlier": earlier[:MAX_EARLIER_REVISIONS], "strangest": ()}
    return record.model_copy(update=update)


def _change(before: SurveyModelRecord, after: SurveyModelRecord) -> Document:
    old, new = to_document(before), to_document(after)
    return {name: value for name, value in new.items() if name != "pending" and value != old.get(name)}


class ReviewView(View):
    """What a person is asked to look at: the strangest images that the survey model was fitted on."""

    images: int
    answered: int


class SurveyModelView(View):
    """What calibrates a survey, and since when."""

    survey: str
    state: SurveyState
    since: datetime
    reason: str
    known: bool = Field(description="Whether the bundle has a calibration for the survey.")
    images: int = Field(description="Analysed images.")
    images_needed: int = Field(description="Images that a survey model is fitted on.")
    revision: SurveyRevision | None
    review: ReviewView | None = Field(description="Null where there is nothing to look at.")
    check: str | None = Field(description="What the last comparison with the bundle's images said.")
    rejudged: int = Field(description="Earlier images that were analysed again since the calibration changed.")
    rejudging: bool = Field(description="Whether earlier images are still being analysed again.")
    failure: str | None = Field(description="Why the last fit failed.")
    can_clear: bool = Field(description="Whether a person can return the survey to the bundle's calibration.")

    @classmethod
    def of(cls, record: SurveyModelRecord, labels: Mapping[str, str | None]) -> Self:
        """The view of a record; `labels` has the labels of its strangest images."""
        answered = sum(labels.get(image) is not None for image in record.strangest)
        again = record.rejudging
        return cls(
            survey=record.survey,
            state=record.state,
            since=record.since,
            reason=record.reason,
            known=record.known,
            images=record.images,
            images_needed=record.images_needed,
            revision=record.revision,
            review=ReviewView(images=len(record.strangest), answered=answered) if record.strangest else None,
            check=record.check.detail if record.check else None,
            rejudged=again.requested if again else 0,
            rejudging=again is not None and again.finished_at is None,
            failure=record.failure,
            can_clear=can_clear(record),
        )


class SurveyModelList(View):
    """Every survey with analysed images."""

    items: list[SurveyModelView]


def can_clear(record: SurveyModelRecord) -> bool:
    """Whether the bundle's own calibration could serve the survey and does not."""
    return record.known and record.state in {SurveyState.DOES_NOT_FIT, SurveyState.READY}


class SurveyModels:
    """What console and command line show and decide.

    Args:
        records: The record store.
        releaser: Publishes the events of decisions.
        clock: The present time.
    """

    def __init__(
        self, *, records: RecordStore, releaser: EventReleaser, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._records = records
        self._store = SurveyModelStore(records=records, releaser=releaser, service="console", clock=clock)
        self._clock = clock

    async def states(self) -> SurveyModelList:
        """The state of every survey."""
        found = await self._store.read_all()
        labels = await self._labels([image for record in found.values() for image in record.strangest])
        return SurveyModelList(items=[SurveyModelView.of(record, labels) for record in found.values()])

    async def strangest(self, survey: str) -> ImagePage:
        """The strangest images that a survey model was fitted on, the strangest first.

        Raises:
            NotFound: There is no such survey.
        """
        record = await self._record(survey)
        documents = await self._records.get(Collection.IMAGES, record.strangest)
        cards = [ImageCard.of(documents[image]) for image in record.strangest if image in documents]
        return ImagePage(items=cards, next=None, total=len(cards))

    async def clear(self, survey: str, *, user: str) -> SurveyModelView:
        """Return a survey to the bundle's calibration; its earlier images are analysed again.

        Raises:
            NotFound: There is no such survey.
            Conflict: The bundle's calibration serves it already, or the bundle has none.
        """
        record = await self._record(survey)
        if not can_clear(record):
            why = "serves it already" if record.known else "does not exist: the bundle does not know the survey"
            raise Conflict("Nothing to clear", f"The bundle's own calibration of {survey!r} {why}.")
        now = self._clock()
        after = without_revision(record).model_copy(
            update={
                "state": SurveyState.OWN,
                "since": now,
                "reason": f"{user} returned it to the bundle's calibration",
                "learn_from": None,
                "check": None,
                "check_after": now,
                "rejudging": Rejudging(begun_at=now),
                "failures": 0,
                "failure": None,
                "retry_at": None,
            }
        )
        if not await self._store.save(record, after, announce=True):
            raise Conflict("Changed meanwhile", f"The state of {survey!r} changed meanwhile: look at it again.")
        return SurveyModelView.of(after, {})

    async def _record(self, survey: str) -> SurveyModelRecord:
        document = (await self._records.get(Collection.SURVEY_MODELS, [survey])).get(survey)
        if document is None:
            raise NotFound("survey", survey)
        return SurveyModelRecord.model_validate(document)

    async def _labels(self, images: list[str]) -> dict[str, str | None]:
        if not images:
            return {}
        documents = await self._records.get(Collection.IMAGES, images, fields=("label",))
        return {image: document.get("label") for image, document in documents.items()}
