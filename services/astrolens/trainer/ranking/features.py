"""What the interest ranking knows of each image: embedding, detectors and kinds of strangeness, as numbers."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from astrolens.platform.stores.records import Document

Rows = NDArray[np.float64]

COMPONENTS: Final = 32
"""Principal components of the embedding."""
_MAX_Z: Final = 4.0
"""Detector scores as normal deviates are clipped here: a p-value of 3e-5."""
_MIN_PROBABILITY: Final = 1e-4

FIELDS: Final = (
    "verdict",
    "rank_score",
    "label",
    "analysis.model_digest",
    "analysis.detectors",
    "analysis.kinds",
    "analysis.embedding",
)
"""Fields of an image's document that are read."""


@dataclass(frozen=True)
class PoolFeatures:
    """Images as the ranking sees them, all of one bundle.

    Attributes:
        image_ids: n.
        features: [n, d] standardised: components of the embedding, detectors, kinds.
        strangeness: [n] the rank score of the analysis; larger is stranger.
        kinds: [n, k] probabilities of kinds of strangeness.
        kind_names: k.
        is_candidate: [n] whether the verdict is not `ordinary`.
    """

    image_ids: tuple[str, ...]
    features: Rows
    strangeness: Rows
    kinds: Rows
    kind_names: tuple[str, ...]
    is_candidate: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.image_ids)


def pool_features(documents: Sequence[Document], *, seed: int = 0) -> PoolFeatures:
    """Features of analysed images of one bundle. Detectors and kinds that not all of them have are left out.

    Args:
        documents: With `FIELDS`.
        seed: Of the components.
    """
    embeddings = np.stack([embedding_of(document) for document in documents])
    analyses = [document["analysis"] for document in documents]
    detectors = _common([analysis["detectors"] or {} for analysis in analyses])
    p_values = np.array([[analysis["detectors"][name]["p_value"] for name in detectors] for analysis in analyses])
    kind_names = _common([analysis["kinds"] or {} for analysis in analyses])
    kinds = np.array([[analysis["kinds"][name] for name in kind_names] for analysis in analyses], dtype=np.float64)
    kinds = kinds.reshape(len(documents), len(kind_names))
    return PoolFeatures(
        image_ids=tuple(document["image_id"] for document in documents),
        features=feature_rows(embeddings, p_values.reshape(len(documents), len(detectors)), kinds, seed=seed),
        strangeness=np.array([document["rank_score"] or 0.0 for document in documents], dtype=np.float64),
        kinds=kinds,
        kind_names=kind_names,
        is_candidate=np.array([document["verdict"] != "ordinary" for document in documents]),
    )


def feature_rows(embeddings: Rows, p_values: Rows, kinds: Rows, *, seed: int = 0) -> Rows:
    """Standardised features [n, d].

    Args:
        embeddings: [n, e].
        p_values: [n, detectors], 0 to 1; they become normal deviates, clipped.
        kinds: [n, k] probabilities; they become logarithms.
        seed: Of the components.
    """
    from scipy.special import ndtri  # noqa: PLC0415 - with scikit-learn two seconds of processor time: at the first
    from sklearn.decomposition import PCA  # noqa: PLC0415 - answers, and not at every start

    count = min(COMPONENTS, *embeddings.shape)
    components = PCA(count, random_state=seed).fit_transform(_standard(embeddings))
    deviates = np.clip(-ndtri(np.clip(p_values, 1e-12, 1.0 - 1e-12)), -_MAX_Z, _MAX_Z)
    logs = np.log(np.maximum(kinds, _MIN_PROBABILITY))
    # The components keep their relative sizes: the first tell more than the last, which are noise.
    components /= max(float(components.std()), 1e-9)
    return np.hstack([components, _standard(deviates), _standard(logs)])


def embedding_of(document: Document) -> Rows:
    """The embedding [e] of a document that was read with it."""
    raw = base64.b64decode(document["analysis"]["embedding"])
    return np.frombuffer(raw, dtype="<f2").astype(np.float64)


def _common(rows: Sequence[dict[str, object]]) -> tuple[str, ...]:
    names = set(rows[0]) if rows else set()
    for row in rows:
        names &= row.keys()
    return tuple(sorted(names))


def _standard(rows: Rows) -> Rows:
    return np.asarray((rows - rows.mean(axis=0)) / np.maximum(rows.std(axis=0), 1e-9))
