"""Out-of-distribution detectors: pure functions of the backbone's outputs.

A larger score is stranger. A detector consists of a formula (`DETECTOR_KINDS`), constants (the manifest) and fitted
arrays (`detectors.npz`). To add one, add a function and its entry in `DETECTOR_KINDS`; old bundles stay readable.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from astrolens.science.bundle import Arrays, DetectorEntry

Floats = NDArray[np.float64]

EMBEDDING: Final = "embedding"
"""The feature that a detector reads unless its entry names a tap."""


@dataclass(frozen=True)
class Features:
    """Outputs of the backbone for n images.

    Attributes:
        logits: [n, classes].
        embedding: [n, d], class token and mean patch token, concatenated.
        kind_logits: [n, kinds], of `ordinary` and of each kind of oddity; None where the bundle has none.
        taps: Pooled features of earlier layers, [n, d_tap] each, by the name of the output.
    """

    logits: Floats
    embedding: Floats
    kind_logits: Floats | None = None
    taps: Mapping[str, Floats] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        logits: NDArray[Any],
        embedding: NDArray[Any],
        kind_logits: NDArray[Any] | None = None,
        taps: Mapping[str, NDArray[Any]] | None = None,
    ) -> "Features":
        """Convert outputs to float64, in which all scores are computed."""
        return cls(
            logits=_float64(logits),
            embedding=_float64(embedding),
            kind_logits=None if kind_logits is None else _float64(kind_logits),
            taps={name: _float64(values) for name, values in (taps or {}).items()},
        )

    @classmethod
    def concatenated(cls, parts: Sequence["Features"]) -> "Features":
        """The features of several batches, one after the other."""
        kinds = [part.kind_logits for part in parts if part.kind_logits is not None]
        return cls(
            logits=np.concatenate([part.logits for part in parts]),
            embedding=np.concatenate([part.embedding for part in parts]),
            kind_logits=np.concatenate(kinds) if kinds else None,
            taps={name: np.concatenate([part.taps[name] for part in parts]) for name in parts[0].taps},
        )

    def __len__(self) -> int:
        return len(self.logits)

    def rows(self, selected: NDArray[Any] | slice) -> "Features":
        """The features of some images: indices, a mask [n], or a slice."""
        return Features(
            logits=self.logits[selected],
            embedding=self.embedding[selected],
            kind_logits=None if self.kind_logits is None else self.kind_logits[selected],
            taps={name: values[selected] for name, values in self.taps.items()},
        )

    def with_embedding(self, feature: str) -> "Features":
        """The same with a tap in place of the embedding; unchanged for `embedding`.

        Raises:
            KeyError: There is no such tap.
        """
        return self if feature == EMBEDDING else replace(self, embedding=self.taps[feature])


def _float64(values: NDArray[Any]) -> Floats:
    return np.asarray(values, dtype=np.float64)


@dataclass(frozen=True)
class DetectorKind:
    """A detector's formula.

    Attributes:
        score: Computes scores [n] from features, fitted arrays and constants.
        arrays: Names of the fitted arrays.
    """

    score: Callable[[Features, Arrays, Mapping[str, float]], Floats]
    arrays: tuple[str, ...] = ()


def softmax(logits: Floats) -> Floats:
    """Class probabilities [n, classes] from logits [n, classes]."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float64)


def logsumexp(values: Floats) -> Floats:
    """`ln Σ exp` over the last axis, without overflow."""
    peak = values.max(axis=-1)
    return np.asarray(peak + np.log(np.exp(values - peak[..., None]).sum(axis=-1)), dtype=np.float64)


