"""Reads VOTable replies, and believes none that says, or shows, that something went wrong.

Services report failures in many ways, all of them with HTTP 200: an INFO `QUERY_STATUS` of ERROR or OVERFLOW, INFOs
named `Error`, a PARAM named `Error` beside a `QUERY_STATUS` of OK, an HTML page, a document that ends in the middle, a
column that was renamed. Each is an exception here, so that none can be read as an empty result.
"""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from astrolens.crossref.failures import CatalogueFailed, TooManyRows

if TYPE_CHECKING:
    from astropy.io.votable.tree import Info, Param, Resource, TableElement, VOTableFile

Row = dict[str, Any]

_BINARY: Final = re.compile(rb"<\s*(?:\w+:)?(?:STREAM|FITS|BINARY2?)\b", re.IGNORECASE)
_ENTITY: Final = re.compile(rb"<!\s*(?:ENTITY|DOCTYPE)", re.IGNORECASE)
_START: Final = re.compile(rb"^(?:\xef\xbb\xbf)?\s*<")
_UNITS: Final = {"degrees": "deg", "degree": "deg", "mas.yr-1": "mas/yr", "mas / yr": "mas/yr", "mag(AB)": "mag"}


@dataclass(frozen=True)
class Column:
    """A column that a reply must have, or may have.

    Attributes:
        key: What the reader calls it.
        names: Its names, case ignored; services rename their columns.
        ucds: UCDs that identify it where no name does.
        units: Units that it may have; empty for any.
        needed: Whether a reply without it is no answer.
    """

    key: str
    names: tuple[str, ...]
    ucds: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    needed: bool = False


def read_rows(
    body: bytes,
    columns: Sequence[Column],
    *,
    host: str,
    needs_status: bool = True,
    may_lack_table: bool = False,
    table_name: str | None = None,
) -> list[Row]:
    """The rows of a table of a reply, with the values of the declared columns; masked values are None.

    Args:
        body: The reply.
        columns: The declared schema.
        host: Server, for sentences.
        needs_status: Whether a reply without `QUERY_STATUS` is incomplete (TAP, DALI 1.1, 4.4).
        may_lack_table: Whether a reply that says OK and has no table is an empty answer of this service.
        table_name: Which table, where a reply has several: what the others report is not its own. None for the first.

    Raises:
        TooManyRows: The service cut the result off.
        CatalogueFailed: Anything else that makes it no answer.
    """
    document = _parse(body, host)
    tables = [table for table in document.iter_tables() if table_name in {None, table.name}]
    others = [] if table_name is None else [one for one in document.resources if tables and tables[0] not in one.tables]
    _check_status(document, host, needs_status=needs_status, leave_out=others)
    if not tables:
        if may_lack_table:
            return []
        raise CatalogueFailed("no-table", f"{host} says that all is well and sends no table")
    table = tables[0]
    chosen = _choose_columns(table, columns, host)
    return list(_rows(table, chosen))


def _parse(body: bytes, host: str) -> "VOTableFile":
    if not body.strip():
        raise CatalogueFailed("empty-reply", f"{host} sends an empty reply")
    head = body[:4096]
    if not _START.match(head) or b"VOTABLE" not in head:
        text = re.sub(r"\s+", " ", re.sub(rb"<[^>]*>", b" ", head).decode("utf-8", "replace")).strip()
        raise CatalogueFailed("not-a-votable", f"{host} sends no VOTable but {text[:160]!r}")
    if _ENTITY.search(body) or _BINARY.search(body):
        # Astropy would fetch what a STREAM refers to.
        raise CatalogueFailed("unsafe-reply", f"{host} sends a VOTable with streams or entities, which are not read")
    from astropy.io import votable  # noqa: PLC0415 - a second of processor time, which no start should wait for
    from astropy.io.votable.exceptions import VOTableSpecError, VOWarning  # noqa: PLC0415

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VOWarning)
            warnings.simplefilter("ignore", UserWarning)
            return votable.parse(BytesIO(body), verify="ignore")
    except (ValueError, TypeError, IndexError, KeyError, VOTableSpecError) as error:
        raise CatalogueFailed("broken-reply", f"{host} sends a VOTable that cannot be read: {error}"[:300]) from error


def _check_status(document: "VOTableFile", host: str, *, needs_status: bool, leave_out: "Sequence[Resource]") -> None:
    statuses: list[Info] = []
    for element in _notes(document, leave_out):
        name = (element.name or element.ID or "").strip().lower()
        if name == "query_status":
            statuses.append(element)
        elif name == "error" or (element.ID or "").strip().lower() == "error":
            text = _text(element)
            raise CatalogueFailed("reported-error", f"{host} reports: {text or 'an error without a text'}"[:300])
    values = [(str(info.value or "").strip().upper(), info) for info in statuses]
    for value, info in values:
        if value == "OVERFLOW":
            raise TooManyRows(f"{host} has more rows than it sends")
        if value != "OK":
            text = str(getattr(info, "content", None) or "").strip()
            raise CatalogueFailed("reported-error", f"{host} reports {value or 'no status'}: {text}"[:300])
    if needs_status and not values:
        raise CatalogueFailed("no-status", f"{host} sends a reply without QUERY_STATUS, which may be incomplete")


def _notes(document: "VOTableFile", leave_out: "Sequence[Resource]") -> "Iterator[Info | Param]":
    """Every INFO and PARAM, wherever it stands, those that are declared as errors before the status."""
    found: list[Info | Param] = [*document.infos, *document.params]
    pending: list[Resource] = [one for one in document.resources if not any(one is each for each in leave_out)]
    while pending:
        resource = pending.pop()
        found += [*resource.infos, *resource.params]
        pending += resource.resources
        for table in resource.tables:
            found += [*table.infos, *table.params]
    yield from found


def _text(element: "Info | Param") -> str:
    value = element.value
    text = str(value if value is not None else "").strip()
    content = str(getattr(element, "content", None) or "").strip()
    return " ".join(part for part in (text, content) if part)


def _choose_columns(table: "TableElement", columns: Sequence[Column], host: str) -> dict[str, str]:
    """The name in the table's array of each declared column that is there."""
    by_name = {field.name.strip().lower(): field for field in reversed(table.fields) if field.name}
    by_ucd = {str(field.ucd).lower(): field for field in reversed(table.fields) if field.ucd}
    chosen: dict[str, str] = {}
    for column in columns:
        field = next((by_name[name.lower()] for name in column.names if name.lower() in by_name), None)
        field = field or next((by_ucd[ucd.lower()] for ucd in column.ucds if ucd.lower() in by_ucd), None)
        if field is None:
            if column.needed:
                raise CatalogueFailed(
                    "column-missing", f"{host} sends no column {column.names[0]!r}: its table has changed"
                )
            continue
        unit = _UNITS.get(str(field.unit or ""), str(field.unit or "")).replace(" ", "")
        if column.units and unit not in column.units:
            raise CatalogueFailed(
                "unit-changed", f"{host} sends {column.names[0]!r} in {unit or 'no unit'}, not in {column.units[0]}"
            )
        chosen[column.key] = field.ID
    return chosen


def _rows(table: "TableElement", chosen: Mapping[str, str]) -> Iterator[Row]:
    array = table.array
    if array is None or not len(array):
        return
    values = {key: (array[name].tolist() if name in (array.dtype.names or ()) else []) for key, name in chosen.items()}
    for number in range(len(array)):
        yield {key: _value(column[number]) for key, column in values.items()}


def _value(value: Any) -> Any:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, float) and not isfinite(value):
        return None
    return value
