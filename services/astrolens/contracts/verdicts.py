"""What a model bundle says of one image."""

from enum import StrEnum
from typing import Any

from pydantic import Field, model_validator

from astrolens.contracts.base import Contract, PValue, UtcTime


class Verdict(StrEnum):
    """The outcome of the false-alarm budget: `anomaly` at p <= alpha, `near_miss` at p <= 3 alpha."""

    ORDINARY = "ordinary"
    NEAR_MISS = "near_miss"
    ANOMALY = "anomaly"


class DetectorResult(Contract):
    """One detector's opinion. A larger score is stranger."""

    score: float
    p_value: PValue


class Analysis(Contract):
    """What one bundle, at one calibration revision, said of one image: enough to trace and to repeat it."""

    model_name: str
    model_digest: str = Field(description="SHA-256 of the bundle's manifest, which names the digest of every file.")
    preprocessing_digest: str
    calibration_id: str = Field(description="Calibration revision, the false-alarm budget included.")
    calibration_survey: str = Field(description="The survey whose calibration served, or `pooled`.")
    execution_provider: str
    class_probabilities: dict[str, float]
    predicted_class: str
    detectors: dict[str, DetectorResult]
    p_value: PValue = Field(description="Combined and conformalised again: the share of ordinary images as strange.")
    verdict: Verdict
    embedding: str = Field(description="Base64 of the little-endian float16 embedding.", repr=False)
    analyzed_at: UtcTime

    @model_validator(mode="before")
    @classmethod
    def _without_embedding(cls, value: Any) -> Any:
        # Every analysis is written with its embedding; the record store leaves it out unless a reader asks for it.
        return {"embedding": "", **value} if isinstance(value, dict) else value
