"""Scores, p-values and verdicts: pure functions of the backbone's outputs, the bundle and the false-alarm budget."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

import numpy as np

from astrolens.contracts.ids import content_digest
from astrolens.contracts.verdicts import CalibrationFit, Verdict
from astrolens.science.bundle import CALIBRATION, DETECTORS, MANIFEST, Bundle, BundleDamaged
from astrolens.science.calibration import COMBINED, POOLED, SurveyCalibration, load_calibrations
from astrolens.science.detectors import EMBEDDING, Features, Floats, load_detector, softmax

_NEAR_MISS_FACTOR = 3.0


@dataclass(frozen=True)
class DetectorScore:
    """One detector's score of one image, and its p-value: the share of ordinary images that score at least as high.

    `at_most`: the score exceeds all n calibration images, so that the p-value, 1/(n+1), is an upper bound.
    """

    score: float
    p_value: float
    at_most: bool = False


@dataclass(frozen=True)
class ImageScores:
    """The result of one image.

    Attributes:
        class_probabilities: By class; they sum to 1.
        predicted_class: The most probable class.
        detectors: By the detector's name.
        p_value: Of the combined statistic, never below `1/(calibration_images + 1)`.
        p_value_at_most: The statistic exceeds that of all calibration images: the p-value is an upper bound.
        calibration_images: Images that the statistic is compared with.
        calibration_survey: Survey whose calibration was used, or `pooled`.
        calibration_fit: Whether that is the survey's own.
        rank_score: Larger is stranger, and no probability; see `ScoreCalibration.rank_scores`.
        verdict: Of the p-value and the budget.
        kinds: Probability of each kind of oddity, given that it is one; empty where the bundle does not tell them.
        adjusted_p_value: What the verdict goes by where the survey has drifted; None: `p_value` itself.
        false_alarms_per_1000: The survey's own budget; None: that of all surveys.
    """

    class_probabilities: dict[str, float]
    predicted_class: str
    detectors: dict[str, DetectorScore]
    p_value: float
    p_value_at_most: bool
    calibration_images: int
    calibration_survey: str
    calibration_fit: CalibrationFit
    rank_score: float
    verdict: Verdict
    kinds: dict[str, float] = field(default_factory=dict)
    adjusted_p_value: float | None = None
    false_alarms_per_1000: float | None = None


class Scorer:
    """Scores images with the calibration of their survey.

    Args:
        bundle: The model bundle.
        false_alarms_per_1000: Budget: ordinary images in 1,000 that may get the verdict `anomaly`.

    Raises:
        BundleDamaged: The arrays of the bundle are inconsistent with its manifest.
        ValueError: The budget is not between 0 and 1000.
    """

    def __init__(self, bundle: Bundle, false_alarms_per_1000: float = 10.0) -> None:
        if not 0.0 < false_alarms_per_1000 < 1000.0:
            raise ValueError(f"false_alarms_per_1000 must lie between 0 and 1000, not {false_alarms_per_1000}")
        manifest = bundle.manifest
        self._bundle = bundle
        self._classes = manifest.classes
        self.alpha = false_alarms_per_1000 / 1000.0
        for entry in manifest.detectors:
            if entry.feature not in {EMBEDDING, *manifest.model.taps}:
                reason = f"detector {entry.name} reads {entry.feature}, which the model does not give"
                raise BundleDamaged(bundle.path / MANIFEST, reason)
        try:
            self._detectors = {entry.name: load_detector(entry, bundle.detectors) for entry in manifest.detectors}
        except KeyError as error:
            raise BundleDamaged(
                bundle.path / DETECTORS, f"there is no {error.args[0]} in it or in this version"
            ) from error
        try:
            self._calibrations = load_calibrations(
                bundle.calibration,
                detectors=tuple(self._detectors),
                combined_detectors=manifest.combination.detectors,
                tail_share=manifest.combination.tail_share,
            )
            missing = ({*manifest.surveys, POOLED} - self._calibrations.keys()) or None
        except (KeyError, ValueError) as error:
            raise BundleDamaged(bundle.path / CALIBRATION, f"its arrays do not fit: {error}") from error
        if missing:
            raise BundleDamaged(bundle.path / CALIBRATION, f"it has no scores of {min(missing)}")
        revision = f"{manifest.files[CALIBRATION].sha256}\x1f{self.alpha!r}"
        self._calibration_id = content_digest(revision.encode())[:16]

    @property
    def calibration_id(self) -> str:
        """Id of calibration and budget; together with image and bundle it determines the verdict."""
        return self._calibration_id

    def calibration_survey(self, survey: str) -> str:
        """The survey whose calibration is used for `survey`: itself, or `pooled`."""
        return survey if survey in self._calibrations else POOLED

    def score(self, features: Features, surveys: Sequence[str]) -> list[ImageScores]:
        """Score a batch. The result of an image does not depend on the others in the batch.

        Args:
            features: Of n images.
            surveys: Survey names, n.

        Raises:
            ValueError: The shapes do not fit the bundle.
        """
        names = [self.calibration_survey(survey) for survey in surveys]
        expected = (len(names), len(self._classes)), (len(names), self._bundle.manifest.model.embedding_dim)
        if (features.logits.shape, features.embedding.shape) != expected:
            raise ValueError(f"got {features.logits.shape} logits and {features.embedding.shape} embeddings")
        probabilities = softmax(features.logits)
        kinds = self._kind_probabilities(features)
        found: list[ImageScores | None] = [None] * len(names)
        for survey in sorted(set(names)):
            rows = np.flatnonzero([name == survey for name in names])
            # Sums over a single row may go in another order than over many.
            own = features.rows(rows if len(rows) > 1 else np.repeat(rows, 2))
            scores = {name: detector.score(own, survey)[: len(rows)] for name, detector in self._detectors.items()}
            for row, image in zip(rows, self._images(survey, probabilities[rows], scores), strict=True):
                found[row] = replace(image, kinds=kinds[row]) if kinds else image
        return [image for image in found if image is not None]

    def verdict(self, p_value: float, alpha: float | None = None) -> Verdict:
        """`anomaly` at p ≤ α, `near_miss` at p ≤ 3α, else `ordinary`; α is the budget of all surveys by default.

        With fewer than 1/α − 1 calibration images no p-value is small enough for `anomaly`; see `limits`.
        """
        alpha = self.alpha if alpha is None else alpha
        if p_value <= alpha:
            return Verdict.ANOMALY
        return Verdict.NEAR_MISS if p_value <= _NEAR_MISS_FACTOR * alpha else Verdict.ORDINARY

    def limits(self) -> dict[str, str]:
        """A sentence for each calibration that has too few images for the budget: it can flag nothing."""
        return {
            name: (
                f"no image of {name} can be an anomaly: p-values end at 1/{calibration.images + 1} with "
                f"{calibration.images} calibration images, above the budget of {self.alpha:g}; calibrate with at least "
                f"{ceil(1.0 / self.alpha) - 1} ordinary images, or allow "
                f"{1000.0 * calibration.combined.smallest_p:.3g} false alarms per 1,000"
            )
            for name, calibration in sorted(self._calibrations.items())
            if self.alpha < calibration.combined.smallest_p
        }

    def score_quantiles(self, detector: str, survey: str) -> list[float]:
        """101 evenly spaced quantiles of a detector's scores on ordinary images of a survey (or `pooled`).

        Args:
            detector: A detector's name, or `combined` for Fisher's statistic.
            survey: Any survey; the pooled calibration is used for one without its own.

        Raises:
            KeyError: There is no such detector.
        """
        calibration = self._calibrations[self.calibration_survey(survey)]
        scores = calibration.combined if detector == COMBINED else calibration.detectors[detector]
        return [float(value) for value in scores.quantiles()]

    def describe(self) -> dict[str, Any]:
        """Facts about model and calibration, as JSON values."""
        manifest = self._bundle.manifest
        return {
            "name": manifest.name,
            "version": manifest.version,
            "digest": self._bundle.digest,
            "created_at": manifest.created_at.isoformat(),
            "preprocessing_digest": self._bundle.preprocessing_digest,
            "calibration_id": self.calibration_id,
            "false_alarms_per_1000": self.alpha * 1000.0,
            "alpha": self.alpha,
            "classes": list(manifest.classes),
            "detectors": [entry.model_dump(mode="json") for entry in manifest.detectors],
            "combination": manifest.combination.model_dump(mode="json"),
            "surveys": {
                name: {
                    "n": calibration.images,
                    **_image_counts(calibration),
                    "smallest_p_value": calibration.combined.smallest_p,
                    "alpha": self.alpha,
                }
                for name, calibration in sorted(self._calibrations.items())
            },
            "limits": self.limits(),
            "model": manifest.model.model_dump(mode="json"),
            "training": manifest.training.model_dump(mode="json"),
            "figures": manifest.figures,
        }

    def _kind_probabilities(self, features: Features) -> list[dict[str, float]]:
        """Probability of each kind, of each image, if it is strange at all; empty where the bundle has no kinds."""
        if features.kind_logits is None:
            return []
        names = self._bundle.manifest.kinds[1:]
        shares = softmax(features.kind_logits[:, 1:])
        return [{name: float(share) for name, share in zip(names, row, strict=True)} for row in shares]

    def _images(self, survey: str, probabilities: Floats, scores: Mapping[str, Floats]) -> Iterator[ImageScores]:
        """The results of n images with one calibration, from probabilities [n, classes] and scores [n]."""
        calibration = self._calibrations[survey]
        scores = calibration.standardised(scores, probabilities.argmax(axis=1))
        detectors = {
            name: [
                DetectorScore(float(score), float(p_value), bool(beyond))
                for score, p_value, beyond in zip(
                    values,
                    calibration.detectors[name].p_values(values),
                    calibration.detectors[name].beyond(values),
                    strict=True,
                )
            ]
            for name, values in scores.items()
        }
        statistic = calibration.statistic(scores)
        p_values = calibration.combined.p_values(statistic)
        beyond = calibration.combined.beyond(statistic)
        ranks = calibration.combined.rank_scores(statistic)
        for row, shares in enumerate(probabilities):
            yield ImageScores(
                class_probabilities={name: float(share) for name, share in zip(self._classes, shares, strict=True)},
                predicted_class=self._classes[int(shares.argmax())],
                detectors={name: values[row] for name, values in detectors.items()},
                p_value=float(p_values[row]),
                p_value_at_most=bool(beyond[row]),
                calibration_images=calibration.images,
                calibration_survey=survey,
                calibration_fit="pooled" if survey == POOLED else "own",
                rank_score=float(ranks[row]),
                verdict=self.verdict(float(p_values[row])),
            )


def _image_counts(calibration: SurveyCalibration) -> dict[str, int]:
    detector = next(iter(calibration.detectors.values()))
    return {"detector_images": len(detector.scores), "combined_images": calibration.images}
