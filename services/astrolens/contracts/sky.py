"""Spherical geometry of sky positions."""

from math import asin, cos, degrees, dist, radians, sin


def unit_vector(ra_deg: float, dec_deg: float) -> tuple[float, float, float]:
    """The unit vector (x, y, z) of an ICRS position in degrees."""
    ra, dec = radians(ra_deg), radians(dec_deg)
    return cos(dec) * cos(ra), cos(dec) * sin(ra), sin(dec)


def chord(radius_arcsec: float) -> float:
    """What an angle spans on the unit sphere: half the side of the box around a circle of that radius."""
    return 2.0 * sin(radians(radius_arcsec / 3600.0) / 2.0)


def separation_arcsec(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    """The angle between two unit vectors, arcseconds.

    Taken from the chord, which keeps its precision at small angles where the arc cosine loses it.
    """
    return degrees(2.0 * asin(min(1.0, dist(one, other) / 2.0))) * 3600.0
