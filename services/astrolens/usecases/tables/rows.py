"""One row of a table: the file that it names, and what it says of it, checked by itself."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from astrolens.contracts.base import utc_text
from astrolens.contracts.records import MAX_BAND_LENGTH, MAX_BANDS, OBJECT_ID_KEY, truncate_extra
from astrolens.usecases.angles import parse_dec_deg, parse_ra_deg
from astrolens.usecases.observation_times import parse_observation_time
from astrolens.usecases.submissions import ImageDescription
from astrolens.usecases.tables.columns import AssignedColumn, ColumnAssignment, plain_name
from astrolens.usecases.tables.frames import ICRS, Frame, parse_frame, to_icrs

_EMPTY: Final = frozenset({"", "nan", "+nan", "-nan", "null", "none", "n/a", "<na>", "--", "\\n", "..."})
"""What programs write where they know nothing: pandas, numpy, SQL, TOPCAT, astropy, CDS."""

_NUMBER: Final = re.compile(r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$")
_WHOLE: Final = re.compile(r"^[+-]?\d+(?:\.0*)?$")
_JULIAN_DATES: Final = frozenset({"jd", "jdobs", "obsjd", "jdutc"})
_MIN_JD: Final = 2_000_000
"""A smaller number is a JD without 2400000 or an MJD, which differ by half a day."""
_EXACT_AS_DOUBLE: Final = 2**53
_MAX_NAME: Final = 200


_FRAME_FIELDS: Final = ("system", "frame", "equinox", "epoch")
_TAKEN_APART: Final = frozenset({"file", "ra_deg", "dec_deg", *_FRAME_FIELDS})
_OLD_EQUINOX: Final = re.compile(r"B|(?:1855|1875|1900|1950)(?:\.0*)?$", re.IGNORECASE)
"""An epoch that is an equinox as well; others are those of proper motions, or of the observation."""
_GIVEN_POSITION: Final = "given_position"
"""In `extra`: the position in the frame of the table."""


class BadRow(Exception):
    """A row that cannot be taken; the message is a sentence without its place."""


@dataclass(frozen=True, slots=True)
class DescribedFile:
    """What one row says.

    Attributes:
        file: As the row names it.
        metadata: Fields of `ImageDescription`, JSON-ready.
        notes: What of the row was not taken, a clause each.
    """

    file: str
    metadata: dict[str, Any]
    notes: tuple[str, ...] = ()


def is_empty(cell: str) -> bool:
    """Whether a cell says nothing: empty and `nan` are equal."""
    return cell.strip().lower() in _EMPTY


def describe(columns: ColumnAssignment, cells: Sequence[str]) -> DescribedFile | None:
    """Read one row.

    Returns:
        None where it names no file.

    Raises:
        BadRow: A value cannot be what its column says.
    """
    reader = _RowReader(cells)
    file = reader.text(columns.fields.get("file"))
    if not file:
        return None
    metadata: dict[str, Any] = {}
    extra: dict[str, str] = {}
    if (position := _position(columns, reader)) is not None:
        metadata["ra_deg"], metadata["dec_deg"] = position.icrs
        extra |= position.as_given
    for name, assigned in columns.fields.items():
        value = reader.text(assigned)
        if name in _TAKEN_APART or not value:
            continue
        _take(name, assigned, value, metadata, extra, reader.notes)
    for assigned in (
        *columns.others,
        *(columns.fields[name] for name in _FRAME_FIELDS if name in columns.fields),
    ):
        if value := reader.text(assigned):
            extra.setdefault(assigned.column.name, value)
    if extra:
        metadata["extra"] = truncate_extra(extra)
    try:
        ImageDescription.model_validate(metadata)
    except ValidationError as error:
        raise BadRow(_sentence(error, columns)) from None
    return DescribedFile(file, metadata, tuple(reader.notes))


class _RowReader:
    """The cells of one row."""

    def __init__(self, cells: Sequence[str]) -> None:
        self._cells = cells
        self.notes: list[str] = []

    def text(self, assigned: AssignedColumn | None) -> str:
        """The cell of a column; empty where the row is short or the cell says nothing."""
        if assigned is None or assigned.index >= len(self._cells):
            return ""
        value = self._cells[assigned.index].strip()
        return "" if is_empty(value) else value


@dataclass(frozen=True, slots=True)
class _Position:
    """ICRS degrees, and the position in its own frame as metadata where that is another one."""

    icrs: tuple[float, float]
    as_given: dict[str, str] = field(default_factory=dict)


def _position(columns: ColumnAssignment, reader: _RowReader) -> _Position | None:
    ra_column, dec_column = columns.fields.get("ra_deg"), columns.fields.get("dec_deg")
    if columns.split_ra:
        ra_column, dec_column = columns.split_ra[0], columns.split_dec[0]
        ra = ":".join(filter(None, (reader.text(assigned) for assigned in columns.split_ra)))
        degrees = ":".join(filter(None, (reader.text(assigned) for assigned in columns.split_dec)))
        dec = f"{reader.text(columns.split_sign)}{degrees}" if degrees else ""
    else:
        ra, dec = reader.text(ra_column), reader.text(dec_column)
    if not ra and not dec:
        return None
    if not ra or not dec:
        given = ra_column if ra else dec_column
        missing = "declination" if ra else "right ascension"
        name = given.column.name if given else "half a position"
        reader.notes.append(f"{name} is given without a {missing}, so it has no position")
        return None
    if columns.unit_is_open and _may_be_radians(ra, dec):
        reader.notes.append(
            f"{columns.fields['ra_deg'].column.name} has no unit, and {ra[:20]} {dec[:20]} may be radians or degrees, "
            "so it has no position: write `coord_ra (deg)` or `coord_ra (rad)`"
        )
        return None
    degrees_given = (
        _parsed(parse_ra_deg, ra, ra_column, unit=None if columns.split_ra else ra_column.unit if ra_column else None),
        _parsed(
            parse_dec_deg,
            dec,
            dec_column,
            unit=None if columns.split_dec else dec_column.unit if dec_column else None,
        ),
    )
    frame = _frame(columns, reader)
    if frame is None:
        return None
    if frame.is_icrs:
        return _Position(degrees_given)
    as_given = f"{frame}: {degrees_given[0]:.7f} {degrees_given[1]:+.7f}"
    return _Position(to_icrs(*degrees_given, frame), {_GIVEN_POSITION: as_given})


def _may_be_radians(ra: str, dec: str) -> bool:
    return (
        all(_NUMBER.match(text) for text in (ra, dec)) and abs(float(ra)) <= math.tau and abs(float(dec)) <= math.pi / 2
    )


def _frame(columns: ColumnAssignment, reader: _RowReader) -> Frame | None:
    """The frame of a row's position; None, with a note, where it is stated and cannot be read."""
    if columns.frame is not None:
        return columns.frame
    system, word, equinox, epoch = (reader.text(columns.fields.get(field)) for field in _FRAME_FIELDS)
    if not system and not _NUMBER.match(word) and parse_frame(word) is not None:
        # Columns of these names may also be the number of a camera's frame, or a planetary system.
        system = word
    if not equinox and _OLD_EQUINOX.match(epoch):
        equinox = epoch
    if not system and not equinox:
        return ICRS
    frame = parse_frame(system, equinox)
    if frame is None or not frame.is_equatorial:
        said = " ".join(filter(None, (system, equinox)))[:40]
        reader.notes.append(f"its frame is {said!r}, which is not read for a right ascension, so it has no position")
        return None
    return frame


