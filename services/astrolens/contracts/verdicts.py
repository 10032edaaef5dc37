"""The analysis of one image by a model bundle."""

from enum import StrEnum
from typing import Any

from pydantic import Field, model_validator

from astrolens.contracts.base import Contract, PValue, UtcTime


class Verdict(StrEnum):
    """The verdict under the false-alarm budget: `anomaly` at p <= alpha, `near_miss` at p <= 3 alpha."""

    ORDINARY = "ordinary"
    NEAR_MISS = "near_miss"
    ANOMALY = "anomaly"


class DetectorResult(Contract):
    """The result of one detector. A larger score is more unusual."""

    score: float
    p_value: PValue


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
    p_value: PValue = Field(description="Combined p-value: share of ordinary images that are at least as unusual.")
    verdict: Verdict
    embedding: str = Field(description="Base64 of the little-endian float16 embedding.", repr=False)
    analyzed_at: UtcTime

    @model_validator(mode="before")
    @classmethod
    def _without_embedding(cls, value: Any) -> Any:
        # Every analysis is written with its embedding; the record store leaves it out unless a reader asks for it.
        return {"embedding": "", **value} if isinstance(value, dict) else value
