"""Bursts of anomalies: far more of a survey's recent images than its calibration and a rich sky explain.

Either somebody sends strange images, or the sky is not the one that the bundle was calibrated on: another pixel scale
under a known name. Only a comparison of many images tells which. Until then the anomalies of a burst raise no alert.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final

from astrolens.contracts.base import utc_text
from astrolens.contracts.survey_models import FitCheck
from astrolens.contracts.surveys import SIMULATED_PREFIX
from astrolens.contracts.verdicts import Analysis, Verdict
from astrolens.inference.survey_models.images import is_copy
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.hash_index import parse_hash
from astrolens.platform.stores.records import Clause, Document, Order, Query, RecordStore

WINDOW: Final = 50
"""Recent images of a survey that are counted. A longer window is slower to see a burst after many ordinary images."""
STRANGE_SHARE: Final = 0.05
"""Share of anomalies that is no burst: the budget of false alarms, and a sky in which a few per cent are strange."""
MAX_PROBABILITY: Final = 1e-3
"""How probable so many anomalies are at that share, at most. A hold for nothing delays alerts by a comparison."""

_COUNT_TIMEOUT_S: Final = 1.0
"""The window is small: where counting takes longer, the store is busy, and the largest count stands."""


@dataclass(frozen=True)
class _Counted:
    """An image of the window: whether it is an anomaly, and the perceptual hash of its picture."""

    is_anomaly: bool
    picture_hash: int | None


class BurstDetector:
    """Marks the anomalies of bursts as they are analysed. It knows the images of its own process only."""

    def __init__(self) -> None:
        self._recent: dict[str, OrderedDict[str, _Counted]] = {}

    def mark(self, documents: Mapping[str, Document], analyses: Mapping[str, Analysis]) -> dict[str, Analysis]:
        """The analyses, with `burst_survey` set where an anomaly comes in a burst.

        Counted are first analyses by the bundle's calibration of the survey; simulated images are chosen by whoever
        simulates. Copies of a picture count once. An image that is held stays so when it is analysed again, until a
        comparison or a person releases it.

        Args:
            documents: The images as they were before, by id.
            analyses: Their new analyses, by id.
        """
        return {image: self._marked(documents[image], analysis) for image, analysis in analyses.items()}

    def _marked(self, document: Document, analysis: Analysis) -> Analysis:
        observation = document["observation"]
        survey = observation["survey"]
        is_first = document.get("analyzed_at") is None
        is_real = not (observation["injected"] or observation["simulated"] or survey.startswith(SIMULATED_PREFIX))
        if not (is_real and analysis.calibration_fit == "own"):
            return analysis
        held = analysis.model_copy(update={"burst_survey": survey})
        if not is_first:
            is_held = (document.get("analysis") or {}).get("burst_survey") == survey
            return held if is_held and analysis.verdict is Verdict.ANOMALY else analysis
        # Only surveys that the bundle knows get here, so that their number is bounded.
        recent = self._recent.setdefault(survey, OrderedDict())
        image, picture_hash = document["image_id"], parse_hash(document.get("phash"))
        if not is_copy(picture_hash, (own.picture_hash for other, own in recent.items() if other != image)):
            recent[image] = _Counted(analysis.verdict is Verdict.ANOMALY, picture_hash)
        if len(recent) > WINDOW:
            recent.popitem(last=False)
        anomalies = sum(own.is_anomaly for own in recent.values())
        if analysis.verdict is Verdict.ANOMALY and is_burst(anomalies, len(recent)):
            return held
        return analysis


@cache
def is_burst(anomalies: int, images: int) -> bool:
    """Whether so many anomalies are too many: the binomial probability of as many is below `MAX_PROBABILITY`."""
    if not anomalies:
        return False
    from scipy.special import bdtrc  # noqa: PLC0415 - 0.4 s, which no start should wait for

    return bool(bdtrc(anomalies - 1, images, STRANGE_SHARE) < MAX_PROBABILITY)


@dataclass(frozen=True)
class HeldImages:
    """The held anomalies of a survey that were analysed since a comparison last decided."""

    first_ingested_at: datetime
    last_analyzed_at: datetime
    count: int
    """`WINDOW` at most."""


def check_too_few(survey: str, images: int, anomalies: int, *, needed: int, at: datetime) -> FitCheck:
    """What becomes of held anomalies where too few different pictures are there to be compared.

    So few anomalies that they are no burst among these pictures are released. Others wait for more pictures.

    Args:
        survey: Its name.
        images: Different pictures.
        anomalies: Anomalies among them, or held, whichever are more: copies would raise alerts of their own.
        needed: Different pictures that can be compared.
        at: The present time.
    """
    if not is_burst(min(anomalies, images), images):
        detail = f"too few images to compare, and {anomalies} anomalies among {images} different pictures are no burst"
        return FitCheck(images=images, fits=True, detail=detail, checked_at=at)
    detail = (
        f"{anomalies} anomalies among {images} different pictures are too many to raise alerts; from {needed} "
        f"different pictures on they are compared, and copies of one count once: feed more images of {survey}, or have "
        "a single image analysed again to let it raise its alert"
    )
    return FitCheck(images=images, fits=False, undecided=True, detail=detail, checked_at=at)


async def find_held(records: RecordStore, survey: str, *, since: datetime | None) -> HeldImages | None:
    """The held anomalies of a survey that were analysed later than `since`; None where there are none."""
    where = [Clause("analysis.burst_survey", "eq", survey)]
    if since is not None:
        where.append(Clause("analyzed_at", "gt", utc_text(since)))
    ends = []
    for descending in (False, True):
        order = Order("analyzed_at", descending=descending)
        query = Query(where=tuple(where), order=order, limit=1, fields=("ingested_at", "analyzed_at"))
        ends += (await records.find(Collection.IMAGES, query)).documents
    if not ends:
        return None
    count = await records.count(Collection.IMAGES, tuple(where), limit=WINDOW, within_s=_COUNT_TIMEOUT_S)
    return HeldImages(
        count=WINDOW if count is None else count,
        first_ingested_at=datetime.fromisoformat(ends[0]["ingested_at"]),
        last_analyzed_at=datetime.fromisoformat(ends[-1]["analyzed_at"]),
    )


async def held_until(records: RecordStore, survey: str, compared_at: datetime, *, limit: int) -> list[Document]:
    """Held anomalies of a survey that were analysed before its images were compared, as whole documents."""
    where = (Clause("analysis.burst_survey", "eq", survey), Clause("analyzed_at", "lte", utc_text(compared_at)))
    page = await records.find(Collection.IMAGES, Query(where=where, order=Order("analyzed_at"), limit=limit))
    return page.documents
