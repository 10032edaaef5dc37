"""What `astrolens ingest` sends: files of a folder, one file, or the rows of a table, each with what is known of it.

Every item is checked by itself: what cannot be taken is told with its reason, and the rest goes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from astrolens.platform.errors import ConfigurationError
from astrolens.platform.folder_walk import escaped, walk_files
from astrolens.usecases.submissions import ImageDescription, RefNumbers
from astrolens.usecases.tables.columns import ColumnAssignment, assign_columns, file_column_names
from astrolens.usecases.tables.reading import is_table, open_table
from astrolens.usecases.tables.rows import BadRow, describe, is_empty
from astrolens.usecases.tables.table import Row, Table, TableUnreadable

_ANCESTORS = 3
"""Folders above a table where its files are looked for too: tables often name them from the data set's root."""

_OUTSIDE = "outside the folder of the table; --allow-outside sends it"

_MAX_NOTES: Final = 1000
"""Notes that are kept; all of them are counted."""

_SHOWN_LEFT_OUT: Final = 3

Metadata = dict[str, Any]


@dataclass(frozen=True)
class Item:
    """One file to send: its name within the batch, and what is known beside its pixels."""

    path: Path
    ref: str
    metadata: Metadata = field(default_factory=dict)
    refused: str | None = None
    """Why the file must not be read, None where it may be."""
    fault: str | None = None
    """Why it cannot be taken at all, with its line in the table; None where it can."""
    data: bytes | None = None
    """Its bytes, where it is no file of its own."""


@dataclass
class Remarks:
    """What the user is told of a table: which columns were understood, and what of its rows was not taken."""

    used: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    has_position: bool | None = None
    notes: list[str] = field(default_factory=list)
    notes_in_all: int = 0

    def note(self, sentence: str) -> None:
        """Keep a note, within a bound."""
        self.notes_in_all += 1
        if len(self.notes) < _MAX_NOTES:
            self.notes.append(sentence)

    def note_left_out(self, names: Sequence[str], *, path: str) -> None:
        """Note that hidden files and unfinished downloads were left out."""
        if names:
            shown = ", ".join(sorted(names)[:_SHOWN_LEFT_OUT]) + (", ..." if len(names) > _SHOWN_LEFT_OUT else "")
            self.note(f"{len(names)} hidden or unfinished files or folders of {path} were left out ({shown})")


def find_items(path: Path, *, allow_outside: bool = False, remarks: Remarks | None = None) -> Iterator[Item]:
    """Everything to send under `path`, while it is found.

    Args:
        path: A folder, a file, or a table that names files.
        allow_outside: Whether a table may name files outside its folder. A table from a stranger could name any file of
            this machine, which would then be sent.
        remarks: Where it is noted how a table was understood.

    Raises:
        ConfigurationError: There is nothing, or a table cannot be understood.
    """
    remarks = remarks or Remarks()
    if path.is_dir():
        items = _folder(path, remarks)
    elif not path.exists():
        raise ConfigurationError(f"{path} does not exist: name a folder, an image, or a table that names files")
    elif is_table(path):
        items = _rows(path, remarks, allow_outside=allow_outside)
    else:
        items = iter([_checked(Item(path, escaped(path.name)))])
    return _unique(items, path)


def _unique(items: Iterator[Item], path: Path) -> Iterator[Item]:
    """The items under names that differ.

    Raises:
        ConfigurationError: There are none.
    """
    numbers = RefNumbers()
    empty = True
    for item in items:
        empty = False
        ref = numbers.unique(item.ref)
        yield item if ref == item.ref else replace(item, ref=ref)
    if empty:
        raise ConfigurationError(f"{path} holds no file: name a folder, an image, or a table that names files")


def _folder(folder: Path, remarks: Remarks) -> Iterator[Item]:
    left_out: list[str] = []
    for found in sorted(walk_files(folder, left_out.append), key=lambda file: Path(file.name).parts):
        yield _checked(Item(found.path, found.name, refused=found.fault))
    remarks.note_left_out(left_out, path=str(folder))


