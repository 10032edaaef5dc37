"""Fit the detectors and their calibration to the outputs of a trained backbone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans
from sklearn.covariance import LedoitWolf

from astrolens.science.bundle import Combination, DetectorEntry
from astrolens.science.calibration import COMBINED, POOLED, ScoreCalibration, fisher_statistic
from astrolens.science.detectors import Features, load_detector, unit_rows

Floats = NDArray[np.float64]

DETECTORS: Final = (
    DetectorEntry(name="msp", kind="msp", title="Maximum softmax probability"),
    DetectorEntry(name="energy", kind="energy", title="Energy", parameters={"temperature": 1.0}),
    DetectorEntry(name="mahalanobis", kind="mahalanobis", title="Mahalanobis distance"),
    DetectorEntry(name="residual", kind="residual", title="Residual subspace distance"),
)

_MIN_CLASS_MEMBERS: Final = 8
"""A class of a survey family with fewer members gets no mean of its own: it would be too noisy."""


@dataclass(frozen=True)
class LabelledFeatures:
    """Outputs of the backbone for n images, with their labels.

    Attributes:
        features: Logits and embeddings.
        classes: [n] class index.
        surveys: [n] survey names.
    """

    features: Features
    classes: NDArray[np.int64]
    surveys: NDArray[np.str_]


def fit_detectors(scored: LabelledFeatures, entries: Sequence[DetectorEntry] = DETECTORS) -> dict[str, NDArray[Any]]:
    """Fit all detectors.

    A class has one mean for each survey family, because the same class has different embeddings at different scales:
    with a common mean both would be far from it.

    Returns:
        Fitted arrays, `<detector>.<array>`.
    """
    arrays: dict[str, NDArray[Any]] = {}
    families = np.array([survey_family(str(name)) for name in scored.surveys])
    groups = np.array([f"{own}/{index}" for own, index in zip(families, scored.classes, strict=True)])
    for entry in entries:
        z = scored.features.embedding
        if entry.kind == "rmds":
            z = unit_rows(z)
            arrays[f"{entry.name}.mean_0"] = z.mean(axis=0)
            arrays[f"{entry.name}.whitener_0"] = whitener(z - z.mean(axis=0))
        if entry.kind == "residual":
            arrays[f"{entry.name}.mean_0"] = z.mean(axis=0)
            arrays[f"{entry.name}.whitener_0"] = residual_whitener(z - z.mean(axis=0))
        if entry.kind in {"mahalanobis", "rmds"}:
            large = [name for name in np.unique(groups) if (groups == name).sum() >= _MIN_CLASS_MEMBERS]
            means = np.stack([z[groups == name].mean(axis=0) for name in large])
            residuals = [z[groups == name] - mean for name, mean in zip(large, means, strict=True)]
            arrays[f"{entry.name}.means"] = means
            arrays[f"{entry.name}.whitener"] = whitener(np.concatenate(residuals))
    return arrays


def survey_family(survey: str) -> str:
    """The survey's name up to the first hyphen. The simulated surveys are one family: they show the same galaxies."""
    return survey.split("-", maxsplit=1)[0]


def whitener(residuals: Floats) -> Floats:
    """The inverse Cholesky factor, [d, d] lower triangular, of the covariance [Ledoit & Wolf 2004] of [n, d]."""
    covariance = LedoitWolf(assume_centered=True).fit(residuals).covariance_
    factor = np.linalg.cholesky(np.asarray(covariance, dtype=np.float64))
    return np.asarray(np.tril(np.linalg.inv(factor)), dtype=np.float64)


def residual_whitener(residuals: Floats) -> Floats:
    """The half of the principal directions with least variance, divided by their standard deviations, [d/2, d]."""
    variances, directions = np.linalg.eigh(np.cov(residuals.T))
    half = len(variances) // 2
    # Without a lower bound, rounding errors in a direction of no variance would dominate the score.
    floor = 1e-8 * variances[-1]
    return np.asarray((directions[:, :half] / np.sqrt(np.maximum(variances[:half], floor))).T, dtype=np.float64)


def calibrate(
    entries: Sequence[DetectorEntry],
    arrays: Mapping[str, NDArray[Any]],
    combination: Combination,
    *,
    first: LabelledFeatures,
    second: LabelledFeatures,
    seed: int,
) -> dict[str, Floats]:
    """Compute the calibration arrays, by survey and pooled; see `astrolens.science.calibration`.

    Args:
        entries: Detectors.
        arrays: Their fitted arrays.
        combination: How they are combined.
        first: Ordinary images that calibrate each detector.
        second: Other ordinary images, that calibrate the combination.
        seed: Of the random subset that balances the surveys in the pool.
    """
    rng = np.random.default_rng(seed)
    first_rows, second_rows = _rows_by_survey(first.surveys), _rows_by_survey(second.surveys)
    first_rows[POOLED], second_rows[POOLED] = _balanced(first_rows, rng), _balanced(second_rows, rng)
    calibration: dict[str, Floats] = {}
    detectors = [load_detector(entry, arrays) for entry in entries]
    first_scores = {detector.entry.name: detector.score(first.features) for detector in detectors}
    second_scores = {detector.entry.name: detector.score(second.features) for detector in detectors}
    for survey, rows in first_rows.items():
        p_values = []
        for name, values in first_scores.items():
            calibration[f"{survey}/{name}"] = np.sort(values[rows])
            if name in combination.detectors:
                own = ScoreCalibration(calibration[f"{survey}/{name}"], combination.tail_share)
                p_values.append(own.extrapolated_p_values(second_scores[name][second_rows[survey]]))
        calibration[f"{survey}/{COMBINED}"] = np.sort(fisher_statistic(p_values))
    return calibration


def coarse_centroids(embeddings: NDArray[Any], *, count: int, seed: int) -> NDArray[np.float32]:
    """k-means centroids [count, d] of embeddings [n, d]; both are scaled to unit length."""
    unit = unit_rows(embeddings)
    means = MiniBatchKMeans(count, random_state=seed, n_init=3, batch_size=2048).fit(unit).cluster_centers_
    return unit_rows(means).astype(np.float32)


def _rows_by_survey(surveys: NDArray[np.str_]) -> dict[str, NDArray[np.int64]]:
    return {str(name): np.flatnonzero(surveys == name) for name in np.unique(surveys)}


def _balanced(rows: Mapping[str, NDArray[np.int64]], rng: np.random.Generator) -> NDArray[np.int64]:
    """A random subset of rows with equal numbers from each survey family."""
    families: dict[str, list[NDArray[np.int64]]] = {}
    for name in sorted(rows):
        families.setdefault(survey_family(name), []).append(rows[name])
    members = [np.concatenate(own) for own in families.values()]
    fewest = min(len(own) for own in members)
    return np.concatenate([np.sort(rng.permutation(own)[:fewest]) for own in members])
