"""Survey models: what calibrates each survey, what a person is asked to look at, and a person's decision.

The analyzer changes the documents as images come; a person may return a survey to the bundle's calibration.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, Self

import structlog
from pydantic import Field, ValidationError

from astrolens.contracts.base import utc_now
from astrolens.contracts.events import CalibrationRevised
from astrolens.contracts.survey_models import (
    MAX_EARLIER_REVISIONS,
    DriftMeasure,
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
from astrolens.usecases.survey_budgets import budget_issue
from astrolens.usecases.survey_release import count_images_since, first_of_newest, release_words
from astrolens.usecases.views import ImageCard, ImagePage, View

AGGRESSIVE_PER_1000: Final = 30.0
"""The budget that commands and pages call aggressive: what is a near miss by default is an anomaly."""
MAX_SURVEYS: Final = 200
"""Most surveys that have a document: uploads may name surveys without limit."""
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
    learned: int | None = Field(
        default=None,
        description="Where the survey model is fitted on images since `learn_from`: how many different ones there are.",
    )
    learn_from: datetime | None = Field(
        default=None, description="Since when images count for the survey model; null: from the first on."
    )
    revision: SurveyRevision | None
    review: ReviewView | None = Field(description="Null where there is nothing to look at.")
    check: str | None = Field(description="What the last comparison with the bundle's images said.")
    rejudged: int = Field(
        description="Earlier images whose analysis was requested again since the calibration, the budget or the bundle "
        "changed; each counts once."
    )
    rejudging: bool = Field(description="Whether earlier images are still being analysed again.")
    failure: str | None = Field(description="Why the last fit failed.")
    false_alarms_per_1000: float | None = Field(description="The survey's own budget; null: that of the settings.")
    budget_issue: str | None = Field(
        default=None, description="Why no image could be an anomaly under its own budget, and the smallest useful one."
    )
    drift: DriftMeasure | None = Field(description="How far its recent images have moved; measured every 100 images.")
    adjustment: DriftMeasure | None = Field(description="The drift that verdicts allow for; null: none.")
    earlier: list[SurveyRevision] = Field(description="Replaced survey models, the newest first.")
    earlier_adjustments: list[DriftMeasure] = Field(description="Drifts that were allowed for, the newest first.")
    can_clear: bool = Field(description="Whether a person can return the survey to the bundle's calibration.")
    releases: str | None = Field(
        description="What a return to the bundle's calibration would release, where its images did not fit; else null."
    )

    @classmethod
    def of(
        cls,
        record: SurveyModelRecord,
        labels: Mapping[str, str | None],
        *,
        releases: str | None = None,
        budget_issue: str | None = None,
    ) -> Self:
        """The view of a record; `labels` has the labels of its strangest images."""
        answered = sum(labels.get(image) is not None for image in record.strangest)
        again = record.rejudging
        return cls(
            survey=record.survey,
            state=record.state,
            since=record.since,
            reason=_reason(record),
            known=record.known,
            images=record.images,
            images_needed=record.images_needed,
            learned=record.learned,
            learn_from=record.learn_from,
            revision=record.revision,
            review=ReviewView(images=len(record.strangest), answered=answered) if record.strangest else None,
            check=record.check.detail if record.check else None,
            rejudged=again.rejudged_images if again else 0,
            rejudging=again is not None and again.finished_at is None,
            failure=record.failure,
            false_alarms_per_1000=record.false_alarms_per_1000,
            budget_issue=budget_issue,
            drift=record.drift,
            adjustment=record.adjustment,
            earlier=list(record.earlier),
            earlier_adjustments=list(record.earlier_adjustments),
            can_clear=can_clear(record),
            releases=releases,
        )


def _reason(record: SurveyModelRecord) -> str:
    """Why the survey has its calibration, and why anomalies are held where a comparison could not decide."""
    if record.check is None or not record.check.undecided:
        return record.reason
    return f"{record.reason}; anomalies are held: {record.check.detail}"


class SurveyModelList(View):
    """Every survey with analysed images."""

    items: list[SurveyModelView]


def can_clear(record: SurveyModelRecord) -> bool:
    """Whether the bundle's own calibration, or for a new survey its survey model, could serve it and does not."""
    if record.known:
        return record.state in {SurveyState.DOES_NOT_FIT, SurveyState.READY}
    return record.state is SurveyState.DOES_NOT_FIT and record.revision is not None


