"""Fit the detectors and their calibration to the outputs of a trained backbone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans
from sklearn.covariance import LedoitWolf

from astrolens.science.bundle import Combination, DetectorEntry
from astrolens.science.calibration import (
    COMBINED,
    MEDIAN,
    POOLED,
    WIDTH,
    ClassUnits,
    ScoreCalibration,
    fisher_statistic,
)
from astrolens.science.detectors import Detector, Features, survey_family, unit_rows

Floats = NDArray[np.float64]

DETECTORS: Final = (
    DetectorEntry(name="msp", kind="msp", title="Maximum softmax probability"),
    DetectorEntry(name="energy", kind="energy", title="Energy", parameters={"temperature": 1.0}),
    DetectorEntry(name="gen", kind="gen", title="Generalised entropy", parameters={"gamma": 0.1}),
    DetectorEntry(name="mahalanobis", kind="mahalanobis", title="Mahalanobis distance"),
    DetectorEntry(name="vim", kind="vim", title="Virtual-logit matching", by_class=True),
    DetectorEntry(name="oddity", kind="oddity", title="Likeness to drawn oddities"),
    DetectorEntry(
        name="asymmetry",
        kind="mahalanobis",
        title="Mahalanobis distance of the asymmetry of its middle",
        feature="core_asymmetry",
        by_class=True,
    ),
)

VOTING: Final = ("oddity", "asymmetry")
"""The detectors that are combined, chosen on the choose halves; the others are reported.

No detector reads the view of the frame: its tap is for survey models, and who is judged by the bundle does without it.
"""

_BY_FAMILY: Final = frozenset({"mahalanobis"})
"""Formulas that are fitted on each survey family apart: their covariance differs between instruments."""
_MIN_CLASS_MEMBERS: Final = 8
"""A class of a survey family with fewer members gets no mean of its own: it would be too noisy."""

_MIN_CARRYING: Final = 20
"""Images of a survey that make a mean and a deviation."""


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


@dataclass(frozen=True)
class FittedDetector:
    """A detector's entry with its constants, and its arrays by `<detector>.<array>`, float32."""

    entry: DetectorEntry
    arrays: Mapping[str, NDArray[Any]]


def fit_detectors(scored: LabelledFeatures, entries: Sequence[DetectorEntry] = DETECTORS) -> list[FittedDetector]:
    """Fit all detectors, those of `_BY_FAMILY` on each survey family too.

    A class has one mean for each survey family, because the same class has different features at different scales:
    with a common mean both would be far from it.
    """
    families = np.array([survey_family(str(name)) for name in scored.surveys])
    groups = np.array([f"{own}/{index}" for own, index in zip(families, scored.classes, strict=True)])
    fitted = []
    for entry in entries:
        detector = _fit(entry, scored.features, groups)
        arrays = dict(detector.arrays)
        for family in np.unique(families) if entry.kind in _BY_FAMILY else ():
            rows = families == family
            own = _fit(entry, scored.features.rows(rows), groups[rows]).arrays
            arrays |= {name.replace(".", f".{family}.", 1): array for name, array in own.items()}
        fitted.append(FittedDetector(detector.entry, arrays))
    return fitted


