"""Places that catalogues are asked about, and distances on the sky."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from math import asin, atan2, cos, degrees, hypot, radians, sin, sqrt
from typing import Final

ARCSEC: Final = 1.0 / 3600.0
"""Degrees in an arcsecond."""


@dataclass(frozen=True)
class Place:
    """A place that catalogues are asked about.

    Attributes:
        key: Names it among the places of one question.
        ra_deg, dec_deg: ICRS.
        observed_at: When the sky was observed there, None if unknown. Catalogues of moving objects need it.
    """

    key: str
    ra_deg: float
    dec_deg: float
    observed_at: datetime | None = None


def separation_arcsec(ra1_deg: float, dec1_deg: float, ra2_deg: float, dec2_deg: float) -> float:
    """Angular distance of two places, by the haversine formula, which holds for small angles and at the poles."""
    ra1, dec1, ra2, dec2 = map(radians, (ra1_deg, dec1_deg, ra2_deg, dec2_deg))
    half = sin((dec2 - dec1) / 2) ** 2 + cos(dec1) * cos(dec2) * sin((ra2 - ra1) / 2) ** 2
    return degrees(2 * asin(min(1.0, sqrt(half)))) / ARCSEC


def position_angle_deg(ra1_deg: float, dec1_deg: float, ra2_deg: float, dec2_deg: float) -> float:
    """Direction from the first place to the second, north through east, 0 to 360 degrees."""
    ra1, dec1, ra2, dec2 = map(radians, (ra1_deg, dec1_deg, ra2_deg, dec2_deg))
    east = sin(ra2 - ra1) * cos(dec2)
    north = cos(dec1) * sin(dec2) - sin(dec1) * cos(dec2) * cos(ra2 - ra1)
    return degrees(atan2(east, north)) % 360.0


def inside_ellipse(
    offset_arcsec: float, direction_deg: float, *, major_arcsec: float, minor_arcsec: float, angle_deg: float
) -> bool:
    """Whether a place lies inside an ellipse of full axes, seen from its centre.

    Args:
        offset_arcsec: Distance of the place from the centre.
        direction_deg: Direction of the place from the centre, north through east.
        major_arcsec: Full major axis.
        minor_arcsec: Full minor axis.
        angle_deg: Position angle of the major axis, north through east.
    """
    turn = radians(direction_deg - angle_deg)
    along, across = offset_arcsec * cos(turn), offset_arcsec * sin(turn)
    return hypot(along / (major_arcsec / 2), across / (minor_arcsec / 2)) <= 1.0


def nearest_of(places: Iterable[Place], ra_deg: float, dec_deg: float) -> tuple[Place, float] | None:
    """The nearest of some places, and its distance in arcsec."""
    found = [(place, separation_arcsec(place.ra_deg, place.dec_deg, ra_deg, dec_deg)) for place in places]
    return min(found, key=lambda each: each[1], default=None)