def _returned(record: SurveyModelRecord, *, user: str, now: datetime) -> SurveyModelRecord:
    """The record after a person returned the survey to the bundle's calibration, or a new survey to its model."""
    common = {
        "since": now,
        "learned": None,
        "check": None,
        "own_check": None,
        "fit_requested": False,
        "check_after": now,
        "rejudging": Rejudging(begun_at=now),
        "failures": 0,
        "failure": None,
        "retry_at": None,
    }
    if not record.known:
        again = {"state": SurveyState.READY, "reason": f"{user} returned it to its survey model"}
        return record.model_copy(update={**common, **again})
    own = {"state": SurveyState.OWN, "reason": f"{user} returned it to the bundle's calibration"}
    return without_revision(record).model_copy(update={**common, **own, "learn_from": None, "drift": None})


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
        items = []
        for record in found.values():
            issue = await budget_issue(self._records, record, record.false_alarms_per_1000)
            releases = await self._releases(record)
            items.append(SurveyModelView.of(record, labels, releases=releases, budget_issue=issue))
        return SurveyModelList(items=items)

    async def strangest(self, survey: str) -> ImagePage:
        """The strangest images that a survey model was fitted on, the strangest first.

        Raises:
            NotFound: There is no such survey.
        """
        record = await self._record(survey)
        documents = await self._records.get(Collection.IMAGES, record.strangest)
        cards = [ImageCard.of(documents[image]) for image in record.strangest if image in documents]
        return ImagePage(items=cards, next=None, total=len(cards))

    async def clear(self, survey: str, *, user: str, release: bool = False) -> SurveyModelView:
        """Return a survey to the bundle's calibration, or a new one that does not fit any more to its survey model.

        Its earlier images are analysed again.

        Args:
            survey: Its name.
            user: Who decides.
            release: Whether the alerts of images that did not fit may be sent.

        Raises:
            NotFound: There is no such survey.
            Conflict: The bundle's calibration serves it already, or the bundle has none; or alerts of images that did
                not fit would be sent, and that was not asked for.
        """
        record = await self._record(survey)
        if not can_clear(record):
            why = "serves it already" if record.known else "does not exist: the bundle does not know the survey"
            raise Conflict("Nothing to clear", f"The bundle's own calibration of {survey!r} {why}.")
        would = await self._releases(record)
        if would is not None and not release:
            raise Conflict(
                "Alerts would be sent",
                f"{would} Look at the newest images of {survey!r} first; if they are of that survey, ask again with "
                "`release` (`--release` on the command line).",
            )
        after = _returned(record, user=user, now=self._clock())
        await self._decide(record, after)
        return SurveyModelView.of(after, {})

    async def set_budget(self, survey: str, false_alarms_per_1000: float | None, *, user: str) -> SurveyModelView:
        """Give a survey a budget of its own, or return it to that of the settings.

        Its earlier images are analysed again, so that one budget holds for all of them; a pass that is under way for
        another reason begins anew.

        Raises:
            NotFound: There is no such survey.
            Conflict: No image could be an anomaly under it, or the survey changed meanwhile.
        """
        record = await self._record(survey)
        if (issue := await budget_issue(self._records, record, false_alarms_per_1000)) is not None:
            raise Conflict("Budget too small", issue)
        if record.false_alarms_per_1000 == false_alarms_per_1000:
            return SurveyModelView.of(record, {})
        second_pass = record.rejudging is not None and record.rejudging.is_second_pass
        since = None if record.state is SurveyState.OWN else record.accepted_until
        again = Rejudging(begun_at=self._clock(), since=since, second_pass=second_pass) if record.images else None
        after = record.model_copy(update={"false_alarms_per_1000": false_alarms_per_1000, "rejudging": again})
        await self._decide(record, after)
        _log.info("a survey has another budget", survey=survey, per_1000=false_alarms_per_1000, user=user)
        return SurveyModelView.of(after, {})

    async def calibrate(self, survey: str, *, user: str) -> SurveyModelView:
        """Fit a survey model on the newest images of a survey, whatever calibrates it now.

        Raises:
            NotFound: There is no such survey.
            Conflict: It has too few images, or changed meanwhile.
        """
        record = await self._record(survey)
        begin, found = await first_of_newest(self._records, survey, record.images_needed)
        if begin is None:
            then = "ask again" if record.state is SurveyState.OWN else "it is fitted by itself"
            raise Conflict(
                "Too few images",
                f"A survey model of {survey!r} needs {record.images_needed} analysed images, and there are {found}: "
                f"feed {record.images_needed - found} more, then {then}.",
            )
        now = self._clock()
        # A model that a person asks for judges all images: those accepted before, too.
        update: dict[str, Any] = {
            "learn_from": begin,
            "learned": None,
            "check_after": None,
            "retry_at": None,
            "failure": None,
            "fit_requested": True,
        }
        if record.state is SurveyState.OWN:
            update |= {
                "state": SurveyState.DOES_NOT_FIT,
                "since": now,
                "reason": f"{user} asked for a calibration on its own images",
                "adjustment": None,
                "rejudging": Rejudging(begun_at=now),
            }
        after = record.model_copy(update=update)
        await self._decide(record, after, announce=record.state is not after.state)
        return SurveyModelView.of(after, {})

    async def _releases(self, record: SurveyModelRecord) -> str | None:
        """What a return to the calibration before would release; None where its images fitted."""
        failed = next((each for each in (record.check, record.own_check) if each and not each.fits), None)
        if not can_clear(record) or failed is None:
            return None
        return release_words(failed, images=await count_images_since(self._records, record))

    async def _decide(self, before: SurveyModelRecord, after: SurveyModelRecord, *, announce: bool = True) -> None:
        if not await self._store.save(before, after, announce=announce):
            raise Conflict("Changed meanwhile", f"The state of {before.survey!r} changed meanwhile: look at it again.")

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
