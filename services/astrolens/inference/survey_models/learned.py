"""Watches the surveys that have a survey model: whether later images still look like those that it was fitted on.

Other pictures may come under the name of a learned survey as under that of a known one. Nothing is fitted on them by
itself: two skies under one name would take turns for ever. A person decides.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

import structlog

from astrolens.contracts.base import utc_now
from astrolens.contracts.survey_models import FitCheck, Rejudging, SurveyModelRecord, SurveyRevision, SurveyState
from astrolens.contracts.surveys import SIMULATED_PREFIX
from astrolens.inference.survey_models.checking import MIN_CHECKED
from astrolens.inference.survey_models.images import SurveyImage, first_images, recent_images
from astrolens.platform.stores.records import RecordStore

_log = structlog.get_logger(__name__)


class OwnFitChecker(Protocol):
    """Compares images of a survey with those that its survey model was fitted on."""

    async def check_own(self, images: Sequence[SurveyImage], *, fitted_on: int) -> FitCheck:
        """What was measured."""


class LearnedSurveyWatcher:
    """Says what the state of a survey with a survey model is to be; writes nothing.

    Args:
        records: The record store.
        checker: Compares images with those of a survey model.
        images_needed: Images that a survey model is fitted on: half as many later ones are compared at a time.
        clock: The present time.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        checker: OwnFitChecker,
        images_needed: int,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._records = records
        self._checker = checker
        self._images_needed = images_needed
        self._clock = clock

    async def watch(self, record: SurveyModelRecord) -> SurveyModelRecord:
        """Compare the later images of a survey, once there are enough new ones."""
        revision = record.revision
        if revision is None or record.survey.startswith(SIMULATED_PREFIX):
            return record
        if record.rejudging is not None and record.rejudging.finished_at is None:
            return record  # The p-values are of two calibrations.
        complete = max(self._images_needed // 2, MIN_CHECKED)
        seen = record.own_check.seen if record.own_check else self._images_needed
        if record.images - seen < complete:
            return record
        later = await self._later_images(record)
        if len(later) < complete:
            # Others came before the images of the fit, or are copies: asked again when as many new ones are there.
            check = FitCheck(images=len(later), fits=True, detail="too few images to compare", checked_at=self._clock())
            return _with_check(record, check, seen=record.images - len(later))
        check = await self._checker.check_own(later, fitted_on=revision.images)
        compared = _with_check(record, check, seen=record.images)
        return compared if check.fits else self._held_back(compared, revision, later)

    async def _later_images(self, record: SurveyModelRecord) -> list[SurveyImage]:
        """The newest images that the survey model judged; none that it was fitted on."""
        since = max((each for each in (record.learn_from, record.check_after) if each is not None), default=None)
        members = {
            image.image_id
            for image in await first_images(
                self._records, record.survey, count=self._images_needed, since=record.learn_from
            )
        }
        recent = await recent_images(self._records, record.survey, count=self._images_needed, since=since)
        return [
            image
            for image in recent
            if image.image_id not in members
            and not image.simulated
            and image.calibration_fit == "survey-model"
            and image.model_digest == record.model_digest
        ]

    def _held_back(
        self, record: SurveyModelRecord, revision: SurveyRevision, later: Sequence[SurveyImage]
    ) -> SurveyModelRecord:
        """The images are of another sky than the survey model's: their alerts wait for a person.

        Images that came before them keep their verdicts. The revision stays in the record, to be returned to.
        """
        assert record.own_check is not None  # noqa: S101 - just set
        detail = record.own_check.detail
        _log.warning("the images of a survey are of another sky", survey=record.survey, check=detail)
        back = "the bundle's calibration" if record.known else "its survey model"
        return record.model_copy(
            update={
                "state": SurveyState.DOES_NOT_FIT,
                "since": self._clock(),
                "reason": (
                    f"its images no longer look like the {revision.images} that its survey model was fitted on: "
                    f"{detail}; feed images of another sky under a name of their own, fit a model on its newest images "
                    f"(--calibrate {record.survey}), or return it to {back} (--clear {record.survey})"
                ),
                "rejudging": Rejudging(begun_at=self._clock(), since=min(image.ingested_at for image in later)),
            }
        )


def _with_check(record: SurveyModelRecord, check: FitCheck, *, seen: int) -> SurveyModelRecord:
    return record.model_copy(update={"own_check": check.model_copy(update={"seen": seen})})
