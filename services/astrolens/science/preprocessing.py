"""Preprocess a cutout to the input of a backbone; trainer and model server both use this implementation.

A view is a centred square of the cutout, of a fixed share of its side or scaled to the central object, resized with an
antialiasing filter; the views are stacked as channels.
Pixels stay 8-bit integers: the backbone's graph normalises them, so that training and serving cannot differ in it.
"""

import json
from collections.abc import Collection, Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from astrolens.contracts.base import Contract
from astrolens.contracts.ids import content_digest
from astrolens.science.object_view import object_view_fraction

Pixels = NDArray[np.uint8]

NamedView = Literal["object", "frame"]
"""`object` is the view of `astrolens.science.object_view`; `frame` the whole frame, reduced by a whole number first: it
is faster than the view 1.0. Another definition needs another name: the digest has the name."""
View = Annotated[float, Field(gt=0.0, le=1.0)] | NamedView

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC, "box": Image.Resampling.BOX}


class PreprocessingSpec(Contract):
    """The preprocessing of one backbone. Its digest is part of the provenance of every analysis."""

    size: int = Field(default=64, ge=8, le=512, description="Side of a view, pixels.")
    views: tuple[View, ...] = Field(
        default=(1.0, 0.4),
        min_length=1,
        max_length=8,
        description="Sides of the centred squares, shares of the frame, or named.",
    )
    resample: Literal["bilinear", "bicubic", "box"] = "bilinear"

    @property
    def channels(self) -> int:
        """Number of input channels: three colours for each view."""
        return 3 * len(self.views)


def preprocessing_digest(spec: PreprocessingSpec) -> str:
    """SHA-256 of the canonical JSON of `spec`, 64 hexadecimal digits."""
    canonical = json.dumps(spec.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return content_digest(canonical.encode())


def preprocess(cutout: Pixels, spec: PreprocessingSpec) -> Pixels:
    """Preprocess one cutout.

    Args:
        cutout: [height, width, 3], 8-bit RGB.
        spec: Views, their size, and the resampling filter.

    Returns:
        [channels, size, size] uint8: view after view, each in the order red, green, blue.

    Raises:
        ValueError: The array is not an 8-bit RGB picture.
    """
    if cutout.dtype != np.uint8 or cutout.ndim != 3 or cutout.shape[2] != 3 or 0 in cutout.shape:
        raise ValueError(f"a cutout is 8-bit [height, width, 3], not {cutout.dtype} {list(cutout.shape)}")
    return preprocess_picture(Image.fromarray(cutout), spec)


def preprocess_picture(
    cutout: Image.Image, spec: PreprocessingSpec, *, places: Collection[int] | None = None
) -> Pixels:
    """Preprocess one cutout that is a decoded RGB picture; see `preprocess`.

    Args:
        cutout: The picture.
        spec: Views, their size, and the resampling filter.
        places: Of the views that are made, all by default; the others are black.
    """
    frame = cutout if cutout.width == cutout.height else Image.fromarray(pad_to_square(np.asarray(cutout)))
    stacked = np.zeros((spec.channels, spec.size, spec.size), dtype=np.uint8)
    for place, view in enumerate(spec.views):
        if places is not None and place not in places:
            continue
        stacked[3 * place : 3 * place + 3] = np.asarray(_view(frame, view, spec)).transpose(2, 0, 1)
    return stacked


def preprocess_many(cutouts: Sequence[Pixels], spec: PreprocessingSpec) -> Pixels:
    """Preprocess several cutouts to one batch [n, channels, size, size]; each row equals the result of `preprocess`."""
    batch = np.empty((len(cutouts), spec.channels, spec.size, spec.size), dtype=np.uint8)
    for row, cutout in zip(batch, cutouts, strict=True):
        row[...] = preprocess(cutout, spec)
    return batch


def _view(frame: Image.Image, view: float | str, spec: PreprocessingSpec) -> Image.Image:
    if view == "frame":
        return frame.resize((spec.size, spec.size), _FILTERS[spec.resample], reducing_gap=1.0)
    return crop_view(frame, object_view_fraction(frame) if view == "object" else float(view), spec.size, spec)


def crop_view(frame: Image.Image, fraction: float, size: int, spec: PreprocessingSpec) -> Image.Image:
    """Cut the centred square of `fraction` of a square frame's side and resize it to `size` pixels."""
    margin = frame.width * (1.0 - fraction) / 2.0
    box = (margin, margin, frame.width - margin, frame.height - margin)
    return frame.resize((size, size), _FILTERS[spec.resample], box=box)


def pad_to_square(cutout: Pixels) -> Pixels:
    """Pad [height, width, 3] to a square with the median colour of its border.

    Cropping would lose what is near the short edges; rescaling would make every galaxy look edge-on.
    """
    height, width, _ = cutout.shape
    if height == width:
        return np.ascontiguousarray(cutout)
    border = np.concatenate((cutout[0], cutout[-1], cutout[:, 0], cutout[:, -1]))
    side = max(height, width)
    square = np.empty((side, side, 3), dtype=np.uint8)
    square[...] = np.median(border, axis=0).astype(np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = cutout
    return square
