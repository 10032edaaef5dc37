"""Geometry on the celestial sphere for arrays of positions; exact at the poles and across RA = 0.

astropy has the same in units and frames, which cost a hundred times the arithmetic for the few positions of a call.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

ARCSEC: Final = 206_264.80624709636
"""Arcseconds in a radian."""
ARCSEC_PER_DEGREE: Final = 3600.0
_MAS: Final = ARCSEC * 1000.0


def separation_arcsec(ra1_deg: ArrayLike, dec1_deg: ArrayLike, ra2_deg: ArrayLike, dec2_deg: ArrayLike) -> Floats:
    """Angular separation by the haversine, which keeps its precision at small angles.

    Two opposite points lose precision (0.003 arcsec of 180 degrees); no match is so far away.
    """
    ra1, dec1, ra2, dec2 = (np.radians(each) for each in (ra1_deg, dec1_deg, ra2_deg, dec2_deg))
    square = np.sin((dec2 - dec1) / 2.0) ** 2 + np.cos(dec1) * np.cos(dec2) * np.sin((ra2 - ra1) / 2.0) ** 2
    return np.asarray(2.0 * np.arcsin(np.sqrt(np.minimum(square, 1.0))) * ARCSEC, dtype=np.float64)


def position_angle_deg(ra1_deg: ArrayLike, dec1_deg: ArrayLike, ra2_deg: ArrayLike, dec2_deg: ArrayLike) -> Floats:
    """Direction of the second position as seen from the first, from north through east, [0, 360)."""
    ra1, dec1, ra2, dec2 = (np.radians(each) for each in (ra1_deg, dec1_deg, ra2_deg, dec2_deg))
    east = np.cos(dec2) * np.sin(ra2 - ra1)
    north = np.cos(dec1) * np.sin(dec2) - np.sin(dec1) * np.cos(dec2) * np.cos(ra2 - ra1)
    return np.asarray(np.degrees(np.arctan2(east, north)) % 360.0, dtype=np.float64)


def moved(
    ra_deg: ArrayLike, dec_deg: ArrayLike, pm_ra_mas_yr: ArrayLike, pm_dec_mas_yr: ArrayLike, years: ArrayLike
) -> tuple[Floats, Floats]:
    """Positions after a proper motion along a great circle, at the poles too.

    u(t) = u0 + t (p pm_ra* + q pm_dec), normalised: eq. 1.2.16 of the Hipparcos Catalogue (ESA SP-1200, vol. 1) without
    radial motion.

    Args:
        ra_deg: Right ascension at the catalogue's epoch, degrees.
        dec_deg: Declination at that epoch, degrees.
        pm_ra_mas_yr: Proper motion in right ascension times cos(dec), mas a year; NaN: none known.
        pm_dec_mas_yr: Proper motion in declination, mas a year.
        years: From the catalogue's epoch on.
    """
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    east = np.nan_to_num(np.asarray(pm_ra_mas_yr, dtype=np.float64)) * np.asarray(years) / _MAS
    north = np.nan_to_num(np.asarray(pm_dec_mas_yr, dtype=np.float64)) * np.asarray(years) / _MAS
    sin_ra, cos_ra, sin_dec, cos_dec = np.sin(ra), np.cos(ra), np.sin(dec), np.cos(dec)
    x = cos_dec * cos_ra - east * sin_ra - north * sin_dec * cos_ra
    y = cos_dec * sin_ra + east * cos_ra - north * sin_dec * sin_ra
    z = sin_dec + north * cos_dec
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))
