"""Follows the drift of a survey that the bundle is calibrated for: verdicts allow for what its recent images show.

A measurement follows after every hundred images. Where it tells other verdicts than the adjustment that serves, it
becomes the next revision of the survey's calibration, which the keeper announces; every analysis names its own.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import numpy as np

from astrolens.contracts.base import utc_now
from astrolens.contracts.survey_models import MAX_EARLIER_ADJUSTMENTS, DriftMeasure, SurveyModelRecord
from astrolens.contracts.surveys import SIMULATED_PREFIX
from astrolens.inference.survey_models.images import recent_images
from astrolens.platform.stores.records import RecordStore
from astrolens.science.drift_adjustment import MIN_IMAGES, measure_adjustment

WINDOW: Final = 200
"""Newest images that are measured. After a change of seeing, two measurements later all of them are of the new one."""
MEASURE_INTERVAL_IMAGES: Final = 100
"""Images from one measurement to the next: so seldom a calibration changes, at most."""
MIN_CHANGE: Final = 0.15
"""Standard deviations by which the threshold of a budget of 1 % must move; the error of a measurement is .1."""
_DEVIATE_OF_1_PERCENT: Final = 2.326


class DriftTracker:
    """Measures drift, and says when verdicts allow for another one.

    Args:
        records: The record store.
        clock: The present time.
    """

    def __init__(self, *, records: RecordStore, clock: Callable[[], datetime] = utc_now) -> None:
        self._records = records
        self._clock = clock

    async def track(self, record: SurveyModelRecord) -> SurveyModelRecord:
        """The record with a new measurement, where one is due, and with a new adjustment, where that says so."""
        if record.survey.startswith(SIMULATED_PREFIX):
            return record  # Whoever simulates may choose every image.
        seen = record.drift.seen if record.drift else 0
        if record.images - seen < MEASURE_INTERVAL_IMAGES:
            return record
        images = await recent_images(self._records, record.survey, count=WINDOW, since=record.check_after)
        judged = [
            image.p_value
            for image in images
            if image.calibration_fit == "own"
            and image.model_digest == record.model_digest
            and not (image.simulated or image.is_strange)
        ]
        if len(judged) < MIN_IMAGES:
            return record
        measured = measure_adjustment(np.array(judged))
        drift = DriftMeasure(
            shift=round(measured.shift, 3),
            scale=round(measured.scale, 3),
            images=len(judged),
            seen=record.images,
            measured_at=self._clock(),
        )
        record = record.model_copy(update={"drift": drift})
        if abs(_threshold(drift) - _threshold(record.adjustment)) < MIN_CHANGE:
            return record
        return _adjusted(record, drift)


def _threshold(measure: DriftMeasure | None) -> float:
    """Where the threshold of a budget of 1 % lies, in normal deviates."""
    if measure is None:
        return _DEVIATE_OF_1_PERCENT
    return measure.shift + measure.scale * _DEVIATE_OF_1_PERCENT


def _adjusted(record: SurveyModelRecord, drift: DriftMeasure) -> SurveyModelRecord:
    """The record when the drift serves; without an adjustment where nothing has drifted any more."""
    serves = drift if drift.shift > 0.0 else None
    reason = "the bundle is calibrated for it"
    if serves is not None:
        reason += (
            f"; verdicts allow for a drift of {drift.shift:.2f} standard deviations of its last {drift.images} images"
        )
    earlier = record.earlier_adjustments
    if record.adjustment is not None:
        earlier = (record.adjustment, *earlier)[:MAX_EARLIER_ADJUSTMENTS]
    return record.model_copy(
        update={
            "adjustment": serves,
            "earlier_adjustments": earlier,
            "since": drift.measured_at,
            "reason": reason,
        }
    )
