"""A table while it is read: its columns, and its rows one after the other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from astrolens.platform.errors import AstroLensError
from astrolens.usecases.tables.columns import Column

MAX_TABLE_BYTES: Final = 2 * 2**30
"""Of a table that is read as it streams in."""
MAX_PARSED_BYTES: Final = 256 * 2**20
"""Of a table whose format must be parsed as a whole (VOTable)."""
MAX_COLUMNS: Final = 4096


class TableUnreadable(AstroLensError):
    """The table as a whole cannot be used; the message names it, the reason and what to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        number: Of its line in a text, or of the row in another format, from 1.
        cells: Its values as text, exact for integers.
        fault: Why it cannot be read, None where it can.
    """

    number: int
    cells: Sequence[str]
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table that is open.

    Attributes:
        name: What it is called in sentences.
        columns: Its columns.
        rows: Its rows, read once.
        place: What `Row.number` counts.
    """

    name: str
    columns: Sequence[Column]
    rows: Iterator[Row]
    place: Literal["line", "row"] = "row"
