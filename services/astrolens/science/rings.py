"""How ring-like the profile of a galaxy is: one number, without training.

The logarithmic slope of every Sérsic profile, d ln I / d ln r = -(b/n) (r/re)^(1/n), falls with radius. A ring, a lens
or a plateau around a core makes it rise. The score is its largest rise: over all radii r1 < r2 within the object the
maximum of slope(r2) - slope(r1), on the elliptical median profile. It is near zero for a Sérsic profile.

docs/decisions/0014-rings-by-their-profile.md says what it finds and what it does not.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from astrolens.science.segmentation import DetectedObject

Profile = NDArray[np.float64]

_RADII: Final = 40
_ANGLES: Final = 64
_REACH: Final = 1.3
"""Outermost radius of the profile, in semi-major axes of the ellipse with the object's area and shape."""
_COMPARED: Final = 28
"""Radii whose slopes are compared, out to 0.93 semi-major axes: beyond, the sky makes the slope rise."""
_FIRST: Final = 2
"""Radii left out at the centre, where the pixels are coarser than the profile."""
_SMOOTHING: Final = 2.0
"""Of the logarithmic profile, in steps of the radius."""
_STRETCH: Final = 2.5
"""The display's asinh curve is undone roughly, by sinh(2.5 x) of the profile in units of its peak."""
_FLOOR: Final = 0.02
"""Of the profile in units of its peak: what is fainter is sky."""
_CENTRE: Final = 0.12
"""The nucleus is the brightest pixel within this share of the shorter side around the picture's centre."""


def ring_score(found: DetectedObject) -> float | None:
    """The largest rise of the profile's logarithmic slope with radius; None where there is no profile.

    Args:
        found: A galaxy in a picture.
    """
    radii, profile = median_profile(found)
    peak = float(profile.max())
    if not peak > 0.0:
        return None
    linear = np.sinh(_STRETCH * profile / peak) / np.sinh(_STRETCH)
    # Behind the last light the floor would make the slope rise: thin galaxies seen from the edge end early.
    end = int(np.flatnonzero(linear > _FLOOR)[-1]) + 1
    logarithm = ndimage.gaussian_filter1d(np.log(np.maximum(linear, _FLOOR)), _SMOOTHING)
    slopes = np.gradient(logarithm, np.log(radii))[_FIRST : min(_COMPARED, end)]
    return float((slopes - np.minimum.accumulate(slopes)).max()) if slopes.size else 0.0


def median_profile(found: DetectedObject) -> tuple[Profile, Profile]:
    """Median of the light along ellipses around the nucleus, with the shape of the object's outline.

    Returns:
        Radii in semi-major axes of the object, and the profile in grey levels, each [40]; 0 outside of the picture.
    """
    light, mask = found.light, ndimage.binary_fill_holes(found.mask)
    row, column = _nucleus(light)
    axis_ratio, angle, semi_major = _ellipse(mask)
    radii = (np.arange(_RADII) + 0.5) / _RADII * _REACH
    theta = np.arange(_ANGLES) / _ANGLES * 2.0 * np.pi
    along = semi_major * radii[:, None] * np.cos(theta)
    across = semi_major * axis_ratio * radii[:, None] * np.sin(theta)
    rows = row + along * np.sin(angle) + across * np.cos(angle)
    columns = column + along * np.cos(angle) - across * np.sin(angle)
    polar = ndimage.map_coordinates(light, [rows, columns], order=1, cval=np.nan)
    seen = np.isfinite(polar).any(axis=1)
    profile = np.zeros(_RADII)
    profile[seen] = np.nanmedian(polar[seen], axis=1)
    return radii, profile


def _nucleus(light: NDArray[np.float64]) -> tuple[int, int]:
    height, width = light.shape
    reach = max(3, round(_CENTRE * min(height, width)))
    top, left = max(0, height // 2 - reach), max(0, width // 2 - reach)
    middle = ndimage.gaussian_filter(light, 1.0)[top : height // 2 + reach + 1, left : width // 2 + reach + 1]
    row, column = np.unravel_index(int(middle.argmax()), middle.shape)
    return top + int(row), left + int(column)


def _ellipse(mask: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Axis ratio, angle from the x axis to the major axis (radians) and semi-major axis (pixels) of an outline."""
    rows, columns = np.nonzero(mask)
    covariance = np.cov(np.stack([columns, rows]).astype(np.float64), bias=True)
    values, vectors = np.linalg.eigh(covariance)
    axis_ratio = float(np.sqrt(max(values[0], 0.3) / max(values[1], 0.3)))
    angle = float(np.arctan2(vectors[1, 1], vectors[0, 1]))
    return axis_ratio, angle, float(np.sqrt(mask.sum() / np.pi / axis_ratio))
