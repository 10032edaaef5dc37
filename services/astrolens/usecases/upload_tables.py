"""A table that comes with an upload in the browser: what it says of each file, by the file's name."""

from dataclasses import dataclass
from typing import Any

from astrolens.platform.stores.records import Document
from astrolens.usecases.tables.columns import assign_columns, file_column_names
from astrolens.usecases.tables.delimited import read_delimited
from astrolens.usecases.tables.rows import BadRow, describe
from astrolens.usecases.tables.table import TableUnreadable

MAX_FAULTS = 5
"""Faults of lines that are told; a table of another kind has one in each."""


@dataclass(frozen=True)
class DescribedFiles:
    """What a table says.

    Attributes:
        files: Observations as `POST /api/images` takes them, by the lower-case name of the file without folders.
        faults: What is wrong with lines, the first `MAX_FAULTS`.
    """

    files: dict[str, Document]
    faults: list[str]


def describe_files(text: str, *, name: str) -> DescribedFiles:
    """Read a table of files and what is known of them: CSV and its relatives, columns as `astrolens ingest` reads them.

    Args:
        text: The table.
        name: What it is called in sentences.

    Raises:
        TableUnreadable: It has no header, or no column that names files.
    """
    table = read_delimited(text.splitlines(), name=name)
    assignment = assign_columns(table.columns)
    if "file" not in assignment.fields:
        names = ", ".join(file_column_names())
        raise TableUnreadable(f"{name} has no column that names files: call one of {names}")
    files: dict[str, dict[str, Any]] = {}
    faults: list[str] = []
    for row in table.rows:
        try:
            described = None if row.fault else describe(assignment, row.cells)
        except BadRow as error:
            faults.append(f"line {row.number}: {error}")
            continue
        if row.fault:
            faults.append(f"line {row.number} {row.fault}")
        elif described is not None:
            files[described.file.replace("\\", "/").rsplit("/", 1)[-1].lower()] = described.metadata
    more = len(faults) - MAX_FAULTS
    return DescribedFiles(files, faults[:MAX_FAULTS] + ([f"and {more} more lines"] if more > 0 else []))
