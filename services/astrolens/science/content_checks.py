"""Refuse pictures that decode but show no sky: blank fields, and error messages rendered as a picture."""

import numpy as np
from PIL import Image

from astrolens.science.rejection import ImageRejected

_BLANK_CONTRAST = 3.0
"""Grey levels (of 255) between the brightest small patch and the typical one; the faintest of 8,903 real galaxies
has 27."""

_PATCHES = 64
"""Patches along a side: averaging over them removes the noise and keeps every object."""

_TEXT_CROP = 768
"""Pixels: an error message begins at the upper left corner."""

# Criteria for text. Each comment gives two measurements: the error page that SkyServer sent, and the nearest of 8,902
# real pictures of the sky. All four criteria must hold, which leaves a wide margin: no picture of the sky has both
# noise-free rows and one hard edge for two bright pixels.
# Limit: text in a JPEG of more than about 1,000 pixels a side is not found, because it is decoded at half size or less.
_FLAT_SHARE = 0.6
"""Share of pixels within one level of the background: 0.87; 0.85 in the emptiest field."""
_BACKGROUND_ROW_SHARE = 0.1
"""Share of rows that hold only background (between the lines of text): 0.73; 0.15."""
_STEP_SHARE = 0.001
"""Pairs of horizontal neighbours that differ by `_STEP_LEVELS` or more, per pixel: 0.037; 0.010 (bands misaligned)."""
_STEPS_PER_BRIGHT_PIXEL = 0.5
"""The same, per bright pixel: 1.28. The seeing softens stars, which reach this only in a noisy picture."""
_STEPS_IN_A_ROW = 10
"""A row through a line of text crosses many strokes. Single sharp stars (hot pixels, synthetic pictures without
seeing) make few steps a row."""
_TEXT_ROW_SHARE = 0.6
"""Share of the steps that lie in rows of `_STEPS_IN_A_ROW` or more: 0.9."""
_STEP_LEVELS = 64
"""Grey levels."""
_BRIGHT_LEVELS = 96
"""Grey levels from the background."""


def check_content(picture: Image.Image) -> None:
    """Refuse a picture that shows no sky.

    Args:
        picture: RGB or grey.

    Raises:
        ImageRejected: `blank-field`, `error-page`.
    """
    grey = picture.convert("L")
    patches = np.asarray(grey.resize((_PATCHES, _PATCHES), Image.Resampling.BOX, reducing_gap=2.0), dtype=np.float32)
    typical = float(np.median(patches))
    if max(float(patches.max()) - typical, typical - float(patches.min())) < _BLANK_CONTRAST:
        raise ImageRejected("blank-field", "It shows nothing: all of it is equally bright.")
    if looks_like_text(grey):
        raise ImageRejected("error-page", "It is an error message of the survey's server, rendered as a picture.")


def looks_like_text(grey: Image.Image) -> bool:
    """Whether a grey picture is text: strokes with hard edges, in rows, on a background without noise."""
    if max(grey.size) > _TEXT_CROP:
        grey = grey.crop((0, 0, min(grey.width, _TEXT_CROP), min(grey.height, _TEXT_CROP)))
    histogram = grey.histogram()
    background = max(range(256), key=histogram.__getitem__)
    pixels = grey.width * grey.height
    if sum(histogram[max(background - 1, 0) : background + 2]) < _FLAT_SHARE * pixels:
        return False
    values = np.asarray(grey)
    distance = np.maximum(values, background) - np.minimum(values, background)
    if np.mean((distance <= 2).all(axis=1)) < _BACKGROUND_ROW_SHARE:
        return False
    left, right = values[:, :-1], values[:, 1:]
    by_row = np.count_nonzero(np.maximum(left, right) - np.minimum(left, right) >= _STEP_LEVELS, axis=1)
    steps = int(by_row.sum())
    bright = np.count_nonzero(distance >= _BRIGHT_LEVELS)
    in_text_rows = int(by_row[by_row >= _STEPS_IN_A_ROW].sum())
    return (
        steps >= max(_STEP_SHARE * pixels, _STEPS_PER_BRIGHT_PIXEL * bright) and in_text_rows >= _TEXT_ROW_SHARE * steps
    )
