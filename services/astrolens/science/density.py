"""Density detectors: how far the features of an image lie from those of a survey's own images.

They need no labels and no training: a survey that the backbone never saw is described by some hundred of its own
images. Distances to neighbours need no trimming either, since a few odd images among the references are nobody's
neighbours; means and covariances would follow them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from astrolens.contracts.base import Contract, Slug
from astrolens.science.bundle import TapName

Floats = NDArray[np.float64]
Taps = Mapping[str, NDArray[Any]]
"""Pooled feature maps of the backbone by name, each [n, d of the tap]."""

_MAX_DEVIATION: Final = 8.0
"""Standard deviations at which a feature is clipped: one channel that is silent in the references cannot decide."""
_MIN_DISTANCE: Final = 1e-6
"""Keeps the logarithm finite where an image is equal to its k-th neighbour."""
COPY_RATIO: Final = 0.35
"""An image is a copy of its nearest reference where that is nearer than this share of the distance to the tenth.

Of 1,837 images of `sdss-gz2-paper` beside 300 others none was below .43 (three splits); a reference itself is at 0, one
that was written as JPEG again at .03 to .35 (qualities 95 and 75), moved by a pixel or resized at .08 to .35, mostly.
"""


class DensityEntry(Contract):
    """One detector of a survey model: the taps that it reads, and its constants."""

    name: Slug = Field(description="Key in analyses and calibration.")
    kind: Literal["neighbours", "score"] = Field(
        default="neighbours",
        description="`neighbours`: distance to the survey's own images. `score`: the tap is the score of a detector of "
        "the bundle, [n, 1], which is only calibrated on the survey.",
    )
    taps: tuple[TapName, ...] = Field(min_length=1, description="Taps that are concatenated, in this order.")
    components: int = Field(default=64, ge=1, le=512, description="Principal components that are kept.")
    neighbours: int = Field(default=10, ge=1, le=100, description="k: the distance to the k-th neighbour counts.")


@dataclass(frozen=True)
class NeighbourScores:
    """Scores of n images, and which of them are known already.

    Attributes:
        scores: [n], larger is stranger.
        copy_of: [n] row of the reference that the image is a copy of, -1 where it is of none.
    """

    scores: Floats
    copy_of: NDArray[np.intp]


@dataclass(frozen=True)
class NeighbourDensity:
    """Logarithm of the distance to the k-th nearest reference, in principal components of standardised features.

    Attributes:
        entry: Taps and constants.
        mean: [d], of the references' features.
        scale: [d], their standard deviations.
        centre: [d], mean of the standardised and clipped features.
        axes: [components, d], principal axes.
        references: [m, components].
    """

    entry: DensityEntry
    mean: Floats
    scale: Floats
    centre: Floats
    axes: Floats
    references: Floats

    def project(self, taps: Taps) -> Floats:
        """Principal components [n, components]; a row depends on its own image only, bit by bit.

        Raises:
            ValueError: A tap is missing, or has another width than the references.
        """
        return self.project_features(concatenate(taps, self.entry))

    def project_features(self, features: Floats) -> Floats:
        """Principal components [n, components] of features [n, d], see `concatenate`."""
        if features.shape[1] != len(self.mean):
            raise ValueError(
                f"detector {self.entry.name} was fitted on {len(self.mean)} numbers an image, not {features.shape[1]}: "
                "use the taps of the model that it was fitted with"
            )
        standard = np.clip((features - self.mean) / self.scale, -_MAX_DEVIATION, _MAX_DEVIATION)
        return _project(standard - self.centre, self.axes)

    def score(self, taps: Taps) -> Floats:
        """Scores [n]: larger is stranger."""
        return self.compare(taps).scores

    def compare(self, taps: Taps) -> NeighbourScores:
        """Scores of n images, and the references that they are copies of."""
        return self._compare(self.project(taps))

    def distances(self, projected: Floats) -> Floats:
        """Logarithmic distances [n] of principal components [n, components] to the k-th nearest reference."""
        return self._compare(projected).scores

    def _compare(self, projected: Floats) -> NeighbourScores:
        k = min(self.entry.neighbours, len(self.references))
        scores, copy_of = np.empty(len(projected)), np.full(len(projected), -1)
        # One image at a time: no [n, m, components] array, and no dependence on the batch.
        for row, point in enumerate(projected):
            squared = np.square(self.references - point).sum(axis=1)
            kth = max(np.partition(squared, k - 1)[k - 1], _MIN_DISTANCE**2)
            scores[row] = 0.5 * np.log(kth)
            nearest = int(squared.argmin())
            if squared[nearest] <= COPY_RATIO**2 * kth:
                copy_of[row] = nearest
        return NeighbourScores(scores, copy_of)

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """The fitted arrays by name, in the precision in which they are kept."""
        return {name: np.asarray(getattr(self, name), dtype=np.float32) for name in FITTED_ARRAYS}


@dataclass(frozen=True)
class TapScore:
    """The score of a detector of the bundle, such as that of the synthetic oddities, read from a tap [n, 1]."""

    entry: DensityEntry

    def score(self, taps: Taps) -> Floats:
        """Scores [n]: larger is stranger.

        Raises:
            ValueError: The tap is missing, or is not [n, 1].
        """
        values = _tap_values(taps, self.entry)
        if len(values) != 1 or values[0].shape[1] != 1:
            raise ValueError(f"detector {self.entry.name} takes one tap [n, 1], not {[v.shape for v in values]}")
        return values[0][:, 0]

    def compare(self, taps: Taps) -> NeighbourScores:
        """Scores of n images; a single number recognises none."""
        scores = self.score(taps)
        return NeighbourScores(scores, np.full(len(scores), -1))

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Nothing is fitted."""
        return {}


