"""What a decision on a survey rests on: its newest images, and what a return to the bundle's calibration releases."""

from datetime import datetime
from typing import Final

from astrolens.contracts.base import utc_text
from astrolens.contracts.survey_models import FitCheck, SurveyModelRecord
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import Clause, Order, Query, RecordStore

MAX_COUNTED: Final = 10_000
"""Images that are counted for a sentence, which says "about"."""
_COUNT_TIMEOUT_S: Final = 1.0
"""A person waits for the sentence; without a count it speaks of 100 images."""
_PAGE: Final = 100


async def count_images_since(records: RecordStore, record: SurveyModelRecord) -> int | None:
    """Images of the survey from the first on that did not fit, `MAX_COUNTED` at most; None where it is not known."""
    if record.learn_from is None:
        return None
    where = (
        Clause("observation.survey", "eq", record.survey),
        Clause("ingested_at", "gte", utc_text(record.learn_from)),
    )
    return await records.count(Collection.IMAGES, where, limit=MAX_COUNTED, within_s=_COUNT_TIMEOUT_S)


async def first_of_newest(records: RecordStore, survey: str, count: int) -> tuple[datetime | None, int]:
    """When the first of the newest `count` analysed images came, None where there are fewer, and how many."""
    query = Query(
        where=(Clause("observation.survey", "eq", survey),),
        order=Order("ingested_at", descending=True),
        limit=_PAGE,
        fields=("ingested_at", "p_value", "observation.injected"),
    )
    found = 0
    async for page in pages(records, Collection.IMAGES, query):
        for document in page:
            found += document["p_value"] is not None and not document["observation"]["injected"]
            if found == count:
                return datetime.fromisoformat(document["ingested_at"]), found
    return None, found


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
