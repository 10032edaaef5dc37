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

_MAX_PEELED = 4
"""Bands within bands that are looked for."""

_CORNER = 8
"""A corner is an eighth of what lies within the bands: what is round does not reach it."""

_MIN_CORNER_SHARE = 0.5
"""Of the pixels of each corner that differ from the padding."""

_MIN_INSIDE_BLOCKS = 4
"""Of what is within bands: the blocks of a JPEG smear a smaller object into a square."""


def border_padding(
    values: NDArray[np.floating], *, tolerance: float = 0.0, blur_pixels: int = 1
) -> NDArray[np.bool_] | None:
    """Find rows and columns that repeat the one at the border, up to where the picture begins.

    Bands are peeled off until none is left: one around the frame, then one around what is within it. Measured rows
    never equal each other: of 14,701 real pictures of the sky none has such a band, but those that were padded, and
    four of a survey's frames without data.

    Args:
        values: [H, W]; NaN where not measured.
        tolerance: Values this near to each other are equal.
        blur_pixels: Rows of a JPEG's block, in which the edge of the padding is smeared.

    Returns:
        [H, W], true in the bands; None where there is none.
    """
    padding = np.ones(values.shape, dtype=np.bool_)
    rows, columns = slice(0, values.shape[0]), slice(0, values.shape[1])
    for _ in range(_MAX_PEELED):
        top, bottom, left, right = _bands(values[rows, columns], tolerance, blur_pixels)
        if not top + bottom + left + right:
            break
        rows = slice(rows.start + top, rows.stop - bottom)
        columns = slice(columns.start + left, columns.stop - right)
    padding[rows, columns] = False
    return padding if padding.any() else None


def _bands(values: NDArray[np.floating], tolerance: float, blur_pixels: int) -> tuple[int, int, int, int]:
    """Lines of the bands at the top, the bottom, the left and the right of a frame; 0 where there is none."""
    turned = (values, values[::-1], values.T, values.T[::-1])
    counts = [_equal_lines(lines, tolerance, blur_pixels) for lines in turned]
    top, bottom, left, right = counts
    height, width = values.shape
    if top + bottom >= height or left + right >= width:
        # One surface is no padding: other tests tell it.
        return 0, 0, 0, 0
    found = [
        count if count and _is_broken(lines, count, slice(None), tolerance, blur_pixels) else 0
        for lines, count in zip(turned, counts, strict=True)
    ]
    if found != counts and sum(count > 0 for count in counts) > 1:
        # Behind a band at the top the one at the left goes on: only what is within all bands must differ.
        within = [slice(left, width - right)] * 2 + [slice(top, height - bottom)] * 2
        broken = (
            count == 0 or _is_broken(lines, count, part, tolerance, blur_pixels)
            for lines, count, part in zip(turned, counts, within, strict=True)
        )
        if all(broken) and _fills_its_corners(values, (top, bottom, left, right), tolerance, blur_pixels):
            return top, bottom, left, right
    return found[0], found[1], found[2], found[3]


def _equal_lines(lines: NDArray[np.floating], tolerance: float, blur_pixels: int) -> int:
    """How many of the first lines equal the first one; 0 where they are too few for a band."""
    equal: NDArray[np.bool_] = np.all(_distance(lines, lines[0]) <= tolerance, axis=1)
    count = len(equal) if equal.all() else int(np.argmin(equal))
    return count if count >= max(blur_pixels + 1, _MIN_LINES) else 0


def _is_broken(lines: NDArray[np.floating], count: int, part: slice, tolerance: float, blur_pixels: int) -> bool:
    """Whether the picture begins behind a band of `count` lines along its whole length, or that part of it."""
    edge = max(blur_pixels, _MIN_LINES)
    distance = _distance(lines[count:, part], lines[0, part])
    if np.mean((distance[:edge] > 0.0).any(axis=0)) < _MIN_BROKEN_SHARE:
        return False
    # A JPEG smears the edge.
    if not _is_smooth(lines[count : count + 2 * edge, part], tolerance):
        return True
    beyond = distance[edge:]
    is_wide = len(beyond) >= _MIN_PICTURE_SHARE * len(lines)
    return is_wide and float(np.mean(beyond <= tolerance)) <= _MAX_RETURNED_SHARE


def _fills_its_corners(
    values: NDArray[np.floating], bands: tuple[int, int, int, int], tolerance: float, blur_pixels: int
) -> bool:
    """Whether the frame within bands is a picture with four corners; an object on a sky without noise has none."""
    top, bottom, left, right = bands
    height, width = values.shape[0] - top - bottom, values.shape[1] - left - right
    if min(height, width) < _MIN_INSIDE_BLOCKS * blur_pixels:
        return False
    rows, columns = max(2, height // _CORNER), max(2, width // _CORNER)
    inside = values[top : top + height, left : left + width]
    for row, rows_of in ((0, slice(None, rows)), (-1, slice(-rows, None))):
        for column, columns_of in ((0, slice(None, columns)), (-1, slice(-columns, None))):
            differs = _distance(inside[rows_of, columns_of], values[row, column]) > tolerance
            if float(np.mean(differs)) < _MIN_CORNER_SHARE:
                return False
    return True


def _distance(lines: NDArray[np.floating], other: NDArray[np.floating] | np.floating) -> NDArray[np.floating]:
    """How far values are from each other: 0 where neither was measured, infinite where one was."""
    with np.errstate(invalid="ignore"):
        distance = np.nan_to_num(np.abs(lines - other), nan=np.inf)
    distance[np.isnan(lines) & np.isnan(other)] = 0.0
    return distance


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
