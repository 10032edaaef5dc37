"""Positions as people type them, and cones as the record store can search them."""

import re
from dataclasses import dataclass

from astrolens.contracts.sky import chord, separation_arcsec, unit_vector

_NUMBER = r"[+-]?\d+(?:\.\d*)?"
_DECIMAL = re.compile(rf"^({_NUMBER})[°d]?[\s,;]+({_NUMBER})[°d]?$")
_SEXAGESIMAL = re.compile(
    r"^(\d{1,2})[:h\s]\s*(\d{1,2})[:m\s]\s*(\d{1,2}(?:\.\d*)?)s?[\s,;]+"
    r"([+-]?)(\d{1,2})[:d°\s]\s*(\d{1,2})[:m'′\s]\s*(\d{1,2}(?:\.\d*)?)[s\"″]?$"
)

_NAME = re.compile(r"^J(\d{2})(\d{2})(\d{2}(?:\.\d*)?)([+-])(\d{2})(\d{2})(\d{2}(?:\.\d*)?)$", re.IGNORECASE)
"""The position in an IAU name, such as J004244.32+411607.5."""


@dataclass(frozen=True, kw_only=True)
class Cone:
    """A circle on the sky, ICRS.

    Attributes:
        ra_deg: Right ascension of the centre, degrees, [0, 360).
        dec_deg: Declination of the centre, degrees, [-90, 90].
        radius_arcsec: Angular radius, arcseconds.
    """

    ra_deg: float
    dec_deg: float
    radius_arcsec: float

    @property
    def vector(self) -> tuple[float, float, float]:
        """The unit vector of the centre."""
        return unit_vector(self.ra_deg, self.dec_deg)

    @property
    def chord(self) -> float:
        """Half the side of the box around the cone: the chord that its radius spans on the unit sphere."""
        return chord(self.radius_arcsec)

    def distance_arcsec(self, x: float, y: float, z: float) -> float:
        """Angular distance of a unit vector from the centre, arcseconds."""
        return separation_arcsec(self.vector, (x, y, z))


def parse_position(text: str) -> tuple[float, float] | None:
    """Read `10.68 +41.27`, `00:42:44 +41:16:09`, `00h42m44s +41d16m09s` or `J004244.32+411607.5`.

    Returns:
        Right ascension and declination in degrees, or None where the text is no position on the sky.
    """
    text = text.strip().replace("−", "-")
    if found := _DECIMAL.match(text):
        ra_deg, dec_deg = float(found[1]), float(found[2])
    elif found := _SEXAGESIMAL.match(text) or _NAME.match(text):
        if max(float(found[2]), float(found[3]), float(found[6]), float(found[7])) >= 60.0:
            return None
        ra_deg = 15.0 * (float(found[1]) + float(found[2]) / 60.0 + float(found[3]) / 3600.0)
        dec_deg = float(found[5]) + float(found[6]) / 60.0 + float(found[7]) / 3600.0
        dec_deg = -dec_deg if found[4] == "-" else dec_deg
    else:
        return None
    if ra_deg == 360.0:
        ra_deg = 0.0
    return (ra_deg, dec_deg) if 0.0 <= ra_deg < 360.0 and -90.0 <= dec_deg <= 90.0 else None
