"""Patches of ordinary images, and how far the patches of another image are from them: where an image is strange.

A patch is a place of a map of the backbone's early trunk, described by the map's channels. The codebook is a sample of
the patches of a survey's ordinary images; the distance of a patch is that to its k-th neighbour among them, so that a
few odd patches in the sample are nobody's neighbours (a memory bank of patches: Roth et al. 2022, PatchCore).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from astrolens.contracts.base import Contract
from astrolens.contracts.ids import content_digest
from astrolens.contracts.patch_maps import PATCH_MAP_SIDE
from astrolens.science.bundle import ArraysDamaged, arrays_from_bytes, arrays_to_bytes

PATCH_MAP_VERSION: Final = 1

MIN_IMAGES: Final = 100
"""Ordinary images that a codebook needs: with 100 instead of 300 its maps point as well (docs/science.md)."""
MAX_IMAGES: Final = 300
SAMPLE: Final = 4096
"""Patches that are kept."""
NEIGHBOURS: Final = 5
"""k: the distance to the k-th nearest kept patch counts."""
_SMOOTHING: Final = 0.6
"""Standard deviation of the Gaussian that smooths a map, cells: an oddity seldom fills one cell."""
_REFERENCE_SHARE: Final = 3
"""One image in so many gives no patch to the sample, and tells how far ordinary patches are from it."""
_ORDINARY_QUANTILE: Final = 0.99
_MAX_BYTES: Final = 16 << 20
_MANIFEST: Final = "manifest"

Floats = NDArray[np.float32]


class PatchCodebookDamaged(Exception):
    """The bytes are no codebook, or not the one that was written."""


class PatchCodebookManifest(Contract):
    """Facts of a codebook."""

    version: int = PATCH_MAP_VERSION
    survey: str = Field(description="Survey of its images, or `pooled`.")
    model_digest: str = Field(description="Bundle whose graph described the patches.")
    images: int = Field(ge=1, description="Ordinary images that it was made of.")
    image_ids_digest: str = Field(description="SHA-256 of the ids of its images, sorted, one a line.")
    neighbours: int = Field(ge=1)
    seed: int


@dataclass(frozen=True)
class PatchCodebook:
    """A sample of ordinary patches.

    Attributes:
        manifest: Facts.
        mean: [d] of the signed roots of the channels.
        scale: [d] their standard deviations.
        patches: [m, d] the sample, standardised.
        ordinary: [2] distance of ordinary patches: their median and their upper 1 %.
    """

    manifest: PatchCodebookManifest
    mean: Floats = field(repr=False)
    scale: Floats = field(repr=False)
    patches: Floats = field(repr=False)
    ordinary: NDArray[np.float64] = field(repr=False)

    def distances(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """Distances [n, side, side] of the patches of n images to their k-th neighbour, smoothed.

        Args:
            features: Patches [n, side * side * d], place by place.

        Raises:
            ValueError: They have another number of channels than the codebook.
        """
        places = _places(features, len(self.mean))
        return np.stack([self._of_image(own) for own in (_roots(places) - self.mean) / self.scale])

    def units(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """Distances [n, side, side] in units of ordinary ones: 0 is their median, 1 their farthest 1 %."""
        median, upper = self.ordinary
        return np.asarray((self.distances(features) - median) / max(upper - median, 1e-6), dtype=np.float64)

    def _of_image(self, standard: Floats) -> NDArray[np.float64]:
        from scipy import ndimage  # noqa: PLC0415 - half a second, which the analyzer's start should not wait for

        squared = np.square(standard).sum(axis=1)[:, None] + self._lengths[None, :] - 2.0 * (standard @ self.patches.T)
        nearest = np.partition(squared, self.manifest.neighbours - 1, axis=1)[:, self.manifest.neighbours - 1]
        distances = np.sqrt(np.maximum(nearest, 0.0)).astype(np.float64)
        return np.asarray(ndimage.gaussian_filter(distances.reshape(PATCH_MAP_SIDE, PATCH_MAP_SIDE), _SMOOTHING))

    @cached_property
    def _lengths(self) -> Floats:
        return np.asarray(np.square(self.patches).sum(axis=1), dtype=np.float32)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of its bytes: what a map names as its codebook."""
        return content_digest(self.to_bytes())

    def to_bytes(self) -> bytes:
        """An `.npz` archive without pickle; equal codebooks give equal bytes."""
        text = json.dumps(self.manifest.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode()
        return arrays_to_bytes(
            {
                _MANIFEST: np.frombuffer(text, dtype=np.uint8),
                "mean": self.mean,
                "scale": self.scale,
                "patches": self.patches.astype(np.float16),
                "ordinary": self.ordinary,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read and check a codebook.

        Raises:
            PatchCodebookDamaged: The bytes are malformed.
        """
        try:
            arrays = arrays_from_bytes(data, limit=_MAX_BYTES)
            manifest = PatchCodebookManifest.model_validate_json(arrays[_MANIFEST].astype(np.uint8).tobytes())
            patches = np.asarray(arrays["patches"], dtype=np.float32)
            made = cls(
                manifest=manifest,
                mean=np.asarray(arrays["mean"], dtype=np.float32),
                scale=np.asarray(arrays["scale"], dtype=np.float32),
                patches=patches,
                ordinary=np.asarray(arrays["ordinary"], dtype=np.float64),
            )
        except (ArraysDamaged, KeyError, ValidationError, ValueError) as error:
            raise PatchCodebookDamaged(f"patch codebook: the bytes are no archive of one: {error}") from error
        wide = patches.ndim == 2 and (patches.shape[1],) == made.mean.shape == made.scale.shape
        if not wide or len(patches) < manifest.neighbours or made.ordinary.shape != (2,):
            raise PatchCodebookDamaged("patch codebook: its arrays do not fit each other")
        return made


def fit_patch_codebook(
    features: NDArray[Any],
    *,
    survey: str,
    model_digest: str,
    image_ids: Sequence[str],
    seed: int = 0,
) -> PatchCodebook:
    """Sample the patches of ordinary images.

    The result depends on the images and the seed only, not on the order in which they are given.

    Args:
        features: Patches [n, side * side * d] of n images.
        survey: Whose images they are, or `pooled`.
        model_digest: The bundle whose graph described them.
        image_ids: Ids of the n images.
        seed: Of the sample.

    Raises:
        ValueError: There are fewer than three images, or the shapes do not fit.
    """
    count = len(image_ids)
    if count < _REFERENCE_SHARE or len(features) != count:
        raise ValueError(f"a patch codebook needs {_REFERENCE_SHARE} images and their patches, not {count}")
    cells = PATCH_MAP_SIDE**2
    channels = features.shape[1] // cells
    order = sorted(range(count), key=lambda row: image_ids[row])
    roots = _roots(_places(features[order], channels))
    mean = roots.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
    scale = (roots.std(axis=(0, 1), dtype=np.float64) + 1e-3).astype(np.float32)
    is_reference = np.arange(count) % _REFERENCE_SHARE == 0
    own = ((roots[~is_reference] - mean) / scale).reshape(-1, channels)
    rows = np.random.default_rng(seed).permutation(len(own))[:SAMPLE]
    ids = "\n".join(sorted(image_ids)).encode()
    manifest = PatchCodebookManifest(
        survey=survey,
        model_digest=model_digest,
        images=count,
        image_ids_digest=content_digest(ids),
        neighbours=min(NEIGHBOURS, len(rows)),
        seed=seed,
    )
    # As it is read again: in half precision.
    patches = own[np.sort(rows)].astype(np.float16).astype(np.float32)
    unmeasured = PatchCodebook(manifest, mean, scale, patches, np.array([0.0, 1.0]))
    distances = unmeasured.distances(np.asarray(features)[order][is_reference])
    return PatchCodebook(manifest, mean, scale, patches, np.quantile(distances, (0.5, _ORDINARY_QUANTILE)))


def _places(features: NDArray[Any], channels: int) -> Floats:
    """[n, cells, d] of [n, cells * d]."""
    cells = PATCH_MAP_SIDE**2
    if features.ndim != 2 or channels == 0 or features.shape[1] != cells * channels:
        raise ValueError(f"patches are [n, {cells} * d] with d = {channels}, not {list(features.shape)}")
    return np.asarray(features, dtype=np.float32).reshape(len(features), cells, channels)


def _roots(values: Floats) -> Floats:
    """Signed square roots: they tame bright patches."""
    return np.asarray(np.sign(values) * np.sqrt(np.abs(values)), dtype=np.float32)
