"""The analysis of one image by a model bundle."""

from collections.abc import Mapping
from enum import StrEnum
from math import log10
from typing import Any, Final, Literal

from pydantic import Field, model_validator

from astrolens.contracts.base import Contract, PValue, UtcTime

POOLED: Final = "pooled"
"""The calibration for surveys that have none of their own."""

CalibrationFit = Literal["own", "survey-model", "pooled", "does-not-fit"]
"""Which ordinary images a p-value is measured against: those of the survey itself, in the bundle; those of the survey's
own survey model, where nobody has looked whether they are ordinary; all surveys of the bundle pooled; or pooled because
a test says that those of the survey do not fit. With the last two the p-value is a ranking only."""


MIN_JUDGED_SIDE: Final = 48
"""Pixels of a cutout's shorter side. Of ordinary galaxies that are reduced to it 10 % (SDSS) and 2 % (EFIGI) have a
p-value of 1 % or less, at 40 pixels 46 and 2 %, at 24 pixels 94 and 16 %; see `tests/bench/science/frames.py`."""

_MIN_P: Final = 1e-30
"""Versions without rank scores extrapolated p-values down to here."""


def calibration_fit_of(analysis: Mapping[str, Any]) -> CalibrationFit:
    """Whose ordinary images an analysis, as a document, is measured against; older versions name only the survey."""
    named: CalibrationFit = "pooled" if analysis.get("calibration_survey") == POOLED else "own"
    return analysis.get("calibration_fit") or named


def rank_score_of(p_value: float) -> float:
    """The rank score of a p-value where nothing more is known of the image: `-log10 p`."""
    return abs(log10(min(max(p_value, _MIN_P), 1.0)))


def with_rank_score(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a document with a `p_value`; those of an older version get a `rank_score`, so that they sort."""
    p_value = values.get("p_value")
    if values.get("rank_score") is not None or not isinstance(p_value, int | float):
        return values
    return {**values, "rank_score": rank_score_of(p_value)}


class Verdict(StrEnum):
    """The verdict under the false-alarm budget: `anomaly` at p <= alpha, `near_miss` at p <= 3 alpha.

    A survey model promises 5 %: by it, `near_miss` reaches up to there.
    """

    ORDINARY = "ordinary"
    NEAR_MISS = "near_miss"
    ANOMALY = "anomaly"


class DetectorResult(Contract):
    """The result of one detector. A larger score is more unusual."""

    score: float
    p_value: PValue
    at_most: bool = Field(
        default=False, description="Whether the score exceeds all calibration scores: the p-value is an upper bound."
    )


class Analysis(Contract):
    """The analysis of one image by one bundle and calibration, with all ids to trace and repeat it."""

    model_name: str
    model_digest: str = Field(description="SHA-256 of the bundle's manifest, which has the digests of all its files.")
    preprocessing_digest: str
    calibration_id: str = Field(description="Id of the calibration and the false-alarm budget.")
    calibration_survey: str = Field(description="Survey whose calibration was used, or `pooled`.")
    execution_provider: str
    class_probabilities: dict[str, float]
    predicted_class: str
    detectors: dict[str, DetectorResult]
    p_value: PValue = Field(
        description="Combined p-value: share of ordinary images that are at least as unusual; never below 1/(n+1)."
    )
    p_value_at_most: bool = Field(
        default=False, description="Whether the image is stranger than all n calibration images: p <= 1/(n+1)."
    )
    adjusted_p_value: PValue | None = Field(
        default=None,
        description="What the verdict goes by where recent images of the survey have drifted from its calibration: "
        "the share of ordinary images as they are now; never below `p_value`. None: `p_value` itself.",
    )
    false_alarms_per_1000: float | None = Field(
        default=None, description="The survey's own budget, under which the verdict was given; None: that of all."
    )
    too_small: bool = Field(
        default=False,
        description="Whether the picture is too small for the bundle to judge: the verdict is `ordinary`, whatever the "
        "p-value. A survey model judges pictures of any size.",
    )
    calibration_images: int | None = Field(
        default=None, ge=1, description="Calibration images n of the p-value; None where an older version did not say."
    )
    calibration_fit: CalibrationFit = Field(
        default="own", description="Whose ordinary images the p-value is measured against, and whether they fit."
    )
    burst_survey: str | None = Field(
        default=None,
        description="The survey, where the anomaly came in a burst of them and images have not been compared since.",
    )
    rank_score: float | None = Field(
        default=None,
        description="Larger is stranger: between -log10 of the p-value and of the next larger one of its calibration; "
        "beyond the calibration images no probability.",
    )
    verdict: Verdict
    kinds: dict[str, float] = Field(
        default_factory=dict, description="Probability of each kind of strangeness, such as `blend`."
    )
    embedding: str = Field(description="Base64 of the little-endian float16 embedding.", repr=False)
    analyzed_at: UtcTime

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        # Every analysis is written with its embedding; the record store leaves it out unless a reader asks for it.
        return with_rank_score({"embedding": "", "calibration_fit": calibration_fit_of(value), **value})
