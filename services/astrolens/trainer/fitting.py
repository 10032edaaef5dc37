"""Fit the detectors and their calibration to a trained backbone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans
from sklearn.covariance import LedoitWolf

from astrolens.science.bundle import Combination, DetectorEntry
from astrolens.science.calibration import COMBINED, POOLED, ScoreCalibration, fisher_statistic
from astrolens.science.detectors import Features, load_detector

Floats = NDArray[np.float64]

DETECTORS: Final = (
    DetectorEntry(name="msp", kind="msp", title="Maximum softmax probability"),
    DetectorEntry(name="energy", kind="energy", title="Energy", parameters={"temperature": 1.0}),
    DetectorEntry(name="mahalanobis", kind="mahalanobis", title="Mahalanobis distance"),
    DetectorEntry(name="residual", kind="residual", title="Residual subspace distance"),
)

_FEWEST_MEMBERS: Final = 8
"""A class of a survey family with fewer members has no mean worth the name."""


@dataclass(frozen=True)
class Scored:
    """What the backbone said of n pictures, with the truth that the fit may see.

    Attributes:
        features: Logits and embeddings.
        classes: [n] class index.
        surveys: [n] names.
    """

    features: Features
    classes: NDArray[np.int64]
    surveys: NDArray[np.str_]


def fit_detectors(scored: Scored, entries: Sequence[DetectorEntry] = DETECTORS) -> dict[str, NDArray[Any]]:
    """Fitted arrays of all detectors, `<detector>.<array>`.

    A class has one mean for each survey family: an edge-on disc that fills the frame and one that takes a tenth of it
    lie in different places, and a common mean would call both strange.
    """
    arrays: dict[str, NDArray[Any]] = {}
    families = np.array([family(str(name)) for name in scored.surveys])
    groups = np.array([f"{kin}/{index}" for kin, index in zip(families, scored.classes, strict=True)])
    for entry in entries:
        z = scored.features.embedding
        if entry.kind == "rmds":
            z = z / np.linalg.norm(z, axis=1, keepdims=True)
            arrays[f"{entry.name}.mean_0"] = z.mean(axis=0)
            arrays[f"{entry.name}.whitener_0"] = whitener(z - z.mean(axis=0))
        if entry.kind == "residual":
            arrays[f"{entry.name}.mean_0"] = z.mean(axis=0)
            arrays[f"{entry.name}.whitener_0"] = residual_whitener(z - z.mean(axis=0))
        if entry.kind in {"mahalanobis", "rmds"}:
            kept = [name for name in np.unique(groups) if (groups == name).sum() >= _FEWEST_MEMBERS]
            means = np.stack([z[groups == name].mean(axis=0) for name in kept])
            residuals = [z[groups == name] - mean for name, mean in zip(kept, means, strict=True)]
            arrays[f"{entry.name}.means"] = means
            arrays[f"{entry.name}.whitener"] = whitener(np.concatenate(residuals))
    return arrays


def family(survey: str) -> str:
    """The simulated surveys are one family: they show the same galaxies."""
    return survey.split("-", maxsplit=1)[0]


def whitener(residuals: Floats) -> Floats:
    """The inverse of the Cholesky factor of the Ledoit–Wolf covariance, [d, d] lower triangular."""
    covariance = LedoitWolf(assume_centered=True).fit(residuals).covariance_
    factor = np.linalg.cholesky(np.asarray(covariance, dtype=np.float64))
    return np.asarray(np.tril(np.linalg.inv(factor)), dtype=np.float64)


def residual_whitener(residuals: Floats) -> Floats:
    """The half of the principal directions with least variance, each over its standard deviation, [d/2, d]."""
    variances, directions = np.linalg.eigh(np.cov(residuals.T))
    kept = len(variances) // 2
    # A direction without any variance would make every rounding error strange.
    floor = 1e-8 * variances[-1]
    return np.asarray((directions[:, :kept] / np.sqrt(np.maximum(variances[:kept], floor))).T, dtype=np.float64)


def calibrate(
    entries: Sequence[DetectorEntry],
    arrays: Mapping[str, NDArray[Any]],
    combination: Combination,
    *,
    first: Scored,
    second: Scored,
    seed: int,
) -> dict[str, Floats]:
    """Sorted scores of ordinary pictures, by survey and pooled; see `astrolens.science.calibration`.

    Args:
        entries: Detectors.
        arrays: Their fitted arrays.
        combination: How they are combined.
        first: Pictures that calibrate each detector.
        second: Others, that calibrate the combination.
        seed: Of the draw that keeps a large survey from ruling the pool.
    """
    rng = np.random.default_rng(seed)
    ones, twos = _by_survey(first.surveys), _by_survey(second.surveys)
    ones[POOLED], twos[POOLED] = _balanced(ones, rng), _balanced(twos, rng)
    kept: dict[str, Floats] = {}
    detectors = [load_detector(entry, arrays) for entry in entries]
    scores = {detector.entry.name: detector.score(first.features) for detector in detectors}
    later = {detector.entry.name: detector.score(second.features) for detector in detectors}
    for survey, rows in ones.items():
        p_values = []
        for name, values in scores.items():
            kept[f"{survey}/{name}"] = np.sort(values[rows])
            if name in combination.detectors:
                tail = ScoreCalibration(kept[f"{survey}/{name}"], combination.tail_share)
                p_values.append(tail.p_values(later[name][twos[survey]]))
        kept[f"{survey}/{COMBINED}"] = np.sort(fisher_statistic(p_values))
    return kept


def coarse_centroids(embeddings: NDArray[Any], *, count: int, seed: int) -> NDArray[np.float32]:
    """[count, d] unit-length k-means centroids of unit-length embeddings."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    means = MiniBatchKMeans(count, random_state=seed, n_init=3, batch_size=2048).fit(unit).cluster_centers_
    return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), dtype=np.float32)


def _by_survey(surveys: NDArray[np.str_]) -> dict[str, NDArray[np.int64]]:
    return {str(name): np.flatnonzero(surveys == name) for name in np.unique(surveys)}


def _balanced(rows: Mapping[str, NDArray[np.int64]], rng: np.random.Generator) -> NDArray[np.int64]:
    """Equally many of each survey family."""
    families: dict[str, list[NDArray[np.int64]]] = {}
    for name in sorted(rows):
        families.setdefault(family(name), []).append(rows[name])
    members = [np.concatenate(own) for own in families.values()]
    fewest = min(len(own) for own in members)
    return np.concatenate([np.sort(rng.permutation(own)[:fewest]) for own in members])
