"""From a cutout to what the backbone eats: the one implementation that trainer and model server share.

Each view is a square of the cutout, resized with an antialiasing filter by Pillow; the views are stacked as channels.
Pixels stay 8-bit integers here: the backbone's graph normalises them, so that nothing can differ between the two users.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from astrolens.contracts.base import Contract

Pixels = NDArray[np.uint8]

ViewFraction = Annotated[float, Field(gt=0.0, le=1.0)]

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC, "box": Image.Resampling.BOX}


class PreprocessingSpec(Contract):
    """How a cutout becomes the input of one backbone."""

    size: int = Field(default=64, ge=8, le=512, description="Side of a view, pixels.")
    views: tuple[ViewFraction, ...] = Field(
        default=(1.0, 0.4),
        min_length=1,
        max_length=8,
        description="Sides of the centred squares, shares of the frame.",
    )
    resample: Literal["bilinear", "bicubic", "box"] = "bilinear"

    @property
    def channels(self) -> int:
        """Three colours a view."""
        return 3 * len(self.views)


def preprocessing_digest(spec: PreprocessingSpec) -> str:
    """SHA-256 of the canonical JSON of `spec`: part of the provenance of every analysis."""
    canonical = json.dumps(spec.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def preprocess(cutout: Pixels, spec: PreprocessingSpec) -> Pixels:
    """One cutout as the backbone's input.

    Args:
        cutout: [height, width, 3], 8-bit RGB.
        spec: Views, their size and the filter.

    Returns:
        [channels, size, size], 8-bit, view after view, red, green, blue within a view.

    Raises:
        ValueError: The array is no 8-bit RGB picture.
    """
    if cutout.dtype != np.uint8 or cutout.ndim != 3 or cutout.shape[2] != 3 or 0 in cutout.shape:
        raise ValueError(f"a cutout is 8-bit [height, width, 3], not {cutout.dtype} {list(cutout.shape)}")
    frame = Image.fromarray(squared(cutout))
    views = [np.asarray(view_of(frame, fraction, spec.size, spec)) for fraction in spec.views]
    return np.ascontiguousarray(np.concatenate(views, axis=2).transpose(2, 0, 1))


def preprocess_many(cutouts: Sequence[Pixels], spec: PreprocessingSpec) -> Pixels:
    """Several cutouts as one batch [n, channels, size, size]; every row is what `preprocess` gives alone."""
    batch = np.empty((len(cutouts), spec.channels, spec.size, spec.size), dtype=np.uint8)
    for row, cutout in zip(batch, cutouts, strict=True):
        row[...] = preprocess(cutout, spec)
    return batch


def view_of(frame: Image.Image, fraction: float, size: int, spec: PreprocessingSpec) -> Image.Image:
    """The centred square of `fraction` of a square frame, resized to `size` pixels."""
    margin = frame.width * (1.0 - fraction) / 2.0
    box = (margin, margin, frame.width - margin, frame.height - margin)
    return frame.resize((size, size), _FILTERS[spec.resample], box=box)


def squared(cutout: Pixels) -> Pixels:
    """The frame, padded to a square by the median colour of its border.

    Cutting it to a square would hide what lies at its ends; squeezing it would make every galaxy look edge-on.
    """
    height, width, _ = cutout.shape
    if height == width:
        return np.ascontiguousarray(cutout)
    border = np.concatenate((cutout[0], cutout[-1], cutout[:, 0], cutout[:, -1]))
    side = max(height, width)
    squared = np.empty((side, side, 3), dtype=np.uint8)
    squared[...] = np.median(border, axis=0).astype(np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    squared[top : top + height, left : left + width] = cutout
    return squared
