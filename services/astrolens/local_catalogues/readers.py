"""Tables from files, a bounded part at a time: CSV, Parquet, HATS folders, FITS and VOTable.

Every reader gives Arrow record batches with the columns of the file as they are; nothing is judged here.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from astropy.io import fits
from astropy.io.votable import parse

from astrolens.local_catalogues.columns import TableColumn
from astrolens.platform.errors import ConfigurationError

BATCH_ROWS: Final = 131_072
_BLOCK_BYTES: Final = 8 * 2**20
_MAX_VOTABLE_BYTES: Final = 512 * 2**20
"""A VOTable is XML: its reader holds all of it, several times over."""
_MAX_HEADER_LINES: Final = 10_000
_DELIMITERS: Final = ",;\t|"


class TableReader(Protocol):
    """A table that is read once, from its beginning.

    Attributes:
        columns: What it has.
        rows: Their number, where the file tells it.
    """

    columns: Sequence[TableColumn]
    rows: int | None

    @property
    def unreadable(self) -> int:
        """Rows that were skipped because they do not have the table's columns."""

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows, with these columns only."""


def open_table(path: Path) -> TableReader:
    """The reader of a file or HATS folder, by its content and name.

    Raises:
        ConfigurationError: It is missing, or of no kind that is read.
    """
    # HATS catalogues are made of Parquet tables, which are below.
    from astrolens.local_catalogues.hats import HatsTable, is_hats  # noqa: PLC0415

    if path.is_dir():
        if is_hats(path):
            return HatsTable(path)
        raise ConfigurationError(
            f"{path} is a folder without hats.properties or collection.properties: no HATS catalogue"
        )
    if not path.is_file():
        raise ConfigurationError(f"{path} is no file and no folder; name a table to import")
    with path.open("rb") as file:
        head = file.read(2048)
    if head.startswith(b"PAR1"):
        return ParquetTable([path])
    if head.startswith(b"SIMPLE  ="):
        return FitsTable(path)
    if b"<VOTABLE" in head or b":VOTABLE" in head:
        return VoTable(path)
    if head[:2] == b"\x1f\x8b" or b"\0" in head:
        raise ConfigurationError(f"{path} is no CSV, FITS, VOTable or Parquet table; unpack or convert it first")
    return CsvTable(path)


@dataclass
class CsvTable:
    """Delimited text with one line of names; lines that begin with # before it are skipped. All values are text."""

    path: Path
    columns: Sequence[TableColumn] = field(init=False)
    rows: int | None = field(init=False, default=None)
    unreadable: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._skipped, header = self._header()
        self._delimiter = max(_DELIMITERS, key=header.count)
        names = next(csv.reader([header], delimiter=self._delimiter))
        if len(set(names)) != len(names):
            raise ConfigurationError(f"{self.path} names a column twice; give each its own name")
        self.columns = [TableColumn(name=name) for name in names]

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows; those with too many or too few values are counted and skipped."""
        everything = [column.name for column in self.columns]
        reader = pyarrow.csv.open_csv(
            self.path,
            read_options=pyarrow.csv.ReadOptions(
                block_size=_BLOCK_BYTES, skip_rows=self._skipped + 1, column_names=everything, use_threads=False
            ),
            parse_options=pyarrow.csv.ParseOptions(delimiter=self._delimiter, invalid_row_handler=self._skip),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=list(names),
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=True,
                null_values=["", "null", "NULL", "nan", "NaN", "NA", "--"],
            ),
        )
        yield from reader

    def _skip(self, row: Any) -> str:
        del row
        self.unreadable += 1
        return "skip"

    def _header(self) -> tuple[int, str]:
        """How many lines lie before the names, and the line of the names."""
        with self.path.open(encoding="utf-8-sig", errors="replace") as lines:
            for number, line in zip(range(_MAX_HEADER_LINES), lines, strict=False):
                if line.strip() and not line.startswith("#"):
                    return number, line.rstrip("\r\n")
        raise ConfigurationError(f"{self.path} has no line with the names of its columns")


class ParquetTable:
    """One or several Parquet files with the same columns."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        first = _parquet(paths[0])
        self.columns: Sequence[TableColumn] = [
            TableColumn(name=each.name, unit=_metadata(each, b"unit"), ucd=_metadata(each, b"ucd"))
            for each in first.schema_arrow
        ]
        self.rows: int | None = sum(_parquet(path).metadata.num_rows for path in paths)
        self.unreadable = 0

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows of all files, one after the other."""
        for path in self._paths:
            yield from _parquet(path).iter_batches(BATCH_ROWS, columns=list(names), use_threads=False)


class FitsTable:
    """The first binary or ASCII table of a FITS file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with fits.open(path, memmap=True) as hdus:
            found = [number for number, hdu in enumerate(hdus) if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
            if not found:
                raise ConfigurationError(f"{path} holds no table; name a FITS file with a table extension")
            self._number = found[0]
            table = hdus[self._number]
            self.rows: int | None = int(table.header["NAXIS2"])
            self.columns: Sequence[TableColumn] = [
                TableColumn(
                    name=column.name,
                    unit=column.unit or None,
                    ucd=table.header.get(f"TUCD{number + 1}"),
                )
                for number, column in enumerate(table.columns)
            ]
        self.unreadable = 0

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows; columns of arrays are refused."""
        with fits.open(self._path, memmap=True) as hdus:
            data = hdus[self._number].data
            for start in range(0, self.rows or 0, BATCH_ROWS):
                part = data[start : start + BATCH_ROWS]
                yield pa.RecordBatch.from_arrays([_arrow(part[name], name) for name in names], names=list(names))


class VoTable:
    """The first table of a VOTable."""

    def __init__(self, path: Path) -> None:
        if path.stat().st_size > _MAX_VOTABLE_BYTES:
            raise ConfigurationError(
                f"{path} is a VOTable of more than {_MAX_VOTABLE_BYTES // 2**20} MiB, which cannot be read in parts; "
                "convert it to FITS or Parquet"
            )
        table = parse(path, verify="ignore").get_first_table()
        self._data = table.array
        self._names = [each.name for each in table.fields]
        self.columns: Sequence[TableColumn] = [
            TableColumn(name=each.name, unit=str(each.unit) if each.unit is not None else None, ucd=each.ucd)
            for each in table.fields
        ]
        self.rows: int | None = len(self._data)
        self.unreadable = 0

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows."""
        fields = dict(zip(self._names, self._data.dtype.names or (), strict=True))
        for start in range(0, self.rows or 0, BATCH_ROWS):
            part = self._data[start : start + BATCH_ROWS]
            yield pa.RecordBatch.from_arrays([_arrow(part[fields[name]], name) for name in names], names=list(names))


def _parquet(path: Path) -> pyarrow.parquet.ParquetFile:
    try:
        return pyarrow.parquet.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise ConfigurationError(f"{path} cannot be read as Parquet ({error})") from error


def _metadata(column: pa.Field, key: bytes) -> str | None:
    value = (column.metadata or {}).get(key)
    return value.decode("utf-8", "replace") if value else None


def _arrow(values: Any, name: str) -> pa.Array:
    """A numpy column, masked or not, as Arrow: text as strings, masked values as null."""
    mask = np.ma.getmaskarray(values) if np.ma.isMaskedArray(values) else None
    plain = np.asarray(np.ma.getdata(values))
    if plain.ndim != 1:
        raise ConfigurationError(f"the column {name!r} holds arrays; name another column")
    if plain.dtype.kind == "S":
        plain = np.char.decode(plain, "utf-8", "replace")
    if plain.dtype.kind == "O":
        return pa.array([None if each is None else str(each) for each in plain], type=pa.string(), mask=mask)
    return pa.array(plain.astype(plain.dtype.newbyteorder("=")), mask=mask)
