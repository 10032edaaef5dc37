"""One-number measures of a picture: what a score must beat to be worth anything."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PIXEL_STATISTICS: Final = (
    "mean",
    "median",
    "maximum",
    "spread",
    "dark-share",
    "bright-share",
    "redness",
    "greenness",
    "colour-spread",
    "border-level",
    "bytes-a-pixel",
)
"""Measures that know nothing of where a pixel is (the level at the border apart)."""

MEASURES: Final = (*PIXEL_STATISTICS, "sharpness", "concentration", "asymmetry")
"""Names, in the order of `measure`. The last three see structure, and asymmetry alone is a fair detector."""

THUMBNAIL_SIDE: Final = 16
"""Pixels; of the pictures that IsolationForest sees."""


def measure(pixels: NDArray[np.uint8], *, bytes_: int) -> NDArray[np.float64]:
    """All measures of one picture.

    Args:
        pixels: [height, width, 3].
        bytes_: Size of the original file.
    """
    colours = pixels.astype(np.float64)
    grey = colours.mean(axis=2)
    height, width = grey.shape
    border = np.concatenate((grey[0], grey[-1], grey[:, 0], grey[:, -1]))
    sky = float(np.median(border))
    light = np.maximum(grey - sky, 0.0)
    y, x = np.mgrid[0:height, 0:width]
    radius = np.hypot((y - (height - 1) / 2) / height, (x - (width - 1) / 2) / width)
    total = max(light.sum(), 1e-9)
    red, green, blue = colours.reshape(-1, 3).mean(axis=0) + 1.0
    return np.array(
        [
            grey.mean(),
            np.median(grey),
            grey.max(),
            grey.std(),
            (grey < 3.0).mean(),
            (grey > 230.0).mean(),
            np.log(red / blue),
            np.log(green**2 / (red * blue)),
            (colours.max(axis=2) - colours.min(axis=2)).mean(),
            sky,
            bytes_ / grey.size,
            np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean(),
            light[radius < 0.125].sum() / total,
            np.abs(light - light[::-1, ::-1]).sum() / total,
        ]
    )


def thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture at [THUMBNAIL_SIDE, THUMBNAIL_SIDE, 3]."""
    small = Image.fromarray(pixels).resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
    return np.asarray(small)
