"""Refuse images that decode but show nothing: fields without coverage, noise alone, and rendered error messages."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from astrolens.science.coverage import covered_pixels
from astrolens.science.detection import OBJECT_SIGNIFICANCE, WORKING_SIDE, object_significance
from astrolens.science.rejection import ImageRejected
from astrolens.science.stretch import block_mean

_SIGNIFICANCE_IN_ONE_BAND = 7.0
"""More than in the mean: four looks at noise find more than one."""

_COVERED_SHARE = 0.01
"""Of the pixels: a frame with less was not observed."""

_ONE_SURFACE = 2
"""Grey levels: a picture whose values differ by no more is empty."""

_PADDING_TOLERANCE = 1.0
"""Grey levels by which JPEG changes the inside of a constant area."""

_GREY_NOISE = 1.5
"""Grey levels that the noise of an 8-bit picture is at least assumed to have. JPEG at quality 50 leaves so little of
weak noise that single blocks would stand out. The faintest of 8,903 real galaxies is 27 levels above its sky."""

_JPEG_BLOCK = 8
"""Pixels: as far as JPEG mixes an edge with its surroundings."""

_MEASURED_NOISE = 0.1
"""Standard deviations of the sky: the floor of the noise after averaging, for data without any."""

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


def check_picture(picture: Image.Image) -> None:
    """Refuse an 8-bit picture that shows nothing.

    Args:
        picture: RGB or grey.

    Raises:
        ImageRejected: `no-coverage`, `no-object`, `error-page`.
    """
    grey = picture.convert("L")
    if looks_like_text(grey):
        raise ImageRejected("error-page", "It is an error message of the survey's server, rendered as a picture.")
    factor = _reduction(*grey.size)
    values = np.asarray(grey.reduce(factor) if factor > 1 else grey, dtype=np.float32)
    found = object_significance(values, noise_at_least=_GREY_NOISE) >= OBJECT_SIGNIFICANCE
    if not found and np.ptp(np.asarray(grey)) <= _ONE_SURFACE:
        raise ImageRejected("no-coverage", "It shows nothing: all of it is equally bright.")
    if found:
        # What stands out may be the edge of the footprint.
        covered = covered_pixels(values, tolerance=_PADDING_TOLERANCE, blur_pixels=-(-_JPEG_BLOCK // factor))
        if covered is not None:
            _check_covered(covered)
            found = object_significance(values, covered, noise_at_least=_GREY_NOISE) >= OBJECT_SIGNIFICANCE
    if not found:
        raise ImageRejected("no-object", "It shows no object: nothing stands out of the noise.")


def check_measurements(bands: NDArray[np.float32]) -> None:
    """Refuse measured values that show nothing.

    Args:
        bands: [C, H, W] in standard deviations of the sky of each, NaN where not measured.

    Raises:
        ImageRejected: `no-coverage`, `no-object`.
    """
    known = np.isfinite(bands)
    count = np.count_nonzero(known, axis=0)
    covered: NDArray[np.bool_] = count > 0
    _check_covered(covered)
    mean = np.where(covered, np.where(known, bands, 0).sum(axis=0) / np.maximum(count, 1), np.nan).astype(np.float32)
    # An object may be in one band only; the mean finds what is too faint in each.
    if _object_in(mean, OBJECT_SIGNIFICANCE) or (
        len(bands) > 1 and any(_object_in(band, _SIGNIFICANCE_IN_ONE_BAND) for band in bands)
    ):
        return
    raise ImageRejected("no-object", "It shows no object: nothing stands out of the noise of the measured values.")


def _object_in(values: NDArray[np.float32], enough: float) -> bool:
    reduced = block_mean(values[None], _reduction(*values.shape))[0]
    covered = np.isfinite(reduced)
    if np.mean(covered) < _COVERED_SHARE:
        return False
    filled = np.where(covered, reduced, np.float32(0))
    return object_significance(filled, covered, noise_at_least=_MEASURED_NOISE, enough=enough) >= enough


def _check_covered(covered: NDArray[np.bool_]) -> None:
    if np.mean(covered) < _COVERED_SHARE:
        raise ImageRejected("no-coverage", "No exposure covers it: it holds no measured values.")


def _reduction(width: int, height: int) -> int:
    """The factor by which a picture is averaged before it is tested."""
    return max(1, min(max(width, height) // WORKING_SIDE, min(width, height) // 16))


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
