"""A table that comes with an upload in the browser: what it says of each file, by the file's name."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from astrolens.platform.stores.records import Document
from astrolens.usecases.plurals import plural
from astrolens.usecases.tables.columns import assign_columns, file_column_names
from astrolens.usecases.tables.delimited import read_delimited
from astrolens.usecases.tables.rows import BadRow, describe
from astrolens.usecases.tables.table import TableUnreadable

MAX_FAULTS = 20
"""Most faulty lines that are reported; a file that is no such table has a fault in each."""

MAX_NAME_LENGTH = 200
"""Of a file in sentences."""


@dataclass(frozen=True)
class DescribedFiles:
    """What a table says.

    Attributes:
        name: What it is called in sentences.
        files: Observations as `POST /api/images` takes them, by the lower-case name of the file without folders.
        faults: What is wrong with lines, the first `MAX_FAULTS`.
        lines: The number of the line that describes a file, and the file as it is named there, by the same names.
    """

    name: str
    files: dict[str, Document]
    faults: list[str]
    lines: dict[str, tuple[int, str]] = field(default_factory=dict)

    def without_file(self, sent: Iterable[str]) -> list[str]:
        """A sentence on each line whose file is not among the names that were sent, the first `MAX_FAULTS`."""
        missing = [self.lines[key] for key in self.lines.keys() - {name.lower() for name in sent}]
        return _bounded(
            [
                f"{self.name}, line {number} describes {file}, which was not among the files that were sent"
                for number, file in sorted(missing)
            ]
        )


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
    lines: dict[str, tuple[int, str]] = {}
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
            key = described.file.replace("\\", "/").rsplit("/", 1)[-1].lower()
            files[key], lines[key] = described.metadata, (row.number, described.file[:MAX_NAME_LENGTH])
            faults += [f"line {row.number}: {note}" for note in described.notes]
        elif any(cell.strip() for cell in row.cells):
            faults.append(f"line {row.number} names no file")
    return DescribedFiles(name, files, _bounded(faults), lines)


def _bounded(sentences: list[str]) -> list[str]:
    more = len(sentences) - MAX_FAULTS
    return sentences[:MAX_FAULTS] + ([f"and {plural(more, 'more line')}"] if more > 0 else [])