def _fit(entry: DetectorEntry, features: Features, groups: NDArray[np.str_]) -> FittedDetector:
    z = features.with_embedding(entry.feature).embedding
    arrays: dict[str, NDArray[Any]] = {}
    if entry.kind == "rmds":
        z = unit_rows(z)
        arrays["mean_0"] = z.mean(axis=0)
        arrays["whitener_0"] = whitener(z - z.mean(axis=0))
    if entry.kind == "residual":
        arrays["mean_0"] = z.mean(axis=0)
        arrays["whitener_0"] = residual_whitener(z - z.mean(axis=0))
    if entry.kind in {"mahalanobis", "rmds"}:
        large = [name for name in np.unique(groups) if (groups == name).sum() >= _MIN_CLASS_MEMBERS]
        means = np.stack([z[groups == name].mean(axis=0) for name in large])
        residuals = [z[groups == name] - mean for name, mean in zip(large, means, strict=True)]
        arrays["means"] = means
        arrays["whitener"] = whitener(np.concatenate(residuals))
    if entry.kind == "vim":
        origin = z.mean(axis=0)
        variances, directions = np.linalg.eigh(np.cov((z - origin).T))
        residual = directions[:, : len(variances) // 2].T
        norms = np.linalg.norm((z - origin) @ residual.T, axis=1)
        # The virtual logit gets the scale of the largest logit, as in the paper.
        alpha = float(features.logits.max(axis=1).mean() / norms.mean())
        entry = entry.model_copy(update={"parameters": {"alpha": alpha}})
        arrays |= {"origin": origin, "residual": residual}
    return FittedDetector(
        entry, {f"{entry.name}.{name}": np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}
    )


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
    detectors: Sequence[Detector],
    combination: Combination,
    *,
    units: LabelledFeatures,
    ordinary: LabelledFeatures,
    seed: int,
) -> dict[str, Floats]:
    """Compute the calibration arrays, by survey and pooled; see `astrolens.science.calibration`.

    Args:
        detectors: Fitted detectors.
        combination: How they are combined.
        units: Ordinary images for the units of each predicted class.
        ordinary: Others, for the p-values of the detectors and, each left out in turn, of their combination.
        seed: Of the random subset that balances the surveys in the pool.
    """
    rng = np.random.default_rng(seed)
    parts = (units, ordinary)
    predicted = [part.features.logits.argmax(axis=1) for part in parts]
    rows_by_survey = [_rows_by_survey(part.surveys) for part in parts]
    for rows in rows_by_survey:
        rows[POOLED] = _balanced(rows, rng)
    calibration: dict[str, Floats] = {}
    for survey in rows_by_survey[1]:
        p_values = []
        for own in detectors:
            name, selected = own.entry.name, [rows[survey] for rows in rows_by_survey]
            values = [own.score(part.features.rows(rows), survey) for part, rows in zip(parts, selected, strict=True)]
            if own.entry.by_class:
                classes = [guess[rows] for guess, rows in zip(predicted, selected, strict=True)]
                of_class = ClassUnits.of(values[0], classes[0], units.features.logits.shape[1])
                calibration[f"{survey}/{name}/{MEDIAN}"] = of_class.median
                calibration[f"{survey}/{name}/{WIDTH}"] = of_class.width
                values[1] = of_class.standardise(values[1], classes[1])
            calibration[f"{survey}/{name}"] = np.sort(values[1])
            if name in combination.detectors:
                p_values.append(p_values_without_own(values[1], combination.tail_share))
        calibration[f"{survey}/{COMBINED}"] = np.sort(fisher_statistic(p_values))
    return calibration


def carry_over(
    calibration: Mapping[str, NDArray[Any]],
    detectors: Sequence[Detector],
    *,
    before: LabelledFeatures,
    after: LabelledFeatures,
) -> dict[str, Floats]:
    """A calibration for other outputs of the same images, where the order of the scores hardly changes.

    For each survey the calibrating scores are scaled and shifted as mean and deviation of its images are; with fewer
    than `_MIN_CARRYING` images, as those of all surveys are. p-values of the calibrating images stay what they were,
    and so does their combination.

    Args:
        calibration: The calibration arrays of the outputs before.
        detectors: Its detectors.
        before: Outputs for ordinary images.
        after: Other outputs for the same.
    """
    carried = {name: np.asarray(array, dtype=np.float64) for name, array in calibration.items()}
    for survey in {name.split("/")[0] for name in calibration}:
        rows = before.surveys == survey
        if rows.sum() < _MIN_CARRYING:
            rows = np.ones(len(rows), dtype=np.bool_)
        for own in detectors:
            old, new = (own.score(part.features.rows(np.flatnonzero(rows)), survey) for part in (before, after))
            slope = float(new.std() / old.std()) if old.std() > 0.0 else 1.0
            shift = float(new.mean() - slope * old.mean())
            # Scores that are standardised by class have their units changed, and not the standardised scores.
            name = f"{survey}/{own.entry.name}"
            if own.entry.by_class:
                carried[f"{name}/{MEDIAN}"] = slope * carried[f"{name}/{MEDIAN}"] + shift
                carried[f"{name}/{WIDTH}"] = slope * carried[f"{name}/{WIDTH}"]
            else:
                carried[name] = slope * carried[name] + shift
    return carried


def p_values_without_own(scores: Floats, tail_share: float) -> Floats:
    """Extrapolated p-value [n] of each score [n] against all others.

    So an image that calibrates is treated as a new one, which is not among those that it is compared with, and one set
    calibrates both detectors and combination: twice as many images for each as two halves would give.
    """
    order = np.argsort(scores, kind="stable")
    ascending, p_values = scores[order], np.empty(len(scores))
    for place, row in enumerate(order):
        others = ScoreCalibration(np.delete(ascending, place), tail_share)
        p_values[row] = others.extrapolated_p_values(scores[row : row + 1])[0]
    return p_values


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
