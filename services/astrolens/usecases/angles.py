"""One angle as people and archives write it: decimal or sexagesimal, in degrees, hours or radians."""

import math
import re
from typing import Final, Literal

AngleUnit = Literal["deg", "hour", "rad", "arcmin", "arcsec", "mas"]
_DEGREES: Final = {
    "deg": 1.0,
    "hour": 15.0,
    "rad": math.degrees(1.0),
    "arcmin": 1 / 60,
    "arcsec": 1 / 3600,
    "mas": 1 / 3_600_000,
}

_DECIMAL: Final = re.compile(r"^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$")
_SEXAGESIMAL: Final = re.compile(
    r"^(?P<sign>[+-]?)\s*(?P<whole>\d{1,3})\s*(?P<unit>[:hHdD°]|\s)\s*"
    r"(?P<minutes>\d{1,2}(?:\.\d*)?)\s*(?:$|['′mM]\s*$|[:mM'′\s]\s*(?P<seconds>\d{1,2}(?:\.\d*)?)\s*(?:s|S|''|[\"″])?$)"
)
_DECIMAL_COMMA: Final = re.compile(r"^([+-]?\d+),(\d+)$")
"""As spreadsheets of half of Europe write it, with semicolons between the cells."""
_AS_TYPED: Final = str.maketrans({"−": "-", "–": "-", "‐": "-", "﹣": "-", "＋": "+", "ʰ": "h", "ᵐ": "m", "ˢ": "s"})
"""Copied from papers: minus, en dash, hyphen, raised letters."""
_WITH_UNIT: Final = re.compile(r"^([+-]?(?:\d+(?:\.\d*)?|\.\d+))\s*(?:(?P<deg>d|deg|°)|(?P<hour>h|hr))$", re.IGNORECASE)


class NoAngle(ValueError):
    """The text is not written as an angle at all; other `ValueError`s are angles that cannot be."""


def parse_ra_deg(text: str, unit: AngleUnit | None = None) -> float:
    """Read a right ascension; sexagesimal text is in hours unless it or its column says degrees.

    Args:
        text: Such as `187.706`, `12:30:49.4`, `12 30 49.4` or `12h30m49.4s`.
        unit: What the column says of its numbers; None is degrees, and hours where the text is sexagesimal.

    Returns:
        Degrees, [0, 360). 360 is 0, and the negative half of -180 to 180 is turned.

    Raises:
        ValueError: It is no right ascension; the message is a clause that continues the name of the column.
    """
    value, written_in = _parse(text)
    sexagesimal = written_in is not None
    if written_in == "colon":
        written_in = "deg" if unit == "deg" else "hour"
    factor = _DEGREES[written_in or unit or "deg"]
    degrees = value * factor
    if not -180.0 <= degrees <= 360.0:
        said = "hours" if factor == 15.0 else "degrees"
        reach = "0 to 24" if factor == 15.0 else "0 to 360"
        why = ": sexagesimal text is read as hours" if sexagesimal and factor == 15.0 else ""
        raise ValueError(f"is {text[:40]!r}, but a right ascension lies in {reach} {said}{why}")
    # A value a hair below zero rounds to 360.0 in the remainder.
    return degrees % 360.0 % 360.0


def parse_dec_deg(text: str, unit: AngleUnit | None = None) -> float:
    """Read a declination, such as `-0.2083`, `-00 12 30` or `+12d23m28s`; minus zero degrees is south.

    Args:
        text: The text.
        unit: What the column says of its numbers; None is degrees. Sexagesimal text is in degrees.

    Raises:
        ValueError: It is no declination; the message is a clause that continues the name of the column.
    """
    value, written_in = _parse(text)
    if written_in == "hour" or (written_in is None and unit == "hour"):
        raise ValueError(f"is {text[:40]!r}: a declination is in degrees, not in hours")
    degrees = value * _DEGREES[unit or "deg"] if written_in is None else value
    if not -90.0 <= degrees <= 90.0:
        raise ValueError(f"is {text[:40]!r}, but a declination lies in -90 to 90 degrees")
    return degrees


def _parse(text: str) -> tuple[float, Literal["colon", "hour", "deg"] | None]:
    """The value with its sign, and how it was written: None for a decimal number."""
    plain = text.strip().translate(_AS_TYPED)
    plain = _DECIMAL_COMMA.sub(r"\1.\2", plain)
    if _DECIMAL.match(plain):
        return float(plain), None
    if found := _WITH_UNIT.match(plain):
        return float(found[1]), "deg" if found["deg"] else "hour"
    found = _SEXAGESIMAL.match(plain)
    if found is None:
        raise NoAngle(f"is {text[:40]!r}, which is no angle: write degrees, or sexagesimal such as 12:30:49 -00:12:30")
    minutes, seconds = float(found["minutes"]), float(found["seconds"] or 0.0)
    if minutes >= 60.0 or seconds >= 60.0:
        raise ValueError(f"is {text[:40]!r}, but minutes and seconds end below 60")
    value = float(found["whole"]) + minutes / 60.0 + seconds / 3600.0
    unit = found["unit"].strip().lower()
    written_in: Literal["colon", "hour", "deg"] = "hour" if unit == "h" else "deg" if unit in {"d", "°"} else "colon"
    # The sign is taken from the text: -00 has lost it as a number.
    return (-value if found["sign"] == "-" else value), written_in
