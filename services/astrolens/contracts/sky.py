"""Spherical geometry of sky positions."""

from math import cos, radians, sin


def unit_vector(ra_deg: float, dec_deg: float) -> tuple[float, float, float]:
    """The unit vector (x, y, z) of an ICRS position in degrees."""
    ra, dec = radians(ra_deg), radians(dec_deg)
    return cos(dec) * cos(ra), cos(dec) * sin(ra), sin(dec)
