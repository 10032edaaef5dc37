"""Whether a survey's own budget of false alarms can be spent: p-values end, and below that nothing is found."""

import sys
from math import ceil

from astrolens.contracts.records import ImageState
from astrolens.contracts.survey_models import SurveyModelRecord, SurveyState
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Clause, Order, Query, RecordStore


async def budget_issue(records: RecordStore, record: SurveyModelRecord, per_1000: float | None) -> str | None:
    """Why no image could be an anomaly under a budget, with the smallest useful one; None where some could.

    A budget may have been useful under another bundle, revision or state: it is looked at whenever it is shown.

    Args:
        records: Where the images are.
        record: The survey as it is.
        per_1000: False alarms per 1,000; None: the budget of the settings, which is not looked at.
    """
    if per_1000 is None:
        return None
    if (fitted := _survey_model_images(record)) is not None:
        # Those that it is fitted on are compared with each other.
        others = fitted - 1
        whose = f"no image that the survey model of {record.survey!r} is fitted on could be an anomaly: their"
        counted, remedy = f"the {others:,} others", ""
    else:
        others = await _own_calibration_images(records, record.survey)
        whose = f"no image of {record.survey!r} could be an anomaly: its"
        counted, remedy = f"{others:,} images", ", or calibrate it on more images"
    if per_1000 * (others + 1) >= 1000.0:
        return None
    return (
        f"Under {per_1000:g} false alarms per 1,000 {whose} p-values are counted on {counted} and end at "
        f"1/{others + 1:,}. Give it {smallest_budget(others):g} per 1,000 or more{remedy}."
    )


def smallest_budget(images: int) -> float:
    """The smallest useful budget where p-values are counted on so many images, rounded up to a hundredth."""
    return ceil(1e5 / (images + 1)) / 100.0


def _survey_model_images(record: SurveyModelRecord) -> int | None:
    """Images of the survey model that serves, or will as soon as it is fitted; None where the bundle's own does."""
    if record.revision is not None:
        return record.revision.images
    return None if record.state is SurveyState.OWN else record.images_needed


async def _own_calibration_images(records: RecordStore, survey: str) -> int:
    """Images that the newest p-value of a survey was counted on; very many where none was counted yet."""
    query = Query(
        where=(Clause("observation.survey", "eq", survey), Clause("state", "eq", ImageState.ANALYZED.value)),
        order=Order("ingested_at", descending=True),
        limit=1,
        fields=("analysis.calibration_images",),
    )
    documents = (await records.find(Collection.IMAGES, query)).documents
    counted = [document["analysis"].get("calibration_images") for document in documents]
    return next((count for count in counted if count), sys.maxsize - 1)
