"""gRPC messages made from the model server's results, and its items from messages."""

from collections.abc import Sequence
from typing import Final

from astrolens.contracts.verdicts import CalibrationFit, Verdict
from astrolens.inference.engine import Item, ItemError, ItemErrorCode, ItemResult, Outcome
from astrolens.inference.model_service import ModelDescription, ModelIdentity
from astrolens.rpc.v1 import inference_pb2 as pb
from astrolens.science.density import Taps

VERDICTS: Final = {
    Verdict.ORDINARY: pb.VERDICT_ORDINARY,
    Verdict.NEAR_MISS: pb.VERDICT_NEAR_MISS,
    Verdict.ANOMALY: pb.VERDICT_ANOMALY,
}
CALIBRATION_FITS: Final[dict[CalibrationFit, pb.CalibrationFit.ValueType]] = {
    "own": pb.CALIBRATION_FIT_OWN,
    "survey-model": pb.CALIBRATION_FIT_SURVEY_MODEL,
    "pooled": pb.CALIBRATION_FIT_POOLED,
    "does-not-fit": pb.CALIBRATION_FIT_DOES_NOT_FIT,
}
ERROR_CODES: Final = {
    ItemErrorCode.UNDECODABLE: pb.ItemError.CODE_UNDECODABLE,
    ItemErrorCode.TOO_LARGE: pb.ItemError.CODE_TOO_LARGE,
    ItemErrorCode.INVALID: pb.ItemError.CODE_INVALID,
    ItemErrorCode.NOT_FINITE: pb.ItemError.CODE_NOT_FINITE,
}


def item_of(message: pb.Item) -> Item:
    """The engine's item of a message."""
    return Item(image_id=message.image_id, survey=message.survey, jpeg=message.cutout)


def outcome_message(image_id: str, outcome: Outcome) -> pb.Outcome:
    """The outcome of one cutout, with its result or error."""
    if isinstance(outcome, ItemError):
        return pb.Outcome(image_id=image_id, error=pb.ItemError(code=ERROR_CODES[outcome.code], detail=outcome.detail))
    return pb.Outcome(image_id=image_id, result=result_message(outcome))


def result_message(result: ItemResult) -> pb.Result:
    """Probabilities, scores, verdict and embedding of one cutout."""
    scores = result.scores
    return pb.Result(
        class_probabilities=scores.class_probabilities,
        predicted_class=scores.predicted_class,
        detectors=[
            pb.Detector(name=name, score=detector.score, p_value=detector.p_value, at_most=detector.at_most)
            for name, detector in scores.detectors.items()
        ],
        p_value=scores.p_value,
        p_value_at_most=scores.p_value_at_most,
        calibration_images=scores.calibration_images,
        calibration_survey=scores.calibration_survey,
        calibration_fit=CALIBRATION_FITS[scores.calibration_fit],
        rank_score=scores.rank_score,
        verdict=VERDICTS[scores.verdict],
        kinds=scores.kinds,
        adjusted_p_value=scores.adjusted_p_value,
        false_alarms_per_1000=scores.false_alarms_per_1000,
        embedding=result.embedding,
        calibration_id=result.calibration_id,
    )


def model_message(identity: ModelIdentity) -> pb.ModelRef:
    """Name, digests and calibration: they make an analysis traceable."""
    return pb.ModelRef(
        name=identity.name,
        version=identity.version,
        digest=identity.digest,
        preprocessing_digest=identity.preprocessing_digest,
        calibration_id=identity.calibration_id,
        execution_provider=identity.execution_provider,
    )


def features_message(image_ids: Sequence[str], taps: Taps, identity: ModelIdentity) -> pb.ExtractFeaturesResponse:
    """Feature maps of cutouts; they were float32 in the graph, so nothing is lost."""
    return pb.ExtractFeaturesResponse(
        image_ids=image_ids,
        matrices=[
            pb.FeatureMatrix(tap=name, columns=values.shape[1], values=values.astype("<f4").tobytes())
            for name, values in taps.items()
        ],
        model=model_message(identity),
    )


def description_message(description: ModelDescription) -> pb.DescribeResponse:
    """The description of a model, without what only the server knows (limits, size of the index)."""
    return pb.DescribeResponse(
        model=model_message(description.identity),
        classes=description.classes,
        embedding_dim=description.embedding_dim,
        detectors=description.detectors,
        calibration=pb.Calibration(
            id=description.identity.calibration_id,
            alpha=description.alpha,
            surveys=[
                pb.SurveyCalibration(
                    survey=survey.survey,
                    images=survey.images,
                    strips=[
                        pb.QuantileStrip(
                            detector=strip.detector, probabilities=strip.probabilities, scores=strip.scores
                        )
                        for strip in survey.strips
                    ],
                )
                for survey in description.surveys
            ],
            limits=description.limits,
        ),
        figures_json=description.figures_json,
        model_card=description.model_card,
        taps=description.taps,
    )
