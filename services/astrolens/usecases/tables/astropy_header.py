"""The YAML header that astropy writes into ECSV and Parquet: units, and the parts of coordinates and times.

A column of sky coordinates is written as two columns of numbers, and its frame stands in the header alone; so does the
scale of a time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from astrolens.usecases.tables.columns import Column

_PARTS: Final = {
    "ra": "pos.eq.ra",
    "dec": "pos.eq.dec",
    "l": "pos.galactic.lon",
    "b": "pos.galactic.lat",
    "sgl": "pos.supergalactic.lon",
    "sgb": "pos.supergalactic.lat",
}
_ECLIPTIC_PARTS: Final = {"lon": "pos.ecliptic.lon", "lat": "pos.ecliptic.lat"}
_ECLIPTIC: Final = "barycentricmeanecliptic"
_MAIN: Final = ";meta.main"


class HeaderUnreadable(Exception):
    """A header states something that cannot be read; the message is a clause that says what.

    Attributes:
        line: Index of the line in the header, from 0; None where no single line is at fault.
    """

    def __init__(self, reason: str, *, line: int | None = None) -> None:
        super().__init__(reason)
        self.line = line


def columns_in_yaml(lines: Sequence[str], names: Sequence[str]) -> list[Column]:
    """The columns with what the header states of them; names alone where it describes no columns.

    Raises:
        HeaderUnreadable: It is no YAML, or describes columns in another form than astropy's. Without it an angle in
            radians would be read as one in degrees.
    """
    from astropy.table.meta import YamlParseError, get_header_from_yaml  # noqa: PLC0415 - half a second

    columns = {name: Column(name) for name in names}
    try:
        header = get_header_from_yaml(list(lines))
    except YamlParseError as error:
        cause = error.__cause__
        mark = getattr(cause, "problem_mark", None)
        reason = getattr(cause, "problem", None) or f"{type(cause).__name__}: {cause}"
        raise HeaderUnreadable(f"{reason}"[:200], line=getattr(mark, "line", None)) from error
    if not isinstance(header, Mapping) or "datatype" not in header:
        return list(columns.values())
    try:
        for one in header["datatype"]:
            if (name := str(one["name"])) in columns:
                columns[name] = Column(name, str(one.get("unit") or ""))
        serialized = dict(header.get("meta") or {}).get("__serialized_columns__", {})
        for name, stated in serialized.items():
            _describe(str(name), stated, columns)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = "`datatype` and `__serialized_columns__` do not describe columns as astropy writes them"
        raise HeaderUnreadable(reason) from error
    return [columns[name] for name in names]


def _describe(name: str, stated: Mapping[str, Any], columns: dict[str, Column]) -> None:
    """Put what is stated of one column of objects into the columns of numbers that it was written as."""
    kind = str(stated["__class__"]).rsplit(".", 1)[-1]
    if kind == "Time" and name in columns:
        columns[name] = replace(columns[name], scale=str(stated.get("scale", "")))
    elif kind == "SkyCoord":
        system = str(stated.get("frame", ""))
        parts = _ECLIPTIC_PARTS if system == _ECLIPTIC else _PARTS
        # Of ICRS and galactic coordinates it means nothing.
        equinox = str(getattr(stated.get("equinox"), "value", ""))
        frame = f"{'ecliptic' if system == _ECLIPTIC else system} {equinox}".strip()
        for part, ucd in parts.items():
            if (whole := f"{name}.{part}") in columns:
                columns[whole] = replace(columns[whole], ucd=ucd + _MAIN, frame=frame)
