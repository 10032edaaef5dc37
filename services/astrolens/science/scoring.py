"""Scores, p-values and verdicts: pure functions of the backbone's outputs, the bundle and the false-alarm budget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from astrolens.contracts.ids import content_digest
from astrolens.contracts.verdicts import Verdict
from astrolens.science.bundle import CALIBRATION, DETECTORS, Bundle, BundleDamaged
from astrolens.science.calibration import COMBINED, POOLED, SurveyCalibration, load_calibrations
from astrolens.science.detectors import Features, Floats, load_detector, softmax

_NEAR_MISS_FACTOR = 3.0


@dataclass(frozen=True)
class DetectorScore:
    """One detector's score of one image, and its p-value: the share of ordinary images that score at least as high."""

    score: float
    p_value: float


@dataclass(frozen=True)
class ImageScores:
    """The result of one image.

    Attributes:
        class_probabilities: By class; they sum to 1.
        predicted_class: The most probable class.
        detectors: By the detector's name.
        p_value: Of the combined statistic.
        verdict: Of the p-value and the budget.
        calibration_survey: Survey whose calibration was used, or `pooled`.
    """

    class_probabilities: dict[str, float]
    predicted_class: str
    detectors: dict[str, DetectorScore]
    p_value: float
    verdict: Verdict
    calibration_survey: str


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
        scores = {name: detector.score(features) for name, detector in self._detectors.items()}
        p_values = {name: np.empty(len(names)) for name in scores}
        combined = np.empty(len(names))
        for survey in sorted(set(names)):
            rows = np.array([name == survey for name in names])
            calibration = self._calibrations[survey]
            own = calibration.detector_p_values({name: values[rows] for name, values in scores.items()})
            for name, values in own.items():
                p_values[name][rows] = values
            combined[rows] = calibration.combined.p_values(calibration.statistic(own))
        return [
            self._image(row, names[row], probabilities, scores, p_values, float(combined[row]))
            for row in range(len(names))
        ]

    def verdict(self, p_value: float) -> Verdict:
        """`anomaly` at p ≤ α, `near_miss` at p ≤ 3α, else `ordinary`."""
        if p_value <= self.alpha:
            return Verdict.ANOMALY
        return Verdict.NEAR_MISS if p_value <= _NEAR_MISS_FACTOR * self.alpha else Verdict.ORDINARY

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
                name: {"n": len(calibration.combined.scores), **_image_counts(calibration), "alpha": self.alpha}
                for name, calibration in sorted(self._calibrations.items())
            },
            "model": manifest.model.model_dump(mode="json"),
            "training": manifest.training.model_dump(mode="json"),
            "figures": manifest.figures,
        }

    def _image(
        self,
        row: int,
        survey: str,
        probabilities: Floats,
        scores: Mapping[str, Floats],
        p_values: Mapping[str, Floats],
        combined: float,
    ) -> ImageScores:
        shares = probabilities[row]
        return ImageScores(
            class_probabilities={name: float(share) for name, share in zip(self._classes, shares, strict=True)},
            predicted_class=self._classes[int(shares.argmax())],
            detectors={
                name: DetectorScore(float(values[row]), float(p_values[name][row])) for name, values in scores.items()
            },
            p_value=combined,
            verdict=self.verdict(combined),
            calibration_survey=survey,
        )


def _image_counts(calibration: SurveyCalibration) -> dict[str, int]:
    detector = next(iter(calibration.detectors.values()))
    return {"detector_images": len(detector.scores), "combined_images": len(calibration.combined.scores)}
