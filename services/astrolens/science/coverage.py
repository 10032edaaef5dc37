"""Which pixels of a frame were measured: not those outside the footprint, which files fill with one constant value."""

import numpy as np
from numpy.typing import NDArray

_PADDING_SHARE = 0.01
"""Of the frame: less than a hundredth with one value is chance, not padding."""

_WITH_MEASURED_NEIGHBOUR = 0.8
"""Share of the pixels with another value whose right neighbour has another value too: 0.99 inside a footprint, 0.02 in
a map of photon counts, where most pixels are 0 because they were measured so."""

_STEP_AT_THE_EDGE = 0.5
"""A footprint ends in the middle of the sky. The pixels along its edge differ from the padding as much as all others
do (ratio of the medians: 1). A sky that is clipped at black fades instead: around a galaxy the ratio is below 0.3."""

_EVEN = 0.1
"""JPEG spoils up to 8 pixels along the edge. Beyond them the sky is level again; around a galaxy it still fades."""

_STEP_IN_TOLERANCES = 8.0
"""The sky is at least this far from the padding: black padding cannot be told from a sky that is nearly black."""

_DEEP_PIXELS = 64
"""Fewer pixels away from the edge do not tell a level sky from the top of an object."""

_ISLAND_SHARE = 0.25
"""Of the frame: what is smaller, lies in the middle and stands on one value is an object on a clean sky. Footprints
are larger, or reach the border of the frame."""

_CORRELATED = 0.5
"""Correlation of neighbouring pixels: noise has 0, and 0.4 where it was resampled once; light that the seeing has
blurred has 0.9. Of 14,701 real cutouts none comes so far."""

_AREA_PIXELS = 2
"""Padding comes in areas of 5 x 5 pixels or more; equal values of measured pixels are scattered."""

_EDGE_PIXELS = 2
"""Width of the strip along the edge."""


def covered_pixels(
    values: NDArray[np.floating], *, tolerance: float = 0.0, blur_pixels: int = 0
) -> NDArray[np.bool_] | None:
    """Find what was measured: all but NaN and padding.

    Padding is one constant value (that of a corner, or 0) in areas of 5 x 5 pixels or more, with a sharp edge.

    Args:
        values: [H, W], NaN where not measured.
        tolerance: Values this near to the constant are padding too (JPEG blurs it).
        blur_pixels: Pixels this near to padding are left out too: they are mixed with it.

    Returns:
        [H, W], true where measured; None where all is.
    """
    covered: NDArray[np.bool_] | None = None
    known = np.isfinite(values)
    if not known.all():
        covered = known if blur_pixels == 0 else ~grown(~known, blur_pixels)
    for constant in sorted(_constants(values, tolerance)):
        padding = _padding(values, known, constant, tolerance, blur_pixels)
        if padding is not None:
            return ~padding if covered is None else covered & ~padding
    return covered


def _constants(values: NDArray[np.floating], tolerance: float) -> set[float]:
    """What padding may be: the value of each corner that has one value only, and 0 where 0 means exactly that."""
    constants = set() if tolerance else {0.0}
    size = 2 * _AREA_PIXELS + 1
    for rows in (slice(None, size), slice(-size, None)):
        for columns in (slice(None, size), slice(-size, None)):
            corner = values[rows, columns]
            # False for NaN.
            if corner.max() - corner.min() <= 2 * tolerance:
                constants.add(float(np.median(corner)))
    return constants


