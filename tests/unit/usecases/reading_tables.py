"""Reads tables for tests, from text or a file."""

from io import StringIO
from pathlib import Path
from typing import Any

from astrolens.usecases.tables.columns import assign_columns
from astrolens.usecases.tables.delimited import read_delimited
from astrolens.usecases.tables.reading import open_table
from astrolens.usecases.tables.rows import DescribedFile, describe

OBJECT_ID = 2695378462115010012
"""Beyond 2^53, where a double loses digits."""


def read(text: str) -> list[DescribedFile]:
    table = read_delimited(StringIO(text), name="t.csv")
    columns = assign_columns(table.columns)
    return [one for row in table.rows if (one := describe(columns, row.cells)) is not None]


def opened(path: Path) -> list[DescribedFile]:
    with open_table(path) as table:
        columns = assign_columns(table.columns)
        return [one for row in table.rows if (one := describe(columns, row.cells)) is not None]


def row(text: str) -> dict[str, Any]:
    (only,) = read(text)
    return only.metadata
