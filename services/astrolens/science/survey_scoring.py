"""Verdicts by a survey model: pure functions of the backbone's outputs, the bundle, the revision and the budget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from astrolens.contracts.ids import content_digest
from astrolens.contracts.verdicts import Verdict
from astrolens.science.calibration import POOLED
from astrolens.science.density import Taps
from astrolens.science.detectors import Features
from astrolens.science.drift_adjustment import Adjustment
from astrolens.science.scoring import DetectorScore, ImageScores, Scorer
from astrolens.science.survey_model import BUDGET, SurveyModel


@dataclass(frozen=True)
class CalibratedScores:
    """The scores of one image, and the id of the calibration that they are measured with."""

    scores: ImageScores
    calibration_id: str


@dataclass(frozen=True)
class SurveyTerms:
    """What a survey has of its own beside its calibration.

    Attributes:
        false_alarms_per_1000: Its budget; None: that of all surveys.
        adjustment: For the drift of its images; only where the bundle's own calibration serves it.
    """

    false_alarms_per_1000: float | None = None
    adjustment: Adjustment | None = None


@dataclass(frozen=True)
class SurveyCalibrations:
    """Which calibration serves the surveys that the bundle's own does not serve as it is.

    Attributes:
        models: Survey models, by survey.
        unfit: Surveys of the bundle whose images do not look like those that it was calibrated on.
        terms: Budgets and adjustments, by survey.
    """

    models: Mapping[str, SurveyModel]
    unfit: frozenset[str] = frozenset()
    terms: Mapping[str, SurveyTerms] = field(default_factory=dict)


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
        return [self._on_terms(one, calibrations.terms.get(name)) for one, name in zip(found, surveys, strict=True)]

    def calibration_ids(self, calibrations: SurveyCalibrations) -> dict[str, str]:
        """The id of the calibration of each survey that the bundle's own does not serve as it is."""
        ids = dict.fromkeys(calibrations.unfit, self.unfit_calibration_id)
        ids |= {survey: self.calibration_id(model) for survey, model in calibrations.models.items()}
        for survey, terms in calibrations.terms.items():
            is_own = survey not in ids and self._scorer.calibration_survey(survey) == survey
            ids[survey] = id_on_terms(ids.get(survey, self._scorer.calibration_id), terms, adjusted=is_own)
        return ids

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
                    name: _detector(
                        float(scores[row]),
                        float(found.detector_p_values[name][row]),
                        int(found.calibration_images[row]),
                    )
                    for name, scores in found.scores.items()
                },
                p_value=float(found.p_value[row]),
                p_value_at_most=bool(found.at_most[row]),
                calibration_images=int(found.calibration_images[row]),
                calibration_survey=survey,
                calibration_fit="survey-model",
                rank_score=float(found.rank_score[row]),
                verdict=self._verdict(float(found.p_value[row])),
            )
            for row, image in enumerate(base)
        ]

    def _verdict(self, p_value: float, alpha: float | None = None) -> Verdict:
        """As the bundle's, but a near miss up to the budget that a survey model promises."""
        verdict = self._scorer.verdict(p_value, alpha)
        return Verdict.NEAR_MISS if verdict is Verdict.ORDINARY and p_value <= BUDGET else verdict

    def _on_terms(self, judged: CalibratedScores, terms: SurveyTerms | None) -> CalibratedScores:
        """The verdict under the survey's own budget, and adjusted for its drift."""
        if terms is None:
            return judged
        scores = judged.scores
        budget = terms.false_alarms_per_1000
        alpha = None if budget is None else budget / 1000.0
        is_adjusted = terms.adjustment is not None and scores.calibration_fit == "own"
        adjusted = None
        if is_adjusted and terms.adjustment is not None:
            adjusted = adjusted_p_value(scores, terms.adjustment)
        p_value = scores.p_value if adjusted is None else adjusted
        is_model = scores.calibration_fit == "survey-model"
        verdict = self._verdict(p_value, alpha) if is_model else self._scorer.verdict(p_value, alpha)
        return CalibratedScores(
            replace(scores, verdict=verdict, adjusted_p_value=adjusted, false_alarms_per_1000=budget),
            id_on_terms(judged.calibration_id, terms, adjusted=is_adjusted),
        )


def _detector(score: float, p_value: float, calibration_images: int) -> DetectorScore:
    # The smallest p-value is that of a score beyond all images that it is compared with.
    return DetectorScore(score, p_value, at_most=p_value <= 1.0 / (calibration_images + 1))


def adjusted_p_value(scores: ImageScores, adjustment: Adjustment) -> float:
    """The p-value that allows for a drift.

    Beyond the calibration images the rank score tells how far beyond: what all of them fall short of would else be one
    p-value, which a drift of half a standard deviation lifts above the budget, and nothing could be an anomaly.
    """
    p_value = 10.0 ** -min(scores.rank_score, 30.0) if scores.p_value_at_most else scores.p_value
    return max(float(adjustment.p_values(np.array([p_value]))[0]), scores.p_value)


def id_on_terms(calibration_id: str, terms: SurveyTerms, *, adjusted: bool) -> str:
    """Id of a calibration under a survey's own terms; its own where they change nothing."""
    change = terms.adjustment if adjusted else None
    if terms.false_alarms_per_1000 is None and change is None:
        return calibration_id
    drift = "" if change is None else f"{change.shift!r} {change.scale!r}"
    parts = (calibration_id, repr(terms.false_alarms_per_1000), drift)
    return content_digest("\x1f".join(parts).encode())[:16]
