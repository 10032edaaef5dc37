"""The frames in which tables give positions, and the way from them to ICRS."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

_EQUINOX: Final = re.compile(r"([BJ]?)\s*((?:18|19|20)\d\d(?:\.\d*)?)$")
_SEPARATORS: Final = re.compile(r"[\s/_(),;:]+")
_SYSTEMS: Final = {
    "ICRS": "icrs",
    "ICRF": "icrs",
    "FK5": "fk5",
    "FK4": "fk4",
    "FK4-NO-E": "fk4-no-e",
    "GALACTIC": "galactic",
    "GAL": "galactic",
    "SUPERGALACTIC": "supergalactic",
    "ECLIPTIC": "ecliptic",
    "ECL": "ecliptic",
}
_SAYS_NOTHING: Final = frozenset({"EQ", "EQUATORIAL", "MEAN", ""})
_FIRST_OF_FK5: Final = 1984.0
"""FITS standard 4.0, section 8.3: an earlier equinox is one of FK4."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A celestial reference system.

    Attributes:
        system: `icrs`, `fk5`, `fk4`, `fk4-no-e`, `galactic`, `supergalactic` or `ecliptic`.
        equinox: Year, Besselian of FK4 and Julian of others; None where it has none.
    """

    system: str
    equinox: float | None = None

    @property
    def is_icrs(self) -> bool:
        """Whether its positions are taken as they are: ICRS and FK5 J2000 differ by less than 0.1 arcsec."""
        return self.system == "icrs" or (self.system == "fk5" and self.equinox in {None, 2000.0})

    @property
    def is_equatorial(self) -> bool:
        """Whether it has a right ascension and a declination."""
        return self.system in {"icrs", "fk5", "fk4", "fk4-no-e"}

    def __str__(self) -> str:
        if self.equinox is None:
            return self.system.upper() if self.is_equatorial else self.system
        return f"{self.system.upper()} {'B' if self.system.startswith('fk4') else 'J'}{self.equinox:g}"


ICRS: Final = Frame("icrs")
_GALACTIC: Final = Frame("galactic")
_SUPERGALACTIC: Final = Frame("supergalactic")
_ECLIPTIC: Final = Frame("ecliptic", 2000.0)
UNKNOWN: Final = Frame("unknown")
"""Of positions in a frame that is stated and not known."""

LONGITUDES: Final[tuple[tuple[str, str, Frame], ...]] = (
    *(("glon", "glat", _GALACTIC), ("gallon", "gallat", _GALACTIC)),
    *(("galacticlongitude", "galacticlatitude", _GALACTIC), ("gall", "galb", _GALACTIC)),
    *(("sglon", "sglat", _SUPERGALACTIC), ("sgl", "sgb", _SUPERGALACTIC)),
    *(("elon", "elat", _ECLIPTIC), ("ecllon", "ecllat", _ECLIPTIC), ("eclon", "eclat", _ECLIPTIC)),
    *(("eclipticlongitude", "eclipticlatitude", _ECLIPTIC),),
)
"""Names of columns with longitude and latitude, as `columns.plain_name` makes them. The ecliptic is that of J2000."""
LONGITUDES_WITH_UNIT: Final = ("l", "b", _GALACTIC)
"""Galactic where an angle's unit is said: alone these letters are a luminosity, a magnitude, a width as well."""
LONGITUDE_UCDS: Final[tuple[tuple[str, str, Frame], ...]] = (
    *(("pos.galactic.lon", "pos.galactic.lat", _GALACTIC), ("pos.gal.lon", "pos.gal.lat", _GALACTIC)),
    ("pos.supergalactic.lon", "pos.supergalactic.lat", _SUPERGALACTIC),
    *(("pos.ecliptic.lon", "pos.ecliptic.lat", _ECLIPTIC), ("pos.ec.lon", "pos.ec.lat", _ECLIPTIC)),
)
"""The same by UCD1+, and by the older UCDs with points for underscores."""


def parse_frame(*texts: str) -> Frame | None:
    """The frame that texts name together, such as `FK4`, `eq_FK5 J1975` or `ICRS` and `2000`; None for other words.

    An equinox alone is one of FK4 before 1984 or with a B, and else of FK5.
    """
    system, letter, equinox = "", "", None
    for token in (token for text in texts for token in _SEPARATORS.split(text.strip().upper())):
        if token in _SYSTEMS:
            # `ecl_FK4` is ecliptic.
            system = system or _SYSTEMS[token]
        elif found := _EQUINOX.match(token):
            letter, equinox = found[1], float(found[2])
        elif token not in _SAYS_NOTHING:
            return None
    if not system and equinox is None:
        return None
    if not system:
        system = "fk4" if letter == "B" or (letter != "J" and (equinox or 0.0) < _FIRST_OF_FK5) else "fk5"
    if system in {"icrs", "galactic", "supergalactic"}:
        return Frame(system)
    return Frame(system, equinox if equinox is not None else 1950.0 if system.startswith("fk4") else 2000.0)


def to_icrs(longitude_deg: float, latitude_deg: float, frame: Frame) -> tuple[float, float]:
    """A position in degrees as ICRS right ascension and declination."""
    if frame.is_icrs:
        return longitude_deg, latitude_deg
    from astropy import coordinates, units  # noqa: PLC0415 - few tables need it

    position = coordinates.UnitSphericalRepresentation(longitude_deg * units.deg, latitude_deg * units.deg)
    icrs = coordinates.SkyCoord(_astropy_frame(frame).realize_frame(position)).icrs
    return float(icrs.ra.deg) % 360.0, float(icrs.dec.deg)


@lru_cache(maxsize=64)
def _astropy_frame(frame: Frame) -> Any:
    from astropy import coordinates  # noqa: PLC0415
    from astropy.time import Time  # noqa: PLC0415

    if frame.system == "galactic":
        return coordinates.Galactic()
    if frame.system == "supergalactic":
        return coordinates.Supergalactic()
    equinox = Time(frame.equinox, format="byear" if frame.system.startswith("fk4") else "jyear")
    classes = {
        "fk5": coordinates.FK5,
        "fk4": coordinates.FK4,
        "fk4-no-e": coordinates.FK4NoETerms,
        "ecliptic": coordinates.BarycentricMeanEcliptic,
    }
    return classes[frame.system](equinox=equinox)