def unit_rows(vectors: Floats) -> Floats:
    """Rows [n, d] scaled to unit length."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float64)


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
    unit = unit_rows(features.embedding)
    own = _distances(unit, arrays["means"], arrays["whitener"]).min(axis=1)
    return np.asarray(own - _distances(unit, arrays["mean_0"][None], arrays["whitener_0"])[:, 0], dtype=np.float64)


def residual(features: Features, arrays: Arrays, _parameters: Mapping[str, float]) -> Floats:
    """`‖Rᵀ(z − μ₀)‖²`: squared length of the embedding in the subspace of least variance, whitened.

    The residual term of ViM [Wang et al. 2022], without its energy term. Arrays: `mean_0` [d], and `whitener_0`
    [k, d], the k directions of least variance, each divided by its standard deviation.
    """
    distances = _distances(features.embedding, arrays["mean_0"][None], arrays["whitener_0"])
    return np.asarray(distances[:, 0], dtype=np.float64)


def vim(features: Features, arrays: Arrays, parameters: Mapping[str, float]) -> Floats:
    """`α ‖Rᵀ(z − o)‖ − logsumexp(ℓ)`: virtual-logit matching [Wang et al. 2022].

    Arrays: `origin` o [d], `residual` R [k, d], the directions of least variance around the origin. Constant: `alpha`.
    """
    residual_part = np.einsum("nd,kd->nk", features.embedding - arrays["origin"], arrays["residual"], optimize=False)
    length = np.sqrt(np.square(residual_part).sum(axis=1))
    return np.asarray(parameters.get("alpha", 1.0) * length - logsumexp(features.logits), dtype=np.float64)


def oddity(features: Features, _arrays: Arrays, _parameters: Mapping[str, float]) -> Floats:
    """`ln Σ_k exp(κ_k) − κ_0`: log odds of any drawn kind of oddity against ordinary, of the kind logits κ.

    Outlier exposure [Hendrycks et al. 2019] with synthetic oddities.

    Raises:
        KeyError: The backbone has no kinds.
    """
    if features.kind_logits is None:
        raise KeyError("kinds")
    return logsumexp(features.kind_logits[:, 1:]) - features.kind_logits[:, 0]


def _distances(z: Floats, means: NDArray[Any], whitener: NDArray[Any]) -> Floats:
    """Squared Mahalanobis distances [n, classes]."""
    # einsum sums a row in the same order whatever the number of rows; a BLAS product does not guarantee that.
    white = np.einsum("nd,kd->nk", z, whitener, optimize=False)
    white_means = np.einsum("cd,kd->ck", means, whitener, optimize=False)
    return np.stack([np.square(white - mean).sum(axis=1) for mean in white_means], axis=1)


DETECTOR_KINDS: Final[Mapping[str, DetectorKind]] = {
    "msp": DetectorKind(msp),
    "oddity": DetectorKind(oddity),
    "vim": DetectorKind(vim, arrays=("origin", "residual")),
    "energy": DetectorKind(energy),
    "gen": DetectorKind(gen),
    "mahalanobis": DetectorKind(mahalanobis, arrays=("means", "whitener")),
    "residual": DetectorKind(residual, arrays=("mean_0", "whitener_0")),
    "rmds": DetectorKind(rmds, arrays=("means", "whitener", "mean_0", "whitener_0")),
}
"""Every formula, by the `kind` of a bundle's detector."""


def survey_family(survey: str) -> str:
    """The survey's name up to the first hyphen. The simulated surveys are one family: they show the same galaxies."""
    return survey.split("-", maxsplit=1)[0]


@dataclass(frozen=True)
class Detector:
    """A fitted detector.

    Attributes:
        entry: Its formula and constants.
        kind: The formula.
        arrays: Fitted on all surveys together.
        families: Fitted on one survey family each, for the detectors that are: what is usual differs between surveys.
    """

    entry: DetectorEntry
    kind: DetectorKind
    arrays: Arrays
    families: Mapping[str, Arrays] = field(default_factory=dict)

    def score(self, features: Features, survey: str = "") -> Floats:
        """Scores [n] of images of one survey; each depends on its own row of the features only."""
        arrays = self.families.get(survey_family(survey), self.arrays)
        return self.kind.score(features.with_embedding(self.entry.feature), arrays, self.entry.parameters)


def load_detector(entry: DetectorEntry, arrays: Arrays) -> Detector:
    """Build a detector from its entry in the manifest and the arrays of the bundle.

    `<detector>.<array>` are its arrays, `<detector>.<family>.<array>` those of a survey family.

    Raises:
        KeyError: The formula is unknown, or one of its arrays is missing.
    """
    kind = DETECTOR_KINDS[entry.kind]
    own = [name.split(".") for name in arrays if name.startswith(f"{entry.name}.")]
    families = {parts[1] for parts in own if len(parts) == 3}
    return Detector(
        entry=entry,
        kind=kind,
        arrays={name: arrays[f"{entry.name}.{name}"] for name in kind.arrays},
        families={
            family: {name: arrays[f"{entry.name}.{family}.{name}"] for name in kind.arrays} for family in families
        },
    )
