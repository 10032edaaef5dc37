"""Bands along the border of a frame that were filled and not measured: with one value, or with the edge repeated."""

import numpy as np
from numpy.typing import NDArray

_MIN_LINES = 3
"""Rows or columns: fewer that equal each other are chance, or a blank line of a detector. In a JPEG of a smooth sky the
eight rows of a block may be equal."""

_MIN_BROKEN_SHARE = 0.7
"""Padding ends along a whole row or column at once: so many of the pixels behind it differ. An object on a sky without
noise ends a band of equal rows with its tip, a few pixels wide; eight rows on, a round one is a third of the frame."""

_PIXELS_A_TURN = 12
"""The measured sky behind padding has noise, whose brightness along a line turns from rising to falling and back every
few pixels. An object on a sky without noise, such as an edge-on galaxy as wide as the frame, rises and falls once."""

_MIN_TURNS = 6
"""The blocks of a JPEG give the smooth light of a small object up to five."""

_MAX_RETURNED_SHARE = 0.1
"""The value of padding seldom comes again behind it; that of a sky without noise does, beyond the object."""

_MIN_PICTURE_SHARE = 0.4
"""Of the frame: an object at the border, behind which no sky comes, is narrower."""


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
        edge = max(blur_pixels, _MIN_LINES)
        broken = (distance[count : count + edge] > 0.0).any(axis=0)
        is_padding = np.mean(broken) >= _MIN_BROKEN_SHARE
        # A JPEG smears the edge.
        if is_padding and _is_smooth(lines[count : count + 2 * edge], tolerance):
            beyond = distance[count + edge :]
            is_wide = len(beyond) >= _MIN_PICTURE_SHARE * len(lines)
            is_padding = is_wide and np.mean(beyond <= tolerance) <= _MAX_RETURNED_SHARE
        if is_padding:
            band[:count] = True


def _is_smooth(lines: NDArray[np.floating], tolerance: float) -> bool:
    """Whether brightness turns seldom along each of the lines; steps within `tolerance` are none."""
    for line in lines:
        steps = np.diff(line[np.isfinite(line)])
        rising = steps[np.abs(steps) > tolerance] > 0
        if np.count_nonzero(rising[1:] != rising[:-1]) >= max(_MIN_TURNS, line.size / _PIXELS_A_TURN):
            return False
    return True


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
