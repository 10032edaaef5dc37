"""Out-of-distribution detectors: pure functions of what the backbone says of one image.

A larger score is stranger. A detector is a formula (`KINDS`), constants (the manifest) and fitted arrays
(`detectors.npz`); a new one is a new entry of `KINDS`, and old bundles stay readable.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from astrolens.science.bundle import Arrays, DetectorEntry

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Features:
    """What one forward pass gives, for n images.

    Attributes:
        logits: [n, classes].
        embedding: [n, d], CLS token and mean patch token side by side.
        taps: Further named outputs of the graph, [n, ...].
    """

    logits: Floats
    embedding: Floats
    taps: Mapping[str, Floats] = field(default_factory=dict)

    @classmethod
    def of(cls, logits: NDArray[Any], embedding: NDArray[Any], taps: Arrays | None = None) -> "Features":
        """Features in float64, in which every score is computed."""
        return cls(
            logits=np.asarray(logits, dtype=np.float64),
            embedding=np.asarray(embedding, dtype=np.float64),
            taps={name: np.asarray(value, dtype=np.float64) for name, value in (taps or {}).items()},
        )


@dataclass(frozen=True)
class DetectorKind:
    """A formula.

    Attributes:
        score: Features, fitted arrays and constants to [n] scores.
        arrays: Names of the fitted arrays that it needs.
    """

    score: Callable[[Features, Arrays, Mapping[str, float]], Floats]
    arrays: tuple[str, ...] = ()


def softmax(logits: Floats) -> Floats:
    """Class probabilities [n, classes]."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float64)


def logsumexp(values: Floats) -> Floats:
    """`ln Σ exp` over the last axis, without overflow."""
    peak = values.max(axis=-1)
    return np.asarray(peak + np.log(np.exp(values - peak[..., None]).sum(axis=-1)), dtype=np.float64)


def msp(features: Features, _arrays: Arrays, _parameters: Mapping[str, float]) -> Floats:
    """`1 − max_c p_c`: maximum softmax probability [Hendrycks & Gimpel 2017]."""
    return np.asarray(1.0 - softmax(features.logits).max(axis=1), dtype=np.float64)


def energy(features: Features, _arrays: Arrays, parameters: Mapping[str, float]) -> Floats:
    """`−T · ln Σ_c exp(ℓ_c / T)` [Liu et al. 2020]."""
    temperature = parameters.get("temperature", 1.0)
    return -temperature * logsumexp(features.logits / temperature)


def gen(features: Features, _arrays: Arrays, parameters: Mapping[str, float]) -> Floats:
    """`Σ_c p_c^γ (1 − p_c)^γ`: generalised entropy [Liu et al. 2023]."""
    gamma = parameters.get("gamma", 0.1)
    p = softmax(features.logits)
    return np.asarray((p**gamma * (1.0 - p) ** gamma).sum(axis=1), dtype=np.float64)


def mahalanobis(features: Features, arrays: Arrays, _parameters: Mapping[str, float]) -> Floats:
    """`min_c (z − μ_c)ᵀ Σ⁻¹ (z − μ_c)` with one covariance for all classes [Lee et al. 2018].

    Arrays: `means` [classes, d], `whitener` [d, d] lower triangular, the inverse of the Cholesky factor of Σ.
    """
    distances = _distances(features.embedding, arrays["means"], arrays["whitener"])
    return np.asarray(distances.min(axis=1), dtype=np.float64)


def rmds(features: Features, arrays: Arrays, _parameters: Mapping[str, float]) -> Floats:
    """`min_c [(ẑ−μ_c)ᵀ Σ⁻¹ (ẑ−μ_c)] − (ẑ−μ₀)ᵀ Σ₀⁻¹ (ẑ−μ₀)` on unit embeddings: RMDS++ [Mueller & Hein 2025].

    Arrays: those of `mahalanobis`, and `mean_0` [d], `whitener_0` [d, d] of all classes together.
    """
    unit = features.embedding / np.linalg.norm(features.embedding, axis=1, keepdims=True)
    own = _distances(unit, arrays["means"], arrays["whitener"]).min(axis=1)
    return np.asarray(own - _distances(unit, arrays["mean_0"][None], arrays["whitener_0"])[:, 0], dtype=np.float64)


def residual(features: Features, arrays: Arrays, _parameters: Mapping[str, float]) -> Floats:
    """`‖Rᵀ(z − μ₀)‖²`: what the embedding holds outside the directions that ordinary images use, whitened.

    The first term of ViM [Wang et al. 2022], kept apart from the energy. Arrays: `mean_0` [d], and `whitener_0`
    [k, d], the k directions of least variance, each over its standard deviation.
    """
    distances = _distances(features.embedding, arrays["mean_0"][None], arrays["whitener_0"])
    return np.asarray(distances[:, 0], dtype=np.float64)


def _distances(z: Floats, means: NDArray[Any], whitener: NDArray[Any]) -> Floats:
    """Squared Mahalanobis distances [n, classes]."""
    # einsum keeps the order of summation of a row free of the number of rows; a BLAS product does not promise that.
    white = np.einsum("nd,kd->nk", z, whitener, optimize=False)
    white_means = np.einsum("cd,kd->ck", means, whitener, optimize=False)
    return np.stack([np.square(white - mean).sum(axis=1) for mean in white_means], axis=1)


KINDS: Final[Mapping[str, DetectorKind]] = {
    "msp": DetectorKind(msp),
    "energy": DetectorKind(energy),
    "gen": DetectorKind(gen),
    "mahalanobis": DetectorKind(mahalanobis, arrays=("means", "whitener")),
    "residual": DetectorKind(residual, arrays=("mean_0", "whitener_0")),
    "rmds": DetectorKind(rmds, arrays=("means", "whitener", "mean_0", "whitener_0")),
}
"""Every formula that a bundle may name."""


@dataclass(frozen=True)
class Detector:
    """A fitted detector."""

    entry: DetectorEntry
    kind: DetectorKind
    arrays: Arrays

    def score(self, features: Features) -> Floats:
        """[n] scores; row i depends on row i of the features alone."""
        return self.kind.score(features, self.arrays, self.entry.parameters)


def fitted(entry: DetectorEntry, arrays: Arrays) -> Detector:
    """A detector from the manifest's entry and the bundle's arrays.

    Raises:
        KeyError: The formula is unknown, or one of its arrays is missing.
    """
    kind = KINDS[entry.kind]
    return Detector(entry=entry, kind=kind, arrays={name: arrays[f"{entry.name}.{name}"] for name in kind.arrays})
