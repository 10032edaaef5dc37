"""Stretch measured values to 8-bit pictures; NaN marks pixels without a measurement.

No stretch spans minimum to maximum, so that one hot pixel cannot turn the rest black.

Colour after Lupton et al. (2004): one asinh curve of the mean intensity scales all bands alike, so that a bright core
keeps its colour.
"""

import numpy as np
from numpy.typing import NDArray

from astrolens.science.coverage import covered_pixels
from astrolens.science.rejection import ImageRejected

_SOFTENING = 3.0
"""Standard deviations of the sky: the curve is linear below and logarithmic above."""

_BLACK = -1.0
"""Standard deviations from the sky level: a little of the noise stays visible, as in survey pictures."""

_WHITE_QUANTILE = 0.998
_WHITE_AT_LEAST = 25.0
"""Standard deviations of the sky: the noise of an empty field must not be stretched to white."""

_SAMPLE_SIZE = 16_384
"""Values that the statistics use: enough for the sky level to 1 % of its noise, at a bounded cost."""


def in_sky_noise(planes: NDArray[np.float32], *, blur_pixels: int = 0) -> NDArray[np.float32]:
    """Give each plane in standard deviations from its sky, NaN where it was not measured.

    Args:
        planes: [C, H, W], any unit, NaN where not measured; padding with a constant is found here.
        blur_pixels: Pixels this near to padding are mixed with it and count as padding.

    Returns:
        [C, H, W]; a plane without coverage is all NaN.

    Raises:
        ImageRejected: `no-coverage` where that holds for all planes.
    """
    scaled = np.full_like(planes, np.nan)
    for index, plane in enumerate(planes):
        covered = covered_pixels(plane, blur_pixels=blur_pixels)
        measured = plane if covered is None else np.where(covered, plane, np.float32(np.nan))
        sky = sky_and_noise(measured)
        if sky is not None:
            scaled[index] = (measured - sky[0]) / sky[1]
    if not np.isfinite(scaled).any():
        raise ImageRejected("no-coverage", "No exposure covers it: all its values are NaN or the same.")
    return scaled


def asinh_rgb(bands: NDArray[np.float32]) -> tuple[NDArray[np.uint8], str]:
    """Apply the asinh stretch of Lupton et al. (2004).

    Args:
        bands: [1, H, W] or [3, H, W], red first, as `in_sky_noise` gives them.

    Returns:
        The picture [H, W, 3] uint8, and a description of the stretch. Pixels without a measurement are as dark as the
        sky; where one band has none, the others give its colour.
    """
    uncovered = [name for name, band in zip(_BANDS, bands, strict=False) if not np.isfinite(band).any()]
    scaled = np.clip(_without_gaps(bands), -1e6, 1e6)
    intensity = scaled.mean(axis=0)
    white = max(float(np.quantile(_sample(intensity), _WHITE_QUANTILE)), _WHITE_AT_LEAST)
    lifted = np.maximum(intensity - _BLACK, 1e-6)
    curve = np.arcsinh(lifted / _SOFTENING) / np.arcsinh((white - _BLACK) / _SOFTENING)
    picture = np.maximum(scaled - _BLACK, 0.0) * (curve / lifted)
    # Where one band would overflow, all are scaled down: clipping alone would turn every bright core white.
    picture /= np.maximum(picture.max(axis=0), 1.0)
    rgb = np.moveaxis(np.broadcast_to(picture, (3, *intensity.shape)), 0, -1)
    words = f"asinh softening={_SOFTENING:g}sigma black={_BLACK:g}sigma white={white:.1f}sigma"
    if uncovered:
        words += f" without coverage in {' and '.join(uncovered)}"
    return np.ascontiguousarray(rgb * 255.0 + 0.5).astype(np.uint8), words


_BANDS = ("red", "green", "blue")