SurveyDetector = NeighbourDensity | TapScore


FITTED_ARRAYS: Final = ("mean", "scale", "centre", "axes", "references")
"""Names of the arrays that a `NeighbourDensity` is made of."""


def concatenate(taps: Taps, entry: DensityEntry) -> Floats:
    """Features [n, d] of a detector: its taps, side by side.

    Raises:
        ValueError: A tap is missing, or the taps are not [n, d] with the same n.
    """
    return np.concatenate(_tap_values(taps, entry), axis=1)


def _tap_values(taps: Taps, entry: DensityEntry) -> list[Floats]:
    """The taps of a detector, each [n, d], in their order."""
    missing = [name for name in entry.taps if name not in taps]
    if missing:
        raise ValueError(f"detector {entry.name} needs the tap {missing[0]}: the model gives {sorted(taps)}")
    values = [np.asarray(taps[name], dtype=np.float64) for name in entry.taps]
    if any(part.ndim != 2 for part in values) or len({len(part) for part in values}) != 1:
        raise ValueError(f"the taps of detector {entry.name} are not [n, d] with one n: {[v.shape for v in values]}")
    return values


def fit_detector(taps: Taps, entry: DensityEntry) -> SurveyDetector:
    """Fit a detector on the taps, each [m, d], of a survey's own images.

    Raises:
        ValueError: A tap does not fit, or there are no more images than neighbours.
    """
    if entry.kind == "score":
        return TapScore(entry)
    return fit_density(concatenate(taps, entry), entry)


def load_detector(entry: DensityEntry, arrays: Mapping[str, NDArray[Any]]) -> SurveyDetector:
    """Build a detector from its stored arrays.

    Raises:
        ValueError: An array is missing, or their shapes do not fit together.
    """
    return TapScore(entry) if entry.kind == "score" else load_density(entry, arrays)


def fit_density(features: Floats, entry: DensityEntry) -> NeighbourDensity:
    """Fit a detector on the features [m, d] of a survey's own images, see `concatenate`.

    The arrays are rounded to single precision, so that a stored detector scores exactly as the fitted one.

    Raises:
        ValueError: There are no more images than neighbours.
    """
    if len(features) <= entry.neighbours:
        raise ValueError(f"{len(features)} images cannot have {entry.neighbours} neighbours each: give more images")
    mean = _single(features.mean(axis=0))
    spread = features.std(axis=0)
    # A channel that is constant in the references gets the typical spread, not a division by zero.
    floor = 1e-3 * max(float(np.median(spread)), 1e-9)
    scale = _single(np.maximum(spread, floor))
    standard = np.clip((features - mean) / scale, -_MAX_DEVIATION, _MAX_DEVIATION)
    centre = _single(standard.mean(axis=0))
    components = min(entry.components, len(features) // 3, features.shape[1])
    axes = _principal_axes(standard - centre, max(1, components))
    references = _project(standard - centre, axes)
    return NeighbourDensity(entry, mean, scale, centre, axes, _single(references))


def load_density(entry: DensityEntry, arrays: Mapping[str, NDArray[Any]]) -> NeighbourDensity:
    """Build a detector from its stored arrays.

    Raises:
        ValueError: An array is missing, or their shapes do not fit together.
    """
    missing = [name for name in FITTED_ARRAYS if name not in arrays]
    if missing:
        raise ValueError(f"detector {entry.name} has no array {missing[0]}")
    fitted = {name: np.asarray(arrays[name], dtype=np.float64) for name in FITTED_ARRAYS}
    axes, references = fitted["axes"], fitted["references"]
    fits = (
        axes.ndim == references.ndim == 2
        and axes.shape[0] == references.shape[1]
        and len(references) > 0
        and all(fitted[name].shape == axes.shape[1:] for name in ("mean", "scale", "centre"))
    )
    if not fits:
        raise ValueError(f"the arrays of detector {entry.name} do not fit together")
    return NeighbourDensity(entry, **fitted)


def _project(centred: Floats, axes: Floats) -> Floats:
    """Products [n, components] of rows [n, d] and axes [components, d]."""
    projected = np.empty((len(centred), len(axes)))
    for row, values in enumerate(centred):
        # Row by row, without BLAS: products of whole batches sum in an order that depends on the number of rows.
        projected[row] = np.einsum("kd,d->k", axes, values, optimize=False)
    return projected


def _principal_axes(centred: Floats, components: int) -> Floats:
    """Axes [components, d] of largest variance, with a fixed sign."""
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    kept = axes[:components]
    largest = kept[np.arange(len(kept)), np.abs(kept).argmax(axis=1)]
    return _single(kept * np.where(largest < 0, -1.0, 1.0)[:, None])


def _single(values: NDArray[Any]) -> Floats:
    """Values rounded to single precision, for computation in double precision."""
    return np.asarray(values, dtype=np.float32).astype(np.float64)
