"""Watches the surveys that the bundle knows: whether their images fit its calibration, and how far they drift."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import structlog

from astrolens.contracts.base import utc_now
from astrolens.contracts.survey_models import FitCheck, Rejudging, SurveyModelRecord, SurveyState
from astrolens.contracts.surveys import SIMULATED_PREFIX
from astrolens.inference.survey_models.bursts import WINDOW as BURST_WINDOW
from astrolens.inference.survey_models.bursts import HeldImages, check_too_few, find_held
from astrolens.inference.survey_models.checking import MIN_CHECKED
from astrolens.inference.survey_models.images import SurveyImage, recent_images
from astrolens.inference.survey_models.tracking import MEASURE_INTERVAL_IMAGES, DriftTracker
from astrolens.platform.stores.records import RecordStore

CHECK_INTERVAL_IMAGES: Final = 300
"""Images between two comparisons, once there are as many."""
BURST_QUIET_PERIOD: Final = timedelta(minutes=1)
"""So long after the last anomaly of a burst its images are compared, however few they are."""

_log = structlog.get_logger(__name__)


class FitChecker(Protocol):
    """Compares images of a survey with those that the bundle was calibrated on."""

    async def check(self, images: Sequence[SurveyImage], *, few_with_held: bool = False) -> FitCheck:
        """What was measured; of few images with held anomalies among them, it may be undecided."""


class KnownSurveyWatcher:
    """Says what the state of a known survey is to be; writes nothing.

    Args:
        records: The record store.
        checker: Compares images with those of the bundle.
        tracker: Follows drifts.
        images_needed: Images of a complete comparison, as of a survey model.
        clock: The present time.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        checker: FitChecker,
        tracker: DriftTracker,
        images_needed: int,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._records = records
        self._checker = checker
        self._tracker = tracker
        self._images_needed = images_needed
        self._clock = clock

    async def watch(self, record: SurveyModelRecord) -> SurveyModelRecord:
        """Compare the recent images of a known survey with those of the bundle, and follow their drift if they fit."""
        if record.survey.startswith(SIMULATED_PREFIX):
            return record  # It has the simulation's own calibration, and whoever simulates may choose every image.
        held = await find_held(
            self._records, record.survey, since=record.check.last_decided_at if record.check else None
        )
        if self._is_due(record, held):
            record = await self._compare(record, held)
        elif held is not None:
            return record  # Whether these are of another sky is asked before how far the sky has drifted.
        return await self._track(record) if record.state is SurveyState.OWN else record

    async def _track(self, record: SurveyModelRecord) -> SurveyModelRecord:
        """Allow for a drift; earlier images keep their verdicts."""
        drifted = await self._tracker.track(record)
        if drifted.adjustment in {None, record.adjustment}:
            return drifted
        # Half of the images measured may be of another sky that came too slowly to be a burst: the newest tell.
        newest = await self._judged(record, count=MEASURE_INTERVAL_IMAGES, since=record.check_after)
        check = await self._checker.check(newest) if len(newest) >= MIN_CHECKED else None
        if check is not None and not check.fits:
            return self._held_back(record, newest, check)
        _log.warning("the calibration of a survey follows a drift", survey=record.survey, reason=drifted.reason)
        return drifted

    async def _compare(self, record: SurveyModelRecord, held: HeldImages | None) -> SurveyModelRecord:
        complete = self._complete
        if held is None:
            judged = await self._judged(record, count=self._images_needed, since=record.check_after)
        else:
            judged = await self._of_burst(record, held)
        few_with_held = held is not None and len(judged) < complete
        if len(judged) >= (complete if held is None else MIN_CHECKED):
            check = await self._checker.check(judged, few_with_held=few_with_held)
        else:
            # Without held anomalies there is nothing that a comparison could release.
            anomalies = 0 if held is None else max(held.count, sum(image.is_anomaly for image in judged))
            check = check_too_few(record.survey, len(judged), anomalies, needed=MIN_CHECKED, at=self._clock())
        if not (check.fits or check.undecided):
            return self._held_back(record, judged, check)
        update: dict[str, Any] = {
            "seen": record.images,
            "seen_complete": _seen_complete(record) if few_with_held else record.images,
        }
        if check.undecided and record.check is not None:
            update["decided_at"] = record.check.last_decided_at
        check = check.model_copy(update=update)
        return record.model_copy(update={"check": check})

    async def _of_burst(self, record: SurveyModelRecord, held: HeldImages) -> list[SurveyImage]:
        """The images of a burst: the ordinary ones before it would hide that the sky is another.

        Where they come so slowly that each is compared before the next, those that made it a burst.
        """
        since = max(held.first_ingested_at, record.check_after or held.first_ingested_at)
        judged = await self._judged(record, count=self._images_needed, since=since)
        if len(judged) >= MIN_CHECKED:
            return judged
        return await self._judged(record, count=BURST_WINDOW, since=record.check_after)

    async def _judged(self, record: SurveyModelRecord, *, count: int, since: datetime | None) -> list[SurveyImage]:
        """The newest images that the bundle in use judged by its calibration of the survey."""
        recent = await recent_images(self._records, record.survey, count=count, since=since)
        return [
            image
            for image in recent
            if not image.simulated and image.calibration_fit == "own" and image.model_digest == record.model_digest
        ]

    def _held_back(
        self, record: SurveyModelRecord, judged: Sequence[SurveyImage], check: FitCheck
    ) -> SurveyModelRecord:
        """The images are of another sky than the bundle's calibration: their alerts wait for a survey model."""
        _log.warning("the images of a survey are of another sky", survey=record.survey, check=check.detail)
        accepted = record.accepted_until
        kept = (
            ""
            if accepted is None
            else f"; images ingested until {accepted:%Y-%m-%d %H:%M}, which a person accepted, keep their verdicts"
        )
        return record.model_copy(
            update={
                "state": SurveyState.DOES_NOT_FIT,
                "since": self._clock(),
                "reason": (
                    f"another sky than the bundle's calibration of {record.survey}: {check.detail}; feed images of "
                    f"another instrument, pixel scale or stretch under a name of their own{kept}"
                ),
                "check": check.model_copy(update={"seen": record.images, "seen_complete": record.images}),
                "adjustment": None,
                "learn_from": min(image.ingested_at for image in judged),
                "rejudging": Rejudging(begun_at=self._clock(), since=accepted),
            }
        )

    @property
    def _complete(self) -> int:
        """Images of a comparison that says enough until as many new ones are there.

        Not before half of those that a survey model needs: the first may be those that somebody found strange.
        """
        return max(self._images_needed // 2, MIN_CHECKED)

    def _is_due(self, record: SurveyModelRecord, held: HeldImages | None) -> bool:
        """Whether there are enough new images to compare, or held anomalies that no more images will explain."""
        if held is not None:
            seen = record.check.seen if record.check else 0
            if record.check is not None and record.check.undecided and record.images == seen:
                return False  # No image came that could decide.
            is_quiet = self._clock() - held.last_analyzed_at >= BURST_QUIET_PERIOD
            return record.images - seen >= self._complete or is_quiet
        seen = _seen_complete(record)
        return record.images >= max(self._complete, min(2 * seen, seen + CHECK_INTERVAL_IMAGES))


def _seen_complete(record: SurveyModelRecord) -> int:
    """Images that a survey had at its last complete comparison: those of small bursts put off no other."""
    if record.check is None:
        return 0
    return record.check.seen if record.check.seen_complete is None else record.check.seen_complete
