"""Conversion of the model server's messages to contracts and JSON-ready values."""

import base64
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from astrolens.contracts.records import Reason
from astrolens.contracts.verdicts import Analysis, CalibrationFit, DetectorResult, Verdict
from astrolens.rpc.v1 import inference_pb2 as pb

_VERDICTS: Final = {
    pb.VERDICT_ORDINARY: Verdict.ORDINARY,
    pb.VERDICT_NEAR_MISS: Verdict.NEAR_MISS,
    pb.VERDICT_ANOMALY: Verdict.ANOMALY,
}
_CALIBRATION_FITS: Final[dict[int, CalibrationFit]] = {
    pb.CALIBRATION_FIT_OWN: "own",
    pb.CALIBRATION_FIT_SURVEY_MODEL: "survey-model",
    pb.CALIBRATION_FIT_POOLED: "pooled",
    pb.CALIBRATION_FIT_DOES_NOT_FIT: "does-not-fit",
}
_REASON_CODES: Final = {
    pb.ItemError.CODE_UNDECODABLE: "cutout-undecodable",
    pb.ItemError.CODE_TOO_LARGE: "cutout-too-large",
    pb.ItemError.CODE_INVALID: "cutout-invalid",
    pb.ItemError.CODE_NOT_FINITE: "answer-not-finite",
}


@dataclass(frozen=True)
class ServedSurveyModel:
    """What serves a survey instead of the bundle's own calibration.

    Attributes:
        calibration_id: As in analyses.
        revision: Revision of the survey model; None: the pooled calibration, because the bundle's own does not fit, or
            the bundle's own under another budget, or adjusted for drift.
    """

    calibration_id: str
    revision: str | None


@dataclass(frozen=True)
class ExtractedTaps:
    """Pooled feature maps of n cutouts.

    Attributes:
        image_ids: Of the cutouts that could be read, n.
        columns: Numbers an image of each map.
        values: Each map as little-endian float32 [n, columns], row by row.
        model_digest: The bundle that answered.
    """

    image_ids: tuple[str, ...]
    columns: dict[str, int]
    values: dict[str, bytes]
    model_digest: str


@dataclass(frozen=True)
class Description:
    """What model and calibration are loaded, as JSON-ready values."""

    summary: dict[str, Any]
    """Name, digests and calibration: what the status shows."""
    whole: dict[str, Any]
    """The summary with figures, card and calibration strips: what the model page shows."""
    survey_models: dict[str, ServedSurveyModel] = field(default_factory=dict)
    """Surveys that something else than the bundle's own calibration serves."""
    taps: tuple[str, ...] = ()
    """Names of the pooled feature maps that the model gives."""

    @property
    def digest(self) -> str:
        """The bundle."""
        return str(self.summary["digest"])

    @property
    def calibration_id(self) -> str:
        """The bundle's own calibration."""
        return str(self.summary["calibration_id"])

    @property
    def surveys(self) -> tuple[str, ...]:
        """Surveys that the bundle has a calibration for."""
        return tuple(self.summary["surveys"])


def analysis_or_reason(outcome: pb.Outcome, model: pb.ModelRef, analyzed_at: datetime) -> Analysis | Reason:
    """The analysis of one image, or why it cannot be analysed."""
    if outcome.WhichOneof("outcome") != "result":
        code = _REASON_CODES.get(outcome.error.code, "analysis-failed")
        return Reason(code=code, detail=outcome.error.detail or "the model server gave no reason")
    result = outcome.result
    return Analysis(
        model_name=model.name,
        model_digest=model.digest,
        preprocessing_digest=model.preprocessing_digest,
        calibration_id=result.calibration_id or model.calibration_id,
        calibration_survey=result.calibration_survey,
        execution_provider=model.execution_provider,
        class_probabilities=dict(result.class_probabilities),
        predicted_class=result.predicted_class,
        detectors={
            detector.name: DetectorResult(score=detector.score, p_value=detector.p_value, at_most=detector.at_most)
            for detector in result.detectors
        },
        p_value=result.p_value,
        p_value_at_most=result.p_value_at_most,
        calibration_images=result.calibration_images or None,
        **_if_known(result),
        kinds=dict(result.kinds),
        verdict=_VERDICTS[result.verdict],
        embedding=base64.b64encode(result.embedding).decode(),
        analyzed_at=analyzed_at,
    )


def _if_known(result: pb.Result) -> dict[str, Any]:
    """What a server of an older version does not say; `Analysis` then knows better than null."""
    known: dict[str, Any] = {}
    if fit := _CALIBRATION_FITS.get(result.calibration_fit):
        known["calibration_fit"] = fit
    if result.HasField("rank_score"):
        known["rank_score"] = result.rank_score
    if result.HasField("false_alarms_per_1000"):
        known["false_alarms_per_1000"] = result.false_alarms_per_1000
    if result.HasField("adjusted_p_value"):
        known["adjusted_p_value"] = result.adjusted_p_value
    return known


def description(response: pb.DescribeResponse) -> Description:
    """The description of the loaded model."""
    model, calibration = response.model, response.calibration
    summary = {
        "name": model.name,
        "version": model.version,
        "digest": model.digest,
        "preprocessing_digest": model.preprocessing_digest,
        "calibration_id": model.calibration_id,
        "execution_provider": model.execution_provider,
        "alpha": calibration.alpha,
        "classes": list(response.classes),
        "detectors": list(response.detectors),
        "surveys": [survey.survey for survey in calibration.surveys],
        "limits": dict(calibration.limits),
        "indexed_images": response.indexed_images,
    }
    strips = {
        survey.survey: {
            "images": survey.images,
            "strips": {
                strip.detector: {"probabilities": list(strip.probabilities), "scores": list(strip.scores)}
                for strip in survey.strips
            },
        }
        for survey in calibration.surveys
    }
    whole = {
        **summary,
        "embedding_dim": response.embedding_dim,
        "figures": json.loads(response.figures_json) if response.figures_json else {},
        "model_card": response.model_card,
        "calibration": {"id": calibration.id, "alpha": calibration.alpha, "surveys": strips},
    }
    survey_models = {
        each.survey: ServedSurveyModel(each.calibration_id, each.revision or None) for each in response.survey_models
    }
    return Description(summary, whole, survey_models, tuple(response.taps))


def extracted_taps(response: pb.ExtractFeaturesResponse) -> ExtractedTaps:
    """The feature maps of an answer."""
    return ExtractedTaps(
        image_ids=tuple(response.image_ids),
        columns={matrix.tap: matrix.columns for matrix in response.matrices},
        values={matrix.tap: matrix.values for matrix in response.matrices},
        model_digest=response.model.digest,
    )
