"""What `astrolens ingest` sends: files of a folder, one file, or the rows of a CSV, each with what is known of it."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from astrolens.contracts.records import MAX_BAND_LENGTH, MAX_BANDS, truncate_extra
from astrolens.platform.errors import ConfigurationError
from astrolens.usecases.submissions import number_repeated

_FILE_COLUMNS = ("file", "path", "filename", "image")
_ALIASES = {"ra": "ra_deg", "dec": "dec_deg", "pixel_scale": "pixel_scale_arcsec"}
_TEXTS = ("survey", "name", "observed_at", "credit", "url")
_NUMBERS = ("ra_deg", "dec_deg", "pixel_scale_arcsec")

_ANCESTORS = 3
"""Folders above a CSV where its files are looked for too: tables often name them from the data set's root."""

_OUTSIDE = "outside the folder of the table; --allow-outside sends it"


@dataclass(frozen=True)
class Item:
    """One file to send: its name within the batch, and what is known beside its pixels."""

    path: Path
    ref: str
    metadata: dict[str, Any] = field(default_factory=dict)
    refused: str | None = None
    """Why the file must not be read, None where it may be."""


def items_of(path: Path, *, allow_outside: bool = False) -> list[Item]:
    """Everything to send under `path`.

    Args:
        path: A folder, a file, or a CSV that names files.
        allow_outside: Whether a CSV may name files outside its folder. A table from a stranger could name any file of
            this machine, which would then be sent.

    Raises:
        ConfigurationError: There is nothing, or a CSV cannot be understood.
    """
    if path.is_dir():
        # Hidden files are the file manager's and git's, not the observer's.
        files = sorted(each for each in path.rglob("*") if each.is_file() and not _hidden(each.relative_to(path)))
        items = [Item(each, each.relative_to(path).as_posix()) for each in files]
    elif path.suffix.lower() in {".csv", ".tsv"}:
        items = list(_rows(path, allow_outside=allow_outside))
    elif path.exists():
        items = [Item(path, path.name)]
    else:
        raise ConfigurationError(f"{path} does not exist: name a folder, an image, or a CSV that names files")
    if not items:
        raise ConfigurationError(f"{path} holds no file: name a folder, an image, or a CSV that names files")
    return items


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _rows(table: Path, *, allow_outside: bool) -> Iterator[Item]:
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{table} cannot be read as a UTF-8 table: {error}") from error
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.DictReader(text.splitlines(), delimiter=delimiter)
    columns = [name.strip() for name in reader.fieldnames or ()]
    named = next((each for each in _FILE_COLUMNS if each in columns), None)
    if named is None:
        raise ConfigurationError(
            f"{table} has no column that names files: add one called {', '.join(_FILE_COLUMNS[:-1])} or image "
            f"(its columns are {', '.join(columns) or 'none'})"
        )
    rows = []
    for number, row in enumerate(reader, start=2):
        values = {key.strip(): value.strip() for key, value in row.items() if key and value and value.strip()}
        if file := values.pop(named, ""):
            rows.append((file, _metadata(values, where=f"{table}, line {number}")))
    for (file, metadata), ref in zip(rows, number_repeated(file for file, _ in rows), strict=True):
        path, refused = _find(table, file, allow_outside=allow_outside)
        yield Item(path, ref, metadata, refused)


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


def _metadata(values: dict[str, str], *, where: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    extra: dict[str, str] = {}
    for column, value in values.items():
        key = _ALIASES.get(column.lower(), column.lower())
        if key in _NUMBERS:
            try:
                metadata[key] = float(value)
            except ValueError:
                raise ConfigurationError(f"{where}: {column} is {value!r}, but must be a number in degrees") from None
        elif key == "url" and not value.lower().startswith(("http://", "https://")):
            extra[column] = value  # no link, such as `n/a`, which the console would refuse
        elif key in _TEXTS:
            metadata[key] = value
        elif key == "bands":
            bands = value.replace(";", " ").replace(",", " ").split()
            metadata[key] = [band[:MAX_BAND_LENGTH] for band in bands[:MAX_BANDS]]
        else:
            extra[column] = value
    if extra:
        metadata["extra"] = truncate_extra(extra)
    return metadata