def _checked(item: Item) -> Item:
    """The item, or one that says why its name cannot be sent."""
    try:
        ImageDescription(ref=item.ref)
    except ValidationError as error:
        fault = f"its name cannot be used: {error.errors(include_url=False)[0]['msg']}"
        return Item(item.path, f"{item.ref[:200]}…", fault=fault)
    return item


def _rows(path: Path, remarks: Remarks, *, allow_outside: bool) -> Iterator[Item]:
    try:
        with open_table(path) as table:
            assignment = assign_columns(table.columns)
            _require_files(table, assignment)
            remarks.used, remarks.kept = assignment.used_names, assignment.other_names
            remarks.has_position = assignment.has_position
            for note in assignment.notes:
                remarks.note(note)
            for row in table.rows:
                yield from _item(path, table, assignment, row, remarks, allow_outside=allow_outside)
    except TableUnreadable as error:
        raise ConfigurationError(str(error)) from error


def _require_files(table: Table, assignment: ColumnAssignment) -> None:
    if "file" not in assignment.fields:
        *names, last = file_column_names()
        columns = ", ".join(column.name for column in table.columns)
        raise ConfigurationError(
            f"{table.name} has no column that names files: add one called {', '.join(names)} or {last} "
            f"(its columns are {columns or 'none'})"
        )


def _item(
    path: Path, table: Table, assignment: ColumnAssignment, row: Row, remarks: Remarks, *, allow_outside: bool
) -> Iterator[Item]:
    """The item of one row; none where the row is empty."""
    where = f"{table.place} {row.number}"
    file_cell = _file_cell(assignment, row.cells)
    ref = escaped(file_cell) or f"{path.name}, {where}"
    if row.fault is not None:
        yield Item(path, ref, fault=f"{where} {row.fault}")
        return
    try:
        described = describe(assignment, [escaped(cell) for cell in row.cells])
    except BadRow as error:
        yield _checked(Item(path, ref, fault=f"{where}: {error}"))
        return
    if described is None:
        if not all(is_empty(cell) for cell in row.cells):
            remarks.note(f"{where} names no file")
        return
    for note in described.notes:
        remarks.note(f"{where}: {note}")
    found, refused = _find(path, file_cell, allow_outside=allow_outside)
    yield _checked(Item(found, ref, described.metadata, refused))


def _file_cell(assignment: ColumnAssignment, cells: Sequence[str]) -> str:
    """The name of the file as the file system has it, bytes that are not UTF-8 included."""
    index = assignment.fields["file"].index
    return cells[index].strip() if index < len(cells) else ""


def _find(table: Path, file: str, *, allow_outside: bool) -> tuple[Path, str | None]:
    """The file that a row names, and why it must not be read.

    It is looked for beside the table and above it, and must lie below the folder where it was looked for, with symbolic
    links resolved.
    """
    try:
        if allow_outside:
            places = [table.parent, *table.resolve().parents[1 : 1 + _ANCESTORS]]
            return next((place / file for place in places if (place / file).exists()), table.parent / file), None
        places = _places(table)
        for place in places[:1] if Path(file).is_absolute() else places:
            if (place / file).exists() and (place / file).resolve().is_relative_to(place):
                return place / file, None
        missing = (table.parent / file).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        # A name that is too long, holds a NUL, or is a loop of links.
        return table.parent / "unreadable", getattr(error, "strerror", None) or str(error)
    # What does not exist says so by itself when it is read, unless its name leads elsewhere.
    inside = missing.is_relative_to(places[0]) and not missing.exists()
    return table.parent / file, None if inside else _OUTSIDE


def _places(table: Path) -> list[Path]:
    """Where the files of a table may lie: its folder and those above it, but neither the user's home nor above that.

    There a name such as `.ssh/id_ed25519` would be found.
    """
    folder, *above = table.resolve().parents[: 1 + _ANCESTORS]
    private = {Path.home().resolve(), *Path.home().resolve().parents}
    return [folder, *takewhile(lambda each: each not in private, above)]
