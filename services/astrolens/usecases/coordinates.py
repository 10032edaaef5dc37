"""Positions as people type them, and cones as the record store can search them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from astrolens.contracts.sky import chord, separation_arcsec, unit_vector
from astrolens.usecases.angles import NoAngle, parse_dec_deg, parse_ra_deg

_NAME = re.compile(r"^J?(\d{2})(\d{2})(\d{2}(?:\.\d*)?)([+-]\d{2})(\d{2})(\d{2}(?:\.\d*)?)$", re.IGNORECASE)
"""The position in an IAU name, such as J004244.32+411607.5."""
_WORDS = re.compile(r"\b(?:icrs|fk5|j2000(?:\.0)?|r\.?a\.?|dec(?:l\.?)?|α|δ)(?=[\s:=,;]|$)[:=]?", re.IGNORECASE)
"""Words beside the numbers of a copied position, which are left out."""
_MINUS_SIGNS = str.maketrans({"−": "-", "–": "-", "‐": "-", "﹣": "-", "＋": "+", "(": " ", ")": " "})
_HOURS = re.compile(r"^([\d.]+)\s*h$", re.IGNORECASE)
_DEGREES = re.compile(r"(?<=\d)\s*(?:d|deg|degrees)$", re.IGNORECASE)


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
    """Read a position in any form that people and archives write: degrees, hours or sexagesimal, or an IAU name.

    `10.68 +41.27`, `RA=10.68 Dec=41.27`, `00:42:44 +41:16:09`, `0h42m44s, 41d16m09s`, `J004244.32+411607.5`.

    Returns:
        Right ascension and declination in degrees, or None where the text is no position on the sky.
    """
    for ra, dec in _candidates(text):
        try:
            position = _ra_deg(ra), _dec_deg(dec)
        except ValueError:
            continue
        return position
    return None


def impossible_position(text: str) -> str | None:
    """Why a text that is written as a position is none on the sky, a clause; None where it is written otherwise.

    `10 +95`: `the declination is '+95', but a declination lies in -90 to 90 degrees`.
    """
    for halves in _candidates(text):
        faults: list[str] = []
        for name, parse, half in zip(("right ascension", "declination"), (_ra_deg, _dec_deg), halves, strict=True):
            try:
                parse(half)
            except NoAngle:
                break
            except ValueError as error:
                faults.append(f"the {name} {error}")
        else:
            return faults[0] if faults else None
    return None


def _candidates(text: str) -> list[tuple[str, str]]:
    """What of a text may be right ascension and declination, the likeliest first."""
    plain = " ".join(_WORDS.sub(" ", text.translate(_MINUS_SIGNS)).split()).strip(" ,;")
    if found := _NAME.match(plain):
        return [(":".join(found.group(1, 2, 3)), ":".join(found.group(4, 5, 6)))]
    return list(_halves(plain))


def _halves(text: str) -> Iterator[tuple[str, str]]:
    """Where a text may be parted into right ascension and declination."""
    for mark in (";", ","):
        if text.count(mark) == 1:
            ra, dec = text.split(mark)
            yield ra.strip(), dec.strip()
    # The sign of the declination; an exponent's has an e before it.
    if signs := [found.start() for found in re.finditer(r"(?<![eE])[+-]", text) if found.start() > 0]:
        yield text[: signs[-1]].strip(" ,;"), text[signs[-1] :].replace("+ ", "+").replace("- ", "-")
        return
    if len(words := text.split()) == 2:
        yield words[0].strip(",;"), words[1]  # 10,68 41,27: with decimal commas
    parts = re.split(r"[\s,;]+", text)
    if len(parts) in {2, 4, 6}:
        half = len(parts) // 2
        yield " ".join(parts[:half]), " ".join(parts[half:])


def _ra_deg(text: str) -> float:
    if found := _HOURS.match(text):
        return parse_ra_deg(found[1], "hour")
    return parse_ra_deg(_DEGREES.sub("", text))


def _dec_deg(text: str) -> float:
    return parse_dec_deg(_DEGREES.sub("", text))
