"""Tables as text: CSV with any usual delimiter, a BOM, comments and quotes; the TSV of VizieR; ECSV."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Final

from astrolens.usecases.tables.astropy_header import HeaderUnreadable, columns_in_yaml
from astrolens.usecases.tables.columns import Column, assign_columns
from astrolens.usecases.tables.table import MAX_COLUMNS, Row, Table, TableUnreadable

_DELIMITERS: Final = (",", ";", "\t", "|")
_MAX_LINE: Final = 4_000_000
"""Characters. A longer line is no table, and would be held in memory."""
_ECSV: Final = "# %ECSV"
_SEPARATOR_LINE: Final = re.compile(r"\s*\"?sep=.\"?\s*$")
"""Excel's own first line, which names the delimiter."""
_MAX_COMMENTS: Final = 10_000
_RULE: Final = re.compile(r"^[\s\-=+|,;]*-{2}[\s\-=+|,;]*$")
"""The line of dashes below the header of VizieR's tables and of those drawn with characters."""


def read_delimited(lines: Iterable[str], *, name: str) -> Table:
    """Read a table from its lines, as they come.

    Args:
        lines: With or without their ends.
        name: What the table is called in sentences.

    Raises:
        TableUnreadable: There is no header, it cannot be read, or it has too many columns.
    """
    comments: list[tuple[int, str]] = []
    numbered = _without_comments(lines, name, comments)
    found = next(numbered, None)
    if found is None:
        raise TableUnreadable(f"{name} is empty: it has no line with the names of its columns")
    first, header = found
    delimiter = _delimiter(header)
    # The reader asks for more lines where a quoted cell goes on; the number is the last line's of a row.
    position = _Position(first)
    content = position.following(numbered)
    reader = csv.reader(chain([header], content), delimiter=delimiter or " ", skipinitialspace=True)
    try:
        names = [cell.strip() for cell in next(reader)]
    except (csv.Error, StopIteration) as error:
        raise TableUnreadable(f"{name}, line {position.line}: {error or 'the header is empty'}") from None
    if len(names) > MAX_COLUMNS:
        raise TableUnreadable(f"{name} has {len(names)} columns, more than {MAX_COLUMNS}")
    rows = _rows(reader, position)
    if (commented := _names_in_comment(comments, names, delimiter)) is not None:
        return Table(name, [Column(one) for one in commented], chain([Row(first, tuple(names))], rows), place="line")
    head, units = _below_header(rows, len(names))
    if comments and comments[0][1].startswith(_ECSV):
        columns = _ecsv_columns(comments, names, name)
    else:
        columns = [Column(column, unit) for column, unit in zip(names, units, strict=True)]
    return Table(name, columns, chain(head, rows), place="line")


def _ecsv_columns(comments: Sequence[tuple[int, str]], names: Sequence[str], table: str) -> list[Column]:
    """The columns as the comments of an ECSV describe them.

    Raises:
        TableUnreadable: They cannot be read.
    """
    header = comments[1:]
    try:
        return columns_in_yaml([text[1:].removeprefix(" ") for _, text in header], names)
    except HeaderUnreadable as error:
        at_fault = min(error.line, len(header) - 1) if error.line is not None and header else None
        number = comments[0][0] if at_fault is None else header[at_fault][0]
        raise TableUnreadable(
            f"{table}, line {number}: the ECSV header cannot be read ({error}), so the units of its columns are not "
            "known: correct it, or save the table as CSV with units in the names, such as `ra (deg)`"
        ) from error


class _Position:
    """The number of the line that was read last."""

    def __init__(self, line: int) -> None:
        self.line = line

    def following(self, numbered: Iterator[tuple[int, str]]) -> Iterator[str]:
        for self.line, line in numbered:
            yield line


def _names_in_comment(comments: Sequence[tuple[int, str]], header: Sequence[str], delimiter: str) -> list[str] | None:
    """The names of the columns where they stand in the comment above the first row, as numpy and TOPCAT write them."""
    if not comments or "file" in assign_columns([Column(cell) for cell in header]).fields:
        return None
    text = comments[-1][1].lstrip("# \t")
    names = [cell.strip() for cell in text.split(delimiter if delimiter and delimiter in text else None)]
    matches = len(names) == len(header) and "file" in assign_columns([Column(name) for name in names]).fields
    return names if matches else None


def _without_comments(lines: Iterable[str], name: str, comments: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; comments above the header are put into `comments`, with theirs."""
    is_above = True
    for number, line in enumerate(lines, start=1):
        if len(line) > _MAX_LINE:
            raise TableUnreadable(f"{name}, line {number} has more than {_MAX_LINE} characters: this is no table")
        text = line.lstrip("\ufeff") if number == 1 else line
        if number == 1 and _SEPARATOR_LINE.match(text):
            continue
        if text.lstrip().startswith("#"):
            if is_above and len(comments) < _MAX_COMMENTS:
                comments.append((number, text.rstrip()))
        elif text.strip():
            is_above = False
            yield number, text.replace("\x00", "")


def _delimiter(header: str) -> str:
    """The delimiter of a header; a blank where it has none of the usual ones and several words (ECSV)."""
    outside = re.sub(r'"[^"]*"', "", header)
    best = max(_DELIMITERS, key=outside.count)
    if outside.count(best):
        return best
    return " " if len(outside.split()) > 1 else ","


def _below_header(rows: Iterator[Row], width: int) -> tuple[list[Row], list[str]]:
    """The rows read while looking for a line of dashes, and the units that stood between header and dashes."""
    seen: list[Row] = []
    for row in islice(rows, 2):
        filled = [cell for cell in row.cells if cell.strip()]
        if filled and all(_RULE.match(cell) for cell in filled):
            units = list(seen[0].cells) if seen else []
            return [], [*units, *[""] * width][:width]
        seen.append(row)
    return seen, [""] * width


def _rows(reader: Iterator[list[str]], position: _Position) -> Iterator[Row]:
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(position.line, (), fault=f"cannot be read: {error}")
            continue
        yield Row(position.line, tuple(cells))
