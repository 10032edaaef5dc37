"""Stretch measured values to 8-bit pictures; NaN marks pixels without a measurement.

No stretch spans minimum to maximum, so that one hot pixel cannot turn the rest black.

Colour after Lupton et al. (2004): one asinh curve of the mean intensity scales all bands alike, so that a bright core
keeps its colour.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SOFTENING = 3.0
"""Standard deviations of the sky: the curve is linear below and logarithmic above."""

_BLACK = -1.0
"""Standard deviations from the sky level: a little of the noise stays visible, as in survey pictures."""

_WHITE_QUANTILE = 0.998
_MIN_WHITE = 25.0
"""Standard deviations of the sky: the noise of an empty field must not be stretched to white."""

_MAX_COPIED = 1 << 20
_SAMPLE_SIZE = 16_384
"""Values that the statistics use: enough for the sky level to 1 % of its noise, at a bounded cost."""


def asinh_rgb(bands: NDArray[np.float32]) -> tuple[NDArray[np.uint8], str]:
    """Apply the asinh stretch of Lupton et al. (2004).

    Args:
        bands: [1, H, W] or [3, H, W], red first, in standard deviations of the sky, NaN where not measured.

    Returns:
        The picture [H, W, 3] uint8, and a description of the stretch. Pixels without a measurement are as dark as the
        sky; where one band has none, the others give its colour.
    """
    uncovered = [name for name, band in zip(_BANDS, bands, strict=False) if not np.isfinite(band).any()]
    scaled = np.clip(_without_gaps(bands), -1e6, 1e6)
    intensity = scaled.mean(axis=0)
    white = max(float(np.quantile(finite_sample(intensity), _WHITE_QUANTILE)), _MIN_WHITE)
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


@dataclass(frozen=True, slots=True)
class Sky:
    """Level and noise of the sky, in the unit of the values.

    Attributes:
        level: Of the sky.
        noise: Standard deviation.
        counts: Whether the values are so few counts that their noise is that of a Poisson process.
    """

    level: float
    noise: float
    counts: bool = False

    @property
    def shown_noise(self) -> float:
        """What the stretch takes for the noise: of counts at least one, so that a single photon is not white."""
        return max(self.noise, 1.0) if self.counts else self.noise


_FEW_COUNTS = 10.0
"""Median of counts below which the median deviation is too coarse to give their noise."""


def _median(values: NDArray[np.float64]) -> float:
    """The upper median: numpy's own takes three times as long, to look for NaN and for the mean of two."""
    return float(np.partition(values, values.size // 2)[values.size // 2])


_FEW_LEVELS = 1024
_DIGITISATION = 12**-0.5
"""Standard deviation of what rounding to a step of 1 leaves."""


def sky_and_noise(plane: NDArray[np.floating]) -> Sky | None:
    """Sky level and noise of one plane by the median and the median absolute deviation, clipped at 3 sigma.

    Of few counts (integers from 0) the noise is the root of their mean, as in a Poisson process.

    Args:
        plane: [H, W], NaN where not measured.

    Returns:
        None where all values are NaN or equal.
    """
    values = finite_sample(plane)
    if values.size < 16:
        return None
    sky = _median(values)
    if 0.0 <= sky < _FEW_COUNTS and (counts := _of_counts(values)) is not None:
        return counts
    for _ in range(3):
        deviation = 1.4826 * _median(np.abs(values - sky))
        if deviation <= 0.0:
            break
        kept = values[np.abs(values - sky) < 3.0 * deviation]
        sky = _median(kept)
    noise = 1.4826 * _median(np.abs(values - sky))
    if noise <= 0.0:
        noise = _quantised_noise(values, sky)
    if noise <= 0.0:
        # Noise-free data, such as a model: a fraction of the range serves as the noise.
        noise = float(np.quantile(values, 0.998) - sky) / 100.0 or float(values.max() - values.min()) / 1000.0
    return Sky(sky, noise) if noise > 0.0 else None


def _quantised_noise(values: NDArray[np.float64], sky: float) -> float:
    """Noise that is less than the step of digitisation, of which the median deviation is 0; 0 for other data."""
    levels = np.unique(values)
    if not 1 < levels.size <= _FEW_LEVELS:
        return 0.0
    step = float(np.diff(levels).min())
    near = values[np.abs(values - sky) <= 2.0 * step]
    return max(float(near.std()), _DIGITISATION * step)


def _of_counts(values: NDArray[np.float64]) -> Sky | None:
    """The sky of few counts: their mean without sources; None where the values are no counts, or all the same."""
    if values.min() < 0.0 or values.max() == values.min() or not np.array_equal(values, np.floor(values)):
        return None
    level = float(np.median(values))
    for _ in range(5):
        level = float(values[values <= level + 5.0 * max(np.sqrt(level), 1.0)].mean())
    # Without any photon in the sky, one in the whole sample is the bound on its level.
    return Sky(level, float(np.sqrt(max(level, 1.0 / values.size))), counts=True)


def finite_sample(values: NDArray[np.generic]) -> NDArray[np.float64]:
    """About `_SAMPLE_SIZE` of the finite values, evenly spread, as float64."""
    # An odd step visits all columns of a frame whose width is a power of two.
    step = max(1, values.size // _SAMPLE_SIZE) | 1
    # Iterating is slow, and copying a large view of a file takes as much memory as the file.
    picked = values.ravel()[::step] if values.size <= _MAX_COPIED else values.flat[::step]
    sample: NDArray[np.float64] = picked.astype(np.float64)
    return sample[np.isfinite(sample)]


def block_mean(planes: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Average blocks of `factor` x `factor` pixels without NaN.

    Args:
        planes: [C, H, W].
        factor: At least 1. Incomplete blocks at the end of an axis are dropped.

    Returns:
        [C, H // factor, W // factor], NaN where all of a block is NaN.
    """
    if factor == 1:
        return planes
    channels, height, width = planes.shape
    rows, columns = height // factor, width // factor
    blocks = planes[:, : rows * factor, : columns * factor].reshape(channels, rows, factor, columns, factor)
    known = np.isfinite(blocks)
    if known.all():
        mean: NDArray[np.float32] = blocks.mean(axis=(2, 4), dtype=np.float32)
        return mean
    count = known.sum(axis=(2, 4))
    total = np.where(known, blocks, np.float32(0)).sum(axis=(2, 4))
    return np.where(count > 0, total / np.maximum(count, 1), np.float32(np.nan)).astype(np.float32)