def _without_gaps(bands: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fill what a band did not measure from the others: as for files of two bands, green lies between red and blue."""
    gaps = np.isnan(bands)
    if not gaps.any():
        return bands
    if len(bands) == 3:
        red, green, blue = bands
        no_red, _, no_blue = gaps
        between = np.where(no_red, (green + blue) / 2, np.where(no_blue, (red + green) / 2, (red + blue) / 2))
        one_gap = gaps.sum(axis=0) == 1
        bands = np.stack(
            [
                np.where(one_gap & no_red, green, red),
                np.where(one_gap, between, green),
                np.where(one_gap & no_blue, green, blue),
            ]
        )
        two_gaps = gaps.sum(axis=0) == 2
        bands = np.where(two_gaps, np.nan_to_num(bands, nan=0.0).sum(axis=0), bands)
    filled: NDArray[np.float32] = np.nan_to_num(bands, nan=0.0)
    return filled


def percentile_grey(values: NDArray[np.float32]) -> tuple[NDArray[np.uint8], str]:
    """Stretch a 16-bit picture to 8 bits, linearly between two percentiles.

    Args:
        values: [H, W] or [H, W, 3], of a picture that was stretched before, with more than 8 bits.

    Returns:
        The picture, uint8 of the same shape, and a description of the stretch.

    Raises:
        ImageRejected: `no-coverage` where all values are equal.
    """
    low, high = (float(q) for q in np.quantile(_sample(values), (0.005, 0.998)))
    if not high > low:
        raise ImageRejected("no-coverage", "All its values are the same.")
    picture = np.clip((values - low) / (high - low), 0.0, 1.0)
    return (picture * 255.0 + 0.5).astype(np.uint8), f"percentile 0.5-99.8 ({low:g} to {high:g})"


def sky_and_noise(plane: NDArray[np.float32]) -> tuple[float, float] | None:
    """Sky level and noise of one plane by the median and the median absolute deviation, clipped at 3 sigma.

    Args:
        plane: [H, W], NaN where not measured.

    Returns:
        Level and standard deviation, in the plane's unit; None where all values are NaN or equal.
    """
    values = _sample(plane)
    if values.size < 16:
        return None
    sky = float(np.median(values))
    for _ in range(3):
        deviation = 1.4826 * float(np.median(np.abs(values - sky)))
        if deviation <= 0.0:
            break
        kept = values[np.abs(values - sky) < 3.0 * deviation]
        sky = float(np.median(kept))
    noise = 1.4826 * float(np.median(np.abs(values - sky)))
    if noise <= 0.0:
        # Noise-free data (a model, or integers of few levels): a fraction of the range serves as the noise.
        noise = float(np.quantile(values, 0.998) - sky) / 100.0 or float(values.max() - values.min()) / 1000.0
    return (sky, noise) if noise > 0.0 else None


def block_mean(planes: NDArray[np.generic], factor: int) -> NDArray[np.float32]:
    """Average blocks of `factor` x `factor` pixels without NaN, row of blocks by row of blocks to save memory.

    Args:
        planes: [C, H, W], any number type and byte order.
        factor: At least 1. Incomplete blocks at the end of an axis are dropped.

    Returns:
        [C, H // factor, W // factor], NaN where all of a block is NaN.
    """
    channels, height, width = planes.shape
    if factor == 1:
        return to_float32(planes)
    rows, columns = height // factor, width // factor
    reduced = np.empty((channels, rows, columns), dtype=np.float32)
    for channel in range(channels):
        for row in range(rows):
            strip = to_float32(planes[channel, row * factor : (row + 1) * factor, : columns * factor])
            blocks = strip.reshape(factor, columns, factor)
            known = np.isfinite(blocks)
            count = known.sum(axis=(0, 2))
            total = np.where(known, blocks, 0.0).sum(axis=(0, 2))
            reduced[channel, row] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return reduced


def to_float32(values: NDArray[np.generic]) -> NDArray[np.float32]:
    """The values as float32, NaN where they are not finite or overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        result = values.astype(np.float32)
    result[~np.isfinite(result)] = np.nan
    return result


def _sample(values: NDArray[np.float32]) -> NDArray[np.float32]:
    flat = values.ravel()
    # An odd step visits all columns of a frame whose width is a power of two.
    step = max(1, flat.size // _SAMPLE_SIZE) | 1
    flat = flat[::step]
    return flat[np.isfinite(flat)]
