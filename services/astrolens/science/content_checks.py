"""Refuse images that decode but show nothing: fields without coverage, noise alone, and rendered error messages."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from astrolens.science.coverage import covered_pixels, grown
from astrolens.science.detection import OBJECT_SIGNIFICANCE, WORKING_SIDE, Photons, object_significance
from astrolens.science.facts import PixelFacts
from astrolens.science.measuring import MeasuredPlanes
from astrolens.science.padding import border_padding, border_share
from astrolens.science.rejection import ImageRejected
from astrolens.science.stretch import block_mean

_SIGNIFICANCE_IN_ONE_BAND = 7.0
"""More than in the mean: four looks at noise find more than one."""

_COVERED_SHARE = 0.01
"""Of the pixels: a frame with less was not observed."""

_MAX_MASKED_SHARE = 0.4
"""Of the frame, without measured values of any band: with more the object in the middle is cut, or small in a frame
that looks like nothing that calibrated the model."""

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

_MIN_WINDOW_PX = 4
"""Pixels of the smallest window in which an object is searched."""

_FAINTEST_SKY = 1e-4
"""Photons a pixel."""

_UNKNOWN_SIGNIFICANCE = 1000.0
"""Where too few pixels are covered to tell noise from an object, what is there is taken for one."""

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
_MIN_STEPS_PER_ROW = 10
"""A row through a line of text crosses many strokes. Single sharp stars (hot pixels, synthetic pictures without
seeing) make few steps a row."""
_TEXT_ROW_SHARE = 0.6
"""Share of the steps that lie in rows of `_MIN_STEPS_PER_ROW` or more: 0.9."""
_STEP_LEVELS = 64
"""Grey levels."""
_BRIGHT_LEVELS = 96
"""Grey levels from the background."""


def check_picture(picture: Image.Image) -> PixelFacts:
    """Refuse an 8-bit picture that shows nothing, or of which much is padding.

    Args:
        picture: RGB or grey.

    Returns:
        The share that is padding, and the significance; at least that of an object.

    Raises:
        ImageRejected: `no-coverage`, `no-object`, `error-page`.
    """
    grey = picture.convert("L")
    if looks_like_text(grey):
        raise ImageRejected("error-page", "It is an error message of the survey's server, rendered as a picture.")
    factor = _reduction(*grey.size)
    values = np.asarray(grey.reduce(factor) if factor > 1 else grey, dtype=np.float32)
    significance = object_significance(values, min_noise=_GREY_NOISE)
    if significance < OBJECT_SIGNIFICANCE and np.ptp(np.asarray(grey)) <= _ONE_SURFACE:
        raise ImageRejected("no-coverage", "It shows nothing: all of it is equally bright.")
    blur = -(-_JPEG_BLOCK // factor)
    padding = border_padding(values, tolerance=_PADDING_TOLERANCE, blur_pixels=blur)
    if padding is not None:
        _check_padded(float(np.mean(padding)))
    measured = np.ones(values.shape, dtype=np.bool_) if padding is None else ~padding
    if padding is not None or significance >= OBJECT_SIGNIFICANCE:
        # What stands out may be the edge of the footprint, and padding may hide what does.
        covered = covered_pixels(values, tolerance=_PADDING_TOLERANCE, blur_pixels=blur)
        if covered is not None:
            _check_covered(covered)
            measured &= covered
        if not measured.all():
            looked_at = measured if padding is None else measured & ~grown(padding, blur)
            significance = object_significance(values, looked_at, min_noise=_GREY_NOISE)
    masked_share = round(1.0 - float(np.mean(measured)), 6)
    _check_masked(masked_share)
    if significance < OBJECT_SIGNIFICANCE:
        raise ImageRejected(
            "no-object",
            f"It shows no object: nothing stands out of the noise (significance {significance:.1f}; an object has "
            f"{OBJECT_SIGNIFICANCE} or more).",
        )
    return PixelFacts(
        masked_share=masked_share,
        significance=round(min(significance, _UNKNOWN_SIGNIFICANCE), 3),
    )


def check_measurements(measured: MeasuredPlanes, *, must_show_object: bool = True) -> float:
    """Refuse measured values that show nothing.

    Args:
        measured: In standard deviations of the sky.
        must_show_object: Whether noise alone, and frames of which much was not measured, are refused.

    Returns:
        Their significance.

    Raises:
        ImageRejected: `no-coverage`, `no-object`.
    """
    bands = measured.bands
    known = np.isfinite(bands)
    count = np.count_nonzero(known, axis=0)
    covered: NDArray[np.bool_] = count > 0
    _check_covered(covered)
    if must_show_object:
        _check_padded(border_share(covered))
        _check_masked(measured.facts.masked_share)
    # Of counts one photon more or less is the least difference there is.
    photon = max((1.0 / sky.noise for sky in measured.skies if sky is not None and sky.counts), default=0.0)
    photon /= measured.pixels_averaged
    levels = [sky.level if sky is not None and sky.counts else None for sky in measured.skies]
    if len(bands) == 1:
        significance = _significance(bands[0], photon, OBJECT_SIGNIFICANCE, levels)
    else:
        # An object may be in one band only; the mean finds what is too faint in each.
        total = np.where(known, bands, np.float32(0)).sum(axis=0)
        mean = np.where(covered, total / np.maximum(count, 1), np.float32(np.nan)).astype(np.float32)
        significance = _significance(mean, photon, OBJECT_SIGNIFICANCE, levels)
        if significance < OBJECT_SIGNIFICANCE:
            scale = OBJECT_SIGNIFICANCE / _SIGNIFICANCE_IN_ONE_BAND
            best = max(
                _significance(band, photon, _SIGNIFICANCE_IN_ONE_BAND, [level])
                for band, level in zip(bands, levels, strict=True)
            )
            significance = max(significance, scale * best)
    if must_show_object and significance < OBJECT_SIGNIFICANCE:
        raise ImageRejected(
            "no-object",
            f"It shows no object: nothing stands out of the noise of the measured values (significance "
            f"{significance:.1f}; an object has {OBJECT_SIGNIFICANCE} or more).",
        )
    return significance


def _significance(values: NDArray[np.float32], photon: float, stop_at: float, levels: Sequence[float | None]) -> float:
    """Of a plane, or of the mean of some, in standard deviations of the sky.

    Args:
        values: [H, W].
        photon: One photon in the unit of the values.
        stop_at: The search ends there.
        levels: The sky of each plane in photons a pixel; None where it is not one of few counts.

    Returns:
        0 without coverage, at most `_UNKNOWN_SIGNIFICANCE`.
    """
    factor = _reduction(*values.shape)
    reduced = block_mean(values[None], factor)[0]
    covered = np.isfinite(reduced)
    if np.mean(covered) < _COVERED_SHARE:
        return 0.0
    filled = np.where(covered, reduced, np.float32(0))
    photons = _photons(levels, factor)
    noise = _MEASURED_NOISE
    if photons is None:
        # Only some of its planes are counts, to which Poisson's law does not apply as a whole.
        noise = max(noise, photon / (_MIN_WINDOW_PX * factor * factor))
    found = object_significance(filled, covered, min_noise=noise, stop_at=stop_at, photons=photons)
    return min(found, _UNKNOWN_SIGNIFICANCE)


def _photons(levels: Sequence[float | None], factor: int) -> Photons | None:
    """What the mean of planes of photon counts, each in its own noise, stands for: a count of the same skewness."""
    counts = [max(level, _FAINTEST_SKY) for level in levels if level is not None]
    if not counts or len(counts) < len(levels):
        return None
    planes = len(counts)
    per_pixel = planes**3 / sum(level**-0.5 for level in counts) ** 2
    return Photons(per_pixel * factor**2, (planes * per_pixel) ** 0.5 * factor**2)


def _check_covered(covered: NDArray[np.bool_]) -> None:
    if np.mean(covered) < _COVERED_SHARE:
        raise ImageRejected("no-coverage", "No exposure covers it: it holds no measured values.")


def _check_padded(share: float) -> None:
    if share >= _MAX_MASKED_SHARE:
        raise ImageRejected(
            "no-coverage",
            f"{100.0 * share:.0f} % of it is padding along its border, which nobody measured: cut it off, or take the "
            "object from a frame that covers it.",
        )


def _check_masked(share: float) -> None:
    if share >= _MAX_MASKED_SHARE:
        raise ImageRejected(
            "no-coverage",
            f"{100.0 * share:.0f} % of its pixels have no measured value: take the object from a frame that covers it.",
        )


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
    in_text_rows = int(by_row[by_row >= _MIN_STEPS_PER_ROW].sum())
    return (
        steps >= max(_STEP_SHARE * pixels, _STEPS_PER_BRIGHT_PIXEL * bright) and in_text_rows >= _TEXT_ROW_SHARE * steps
    )
