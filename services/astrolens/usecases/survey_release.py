"""What a return of a survey to the bundle's calibration would release, where its images did not fit it."""

from typing import Final

from astrolens.contracts.base import utc_text
from astrolens.contracts.survey_models import FitCheck, SurveyModelRecord
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Clause, RecordStore

MAX_COUNTED: Final = 10_000
_COUNTING_TIME_S: Final = 1.0


async def count_images_since(records: RecordStore, record: SurveyModelRecord) -> int | None:
    """Images of the survey from the first on that did not fit, `MAX_COUNTED` at most; None where it is not known."""
    if record.learn_from is None:
        return None
    where = (
        Clause("observation.survey", "eq", record.survey),
        Clause("ingested_at", "gte", utc_text(record.learn_from)),
    )
    return await records.count(Collection.IMAGES, where, limit=MAX_COUNTED, within_s=_COUNTING_TIME_S)


def release_words(check: FitCheck, *, images: int | None) -> str:
    """How images that did not fit compare with the bundle's calibration, which would raise their alerts.

    Args:
        check: The comparison that they failed.
        images: How many came since; None where nobody knows.
    """
    if check.at_1_percent is None:
        return f"Its images did not fit its calibration: {check.detail}. Their alerts would be sent."
    share = check.at_1_percent / check.images
    came = f"Of the {images:,} images" if images else "Of 100 images"
    return (
        f"By the bundle's calibration {check.at_1_percent} of the {check.images} images that were compared have "
        f"p ≤ .01, where {0.01 * check.images:.2g} are expected: {check.detail}. {came} that came since about "
        f"{share * (images or 100):,.0f} would be anomalies, and their alerts would be sent."
    )
