"""From the values that a file stores to standard deviations of the sky, in float64 until level and spread are taken."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astrolens.science.coverage import covered_pixels
from astrolens.science.facts import PixelFacts
from astrolens.science.padding import border_padding
from astrolens.science.rejection import ImageRejected
from astrolens.science.stretch import Sky, finite_sample, sky_and_noise

_STRIP_PIXELS = 1 << 18
"""Pixels that are converted at once: 2 MiB."""

_MIN_SIDE = 16
"""Pixels that averaging leaves of a narrow strip."""

_MAX_VALUE = 1e9
"""Standard deviations: what is farther from the sky has no meaning, and its square would be no float32."""

_QUANTILES = (0.1587, 0.5, 0.8413)

_HIGH_SENTINEL = 1e6
"""Standard deviations from the sky beyond which the largest value is looked at: a saturated star has up to 10^5."""
_HIGH_GAP = 1e4
"""A sentinel such as 1e30 is this much further from the sky than the largest value below it. Stars fade around."""
_LONE_GAP = 1e9
"""The same for a value that occurs once: as far out as this no hot pixel is."""
_LOW_SENTINEL = 20.0
"""Standard deviations below the sky from which a repeated lowest value is looked at: -999, or dead pixels."""
_LOW_GAP = 0.5
"""There is nothing in the lower half between such a value and the sky."""
_MAX_SENTINELS = 4
_EVERY = 3
"""A third of the sample is enough to see what is 20 standard deviations from the sky."""


@dataclass(frozen=True, slots=True)
class StoredPlanes:
    """Planes of an image as a file stores them. The value of a pixel is stored * `scale` + `zero`.

    Attributes:
        values: [C, H, W], any number type, byte order and strides, top row first.
        names: Of the planes, for people.
        scale: BSCALE; negative where larger is darker.
        zero: BZERO.
        blank: The stored value of pixels that were not measured.
        hidden: [H, W], true where a pixel is transparent.
    """

    values: NDArray[np.generic]
    names: tuple[str, ...]
    scale: float = 1.0
    zero: float = 0.0
    blank: float | None = None
    hidden: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class MeasuredPlanes:
    """Planes in standard deviations of their sky.

    Attributes:
        bands: [C, H, W] float32, NaN where not measured; a plane without coverage is all NaN.
        skies: Of each plane; None for one without coverage.
        pixels_averaged: Pixels of the original in one of `bands`.
        facts: For the record.
    """

    bands: NDArray[np.float32]
    skies: tuple[Sky | None, ...]
    pixels_averaged: int
    facts: PixelFacts


def measure(planes: StoredPlanes, longest_side: int) -> MeasuredPlanes:
    """Average, mask, and express in standard deviations of the sky.

    Args:
        planes: At least 1 plane.
        longest_side: Of the result at least, where the original has as much.

    Raises:
        ImageRejected: `no-coverage` where no plane has coverage.
    """
    # Signalling NaN and values beyond a float64 become what they are: no measurements.
    with np.errstate(all="ignore"):
        return _measured(planes, longest_side)


def _measured(planes: StoredPlanes, longest_side: int) -> MeasuredPlanes:
    height, width = planes.values.shape[1:]
    factor = max(1, min(max(height, width) // longest_side, min(height, width) // _MIN_SIDE))
    bands, shares, skies = [], [], []
    for stored in planes.values:
        reduced, share = _reduced(planes, stored, factor)
        covered = covered_pixels(reduced, blur_pixels=int(factor > 1))
        if covered is not None:
            reduced[~covered] = np.nan
        if (padding := border_padding(reduced)) is not None:
            reduced[padding] = np.nan
        sky = sky_and_noise(reduced)
        if sky is None:
            reduced[:] = np.nan
        else:
            reduced -= sky.level
            reduced /= sky.noise
        bands.append(np.clip(reduced, -_MAX_VALUE, _MAX_VALUE).astype(np.float32))
        shares.append(np.where(np.isfinite(reduced), share, np.float32(0)))
        skies.append(sky)
    if all(sky is None for sky in skies):
        raise ImageRejected("no-coverage", "No exposure covers it: all its values are NaN, blank or the same.")
    first = next(sky for sky in skies if sky is not None)
    facts = PixelFacts(
        masked_share=round(1.0 - float(np.mean(np.max(shares, axis=0))), 6),
        coverage={name: round(float(np.mean(share)), 6) for name, share in zip(planes.names, shares, strict=True)},
        sky_level=first.level,
        noise=first.noise,
    )
    return MeasuredPlanes(np.stack(bands), tuple(skies), factor * factor, facts)


def _reduced(
    planes: StoredPlanes, stored: NDArray[np.generic], factor: int
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """One plane averaged over blocks of `factor` x `factor`, without masked pixels, and their share of each block."""
    masked = [*sentinels(stored, planes.blank)]
    if planes.blank is not None:
        masked.append(planes.blank)
    rows, columns = stored.shape[0] // factor, stored.shape[1] // factor
    reduced = np.empty((rows, columns))
    share = np.ones((rows, columns), dtype=np.float32)
    # A float64 near 2^63 has steps of 1,024.
    is_unsigned = (
        stored.dtype.kind == "i" and stored.dtype.itemsize == 8 and planes.zero == 2.0**63 and planes.scale == 1
    )
    step = max(1, _STRIP_PIXELS // (factor * stored.shape[1]))
    for row in range(0, rows, step):
        end = min(rows, row + step)
        strip = stored[row * factor : end * factor, : columns * factor]
        values = _unsigned(strip).astype(np.float64) if is_unsigned else strip.astype(np.float64)
        for mark in masked:
            values[strip == mark] = np.nan
        if planes.hidden is not None:
            values[planes.hidden[row * factor : end * factor, : columns * factor]] = np.nan
        if planes.scale != 1.0:
            values *= planes.scale
        if planes.zero and not is_unsigned:
            values += planes.zero
        known = np.isfinite(values)
        complete = bool(known.all())
        if factor == 1:
            reduced[row:end] = values if complete else np.where(known, values, np.nan)
            share[row:end] = 1 if complete else known
            continue
        blocks = (end - row, factor, columns, factor)
        if complete:
            reduced[row:end] = values.reshape(blocks).mean(axis=(1, 3))
            continue
        count = known.reshape(blocks).sum(axis=(1, 3))
        total = np.where(known, values, 0.0).reshape(blocks).sum(axis=(1, 3))
        reduced[row:end] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        share[row:end] = count / (factor * factor)
    return reduced, share


def _unsigned(stored: NDArray[np.generic]) -> NDArray[np.uint64]:
    """64-bit integers with BZERO = 2^63, which stand for unsigned ones, exactly."""
    return np.ascontiguousarray(stored, dtype=np.int64).view(np.uint64) ^ np.uint64(1 << 63)


def sentinels(stored: NDArray[np.generic], blank: float | None = None) -> Iterator[float]:
    """Stored values that stand for "not measured": 1e30, -999, dead pixels.

    Args:
        stored: [H, W].
        blank: A value that is known to be none.
    """
    if stored.dtype.itemsize == 1:
        return
    sample = finite_sample(stored)[::_EVERY]
    if blank is not None:
        sample = sample[sample != blank]
    middle, spread = _middle_and_spread(sample)
    if spread == 0.0:
        # Padding that fills more than half of the frame.
        middle, spread = _middle_and_spread(sample[sample != middle])
    if spread == 0.0:
        return
    found = [] if blank is None else [blank]
    for _ in range(_MAX_SENTINELS):
        low, high = _extremes(stored, found)
        candidates = []
        if high > middle + _HIGH_SENTINEL * spread:
            candidates.append((high, True))
        if low < middle - _LOW_SENTINEL * spread:
            candidates.append((low, False))
        new = [value for value, is_high in candidates if _is_sentinel(stored, value, found, middle, is_high=is_high)]
        if not new:
            return
        found += new
        yield from new


def _middle_and_spread(sample: NDArray[np.float64]) -> tuple[float, float]:
    if sample.size < 16:
        return 0.0, 0.0
    places = [int(share * (sample.size - 1)) for share in _QUANTILES]
    low, middle, high = (float(value) for value in np.partition(sample, places)[places])
    return middle, max(high - middle, middle - low)


def _is_sentinel(
    stored: NDArray[np.generic], value: float, found: list[float], middle: float, *, is_high: bool
) -> bool:
    count = int(np.count_nonzero(stored == value))
    low, high = _extremes(stored, [*found, value])
    if is_high:
        gap = (value - middle) / max(high - middle, 1e-300)
        return gap > _LONE_GAP or (count > 1 and gap > _HIGH_GAP)
    return count > 1 and low > value + _LOW_GAP * (middle - value)


def _extremes(stored: NDArray[np.generic], without: list[float]) -> tuple[float, float]:
    """The smallest and the largest finite value, leaving some values out."""
    low, high = math.inf, -math.inf
    step = max(1, _STRIP_PIXELS // stored.shape[1])
    for row in range(0, stored.shape[0], step):
        values = stored[row : row + step]
        kept = None
        if values.dtype.kind == "f":
            kept = np.isfinite(values)
        for value in without:
            other = values != value
            kept = other if kept is None else kept & other
        if kept is not None and not kept.all():
            values = values[kept]
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    return low, high