def _parsed(parse: Any, text: str, assigned: AssignedColumn | None, **options: Any) -> Any:
    try:
        return parse(text, **options)
    except ValueError as error:
        raise BadRow(f"{assigned.column.name if assigned else 'a value'} {error}") from None


def _take(
    field: str, assigned: AssignedColumn, value: str, metadata: dict[str, Any], extra: dict[str, str], notes: list[str]
) -> None:
    """Put one value where it belongs."""
    name = assigned.column.name
    match field:
        case "observed_at":
            metadata[field] = utc_text(_time(assigned, value))
        case "pixel_scale_arcsec":
            if not _NUMBER.match(value):
                raise BadRow(f"{name} is {value[:40]!r}, but must be a number of arcseconds")
            metadata[field] = float(value)
        case "bands":
            bands = value.replace(";", " ").replace(",", " ").split()
            metadata[field] = [band[:MAX_BAND_LENGTH] for band in bands[:MAX_BANDS]]
        case "object_id":
            identity = _object_id(value)
            if identity is None:
                extra[name] = value
                notes.append(f"{name} is {value[:40]}: a floating-point number has lost digits of an id")
            else:
                extra[OBJECT_ID_KEY] = identity
        case "url" if not value.lower().startswith(("http://", "https://")):
            extra[name] = value  # no link, such as `not yet`, which the console would refuse
        case "name":
            if len(value) > _MAX_NAME:
                notes.append(f"{name} has {len(value)} characters and is cut to {_MAX_NAME}")
            metadata[field] = value[:_MAX_NAME]
        case _:
            metadata[field] = value


def _time(assigned: AssignedColumn, value: str) -> datetime:
    column = assigned.column
    is_jd = column.origin_jd is None and plain_name(column.name) in _JULIAN_DATES
    if is_jd and _NUMBER.match(value) and float(value) < _MIN_JD:
        raise BadRow(
            f"{column.name} is {value[:40]!r}: a Julian date is above 2400000; if 2400000.5 was taken off, "
            "call the column mjd"
        )
    moment: datetime = _parsed(
        parse_observation_time, value, assigned, scale=assigned.scale, origin_jd=column.origin_jd
    )
    return moment


def _object_id(value: str) -> str | None:
    """The survey's number or name of an object, exactly; None where it went through a float and lost digits."""
    if not _NUMBER.match(value) or value.lstrip("+-").isdigit():
        return value
    return str(int(float(value))) if _WHOLE.match(value) and abs(float(value)) < _EXACT_AS_DOUBLE else None


def _sentence(error: ValidationError, columns: ColumnAssignment) -> str:
    fault = error.errors(include_url=False)[0]
    field = str(fault["loc"][0]) if fault["loc"] else "the row"
    assigned = columns.fields.get(field)
    name = assigned.column.name if assigned else field
    given = str(fault["input"])[:40]
    if field == "survey":
        return f"{name} is {given!r}: a survey has lower-case letters, digits and hyphens, such as sdss-dr17"
    return f"{name} is {given!r}: {fault['msg'].removeprefix('Value error, ')}"