def _padding(
    values: NDArray[np.floating], known: NDArray[np.bool_], constant: float, tolerance: float, blur_pixels: int
) -> NDArray[np.bool_] | None:
    """Pixels that are padding with one constant; None where there is none."""
    with np.errstate(invalid="ignore"):
        distance = np.abs(values - constant)
        same = distance <= tolerance
    if np.count_nonzero(same) < _PADDING_SHARE * same.size:
        return None
    other = ~same & known
    left, right = other[:, :-1], other[:, 1:]
    if np.count_nonzero(left & right) < _WITH_MEASURED_NEIGHBOUR * np.count_nonzero(left & known[:, 1:]):
        return None
    # Beyond the frame padding goes on, so that a strip of one row or column is found too.
    outside = np.pad(same, 2 * _AREA_PIXELS, constant_values=True)
    areas = grown(_shrunk(outside, _AREA_PIXELS), _AREA_PIXELS)
    padding = areas[2 * _AREA_PIXELS : -2 * _AREA_PIXELS, 2 * _AREA_PIXELS : -2 * _AREA_PIXELS] & same
    if np.count_nonzero(padding) < _PADDING_SHARE * padding.size:
        return None
    mixed = grown(padding, blur_pixels) if blur_pixels else padding
    inside = known & ~mixed
    if blur_pixels and _is_object_on_flat_sky(distance, known & ~padding, inside, mixed, tolerance):
        return None
    if inside.any():
        level = float(np.median(distance[inside]))
        at_the_edge = float(np.median(distance[grown(padding, _EDGE_PIXELS) & other]))
        beyond = distance[grown(mixed, _EDGE_PIXELS) & inside]
        beyond_the_blur = float(np.median(beyond)) if blur_pixels and beyond.size else 0.0
        sharp = at_the_edge >= _STEP_AT_THE_EDGE * level or abs(beyond_the_blur - level) <= _EVEN * level
        if level < _STEP_IN_TOLERANCES * tolerance or not sharp:
            return None
    return mixed


def _is_object_on_flat_sky(
    distance: NDArray[np.floating],
    region: NDArray[np.bool_],
    inside: NDArray[np.bool_],
    mixed: NDArray[np.bool_],
    tolerance: float,
) -> bool:
    """Whether the constant value of an 8-bit picture is its sky, clipped or without noise, rather than padding.

    Args:
        distance: [H, W], from the constant.
        region: What has other values.
        inside: The part of it beyond the blur.
        mixed: The padding with its blur.
        tolerance: Values this near to each other are one.
    """
    deep = inside & ~grown(mixed, _EDGE_PIXELS)
    if np.count_nonzero(deep) < _DEEP_PIXELS:
        # A star or a small galaxy: nothing is far enough from its edge to tell a footprint.
        return True
    values = distance[deep]
    beyond = inside & ~deep
    rise = float(np.median(values)) - float(np.median(distance[beyond])) if beyond.any() else 0.0
    if rise > _EVEN * float(np.median(values)):
        # It grows brighter inwards, as far as can be seen.
        return True
    border = region[0].any() or region[-1].any() or region[:, 0].any() or region[:, -1].any()
    is_smooth = float(np.ptp(values)) <= 2 * tolerance
    if border or not (is_smooth or float(np.mean(region)) < _ISLAND_SHARE):
        return False
    return is_smooth or _neighbour_correlation(distance, deep) > _CORRELATED


def _neighbour_correlation(values: NDArray[np.floating], region: NDArray[np.bool_]) -> float:
    """Correlation of the values of horizontal neighbours in a region; 1 where there are too few to tell."""
    both = region[:, :-1] & region[:, 1:]
    left, right = values[:, :-1][both].astype(np.float64), values[:, 1:][both].astype(np.float64)
    if left.size < _DEEP_PIXELS or left.std() == 0.0 or right.std() == 0.0:
        return 1.0
    return float(np.corrcoef(left, right)[0, 1])


def _shrunk(area: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """The pixels whose whole neighbourhood lies in the area or beyond the frame."""
    return ~grown(~area, pixels)


def grown(area: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """The area and all pixels within a square of 2 `pixels` + 1 around it."""
    for _ in range(pixels):
        taller = area.copy()
        taller[1:] |= area[:-1]
        taller[:-1] |= area[1:]
        area = taller.copy()
        area[:, 1:] |= taller[:, :-1]
        area[:, :-1] |= taller[:, 1:]
    return area
