"""Verdicts by a survey model: pure functions of the backbone's outputs, the bundle, the revision and the budget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from astrolens.contracts.ids import content_digest
from astrolens.contracts.verdicts import Verdict
from astrolens.science.calibration import POOLED
from astrolens.science.density import Taps
from astrolens.science.detectors import Features
from astrolens.science.scoring import DetectorScore, ImageScores, Scorer
from astrolens.science.survey_model import BUDGET, SurveyModel


@dataclass(frozen=True)
class CalibratedScores:
    """The scores of one image, and the id of the calibration that they are measured with."""

    scores: ImageScores
    calibration_id: str


@dataclass(frozen=True)
class SurveyCalibrations:
    """Which calibration serves the surveys that the bundle's own does not serve.

    Attributes:
        models: Survey models, by survey.
        unfit: Surveys of the bundle whose images do not look like those that it was calibrated on.
    """

    models: Mapping[str, SurveyModel]
    unfit: frozenset[str] = frozenset()


NO_SURVEY_CALIBRATIONS = SurveyCalibrations(models={})


class SurveyScorer:
    """Scores images with the survey model of their survey, where there is one, else with the bundle.

    Args:
        scorer: Of the bundle.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    def score(
        self, features: Features, surveys: Sequence[str], calibrations: SurveyCalibrations
    ) -> list[CalibratedScores]:
        """Score a batch. The result of an image does not depend on the others in the batch.

        Args:
            features: Of n images.
            surveys: Survey names, n.
            calibrations: What serves instead of the bundle.

        Raises:
            ValueError: The shapes do not fit the bundle or a survey model.
        """
        special = {*calibrations.models, *calibrations.unfit}
        base = self._scorer.score(features, [POOLED if survey in special else survey for survey in surveys])
        found = [CalibratedScores(scores, self._scorer.calibration_id) for scores in base]
        for survey in sorted(special.intersection(surveys)):
            rows = [row for row, name in enumerate(surveys) if name == survey]
            model = calibrations.models.get(survey)
            if model is None:
                for row in rows:
                    unfit = replace(base[row], calibration_fit="does-not-fit")
                    found[row] = CalibratedScores(unfit, self.unfit_calibration_id)
                continue
            # A batch of one sums in another order than a larger one.
            chosen = np.array(rows if len(rows) > 1 else rows * 2)
            own = self._by_survey_model(survey, model, features.rows(chosen).taps, [base[row] for row in chosen])
            for row, scores in zip(rows, own, strict=False):
                found[row] = CalibratedScores(scores, self.calibration_id(model))
        return found

    @property
    def unfit_calibration_id(self) -> str:
        """Id of the pooled calibration where it serves a survey that the bundle knows and does not fit."""
        return content_digest(f"{self._scorer.calibration_id}\x1fdoes-not-fit".encode())[:16]

    def calibration_id(self, model: SurveyModel) -> str:
        """Id of a revision under the budget; together with image and bundle it determines the verdict."""
        return content_digest(f"{model.digest}\x1f{self._scorer.alpha!r}".encode())[:16]

    def _by_survey_model(
        self, survey: str, model: SurveyModel, taps: Taps, base: Sequence[ImageScores]
    ) -> list[ImageScores]:
        found = model.score(taps)
        return [
            replace(
                image,
                detectors={
                    name: _detector(float(scores[row]), float(found.detector_p_values[name][row]), model)
                    for name, scores in found.scores.items()
                },
                p_value=float(found.p_value[row]),
                p_value_at_most=bool(found.at_most[row]),
                calibration_images=model.manifest.images,
                calibration_survey=survey,
                calibration_fit="survey-model",
                rank_score=float(found.rank_score[row]),
                verdict=self._verdict(float(found.p_value[row])),
            )
            for row, image in enumerate(base)
        ]

    def _verdict(self, p_value: float) -> Verdict:
        """As the bundle's, but a near miss up to the budget that a survey model promises."""
        verdict = self._scorer.verdict(p_value)
        return Verdict.NEAR_MISS if verdict is Verdict.ORDINARY and p_value <= BUDGET else verdict


def _detector(score: float, p_value: float, model: SurveyModel) -> DetectorScore:
    # The smallest p-value is that of a score beyond all of the model's images.
    return DetectorScore(score, p_value, at_most=p_value <= model.smallest_p)
