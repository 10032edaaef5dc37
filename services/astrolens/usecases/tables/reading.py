"""Open a table of the user's own: CSV and its relatives, VOTable, FITS, Parquet.

These are files that the user of the command line names, read in the user's own process. What strangers send is never
read here. Astropy and pyarrow are imported when a file needs them.
"""

import codecs
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final
from warnings import catch_warnings, simplefilter

from astrolens.usecases.observation_times import MJD_ORIGIN
from astrolens.usecases.tables.astropy_header import HeaderUnreadable, columns_in_yaml
from astrolens.usecases.tables.columns import Column, assign_columns
from astrolens.usecases.tables.delimited import read_delimited
from astrolens.usecases.tables.table import MAX_PARSED_BYTES, MAX_TABLE_BYTES, Row, Table, TableUnreadable

_TEXT: Final = (".csv", ".tsv", ".ecsv")
_VOTABLE: Final = (".vot", ".votable", ".vo", ".xml")
_PARQUET: Final = (".parquet", ".pq", ".parq")
_FITS: Final = (".fits", ".fit", ".fts")
_BATCH_ROWS: Final = 4096
_FITS_BLOCK: Final = 2880


def is_table(path: Path) -> bool:
    """Whether a file is a table of files: by its name, a FITS file by its headers.

    A FITS table counts only where it has no picture before it and a column that names files: other tables of FITS files
    are catalogues of sources, weights and the like beside a picture.
    """
    suffix = path.suffix.lower()
    return suffix in (*_TEXT, *_VOTABLE, *_PARQUET) or (suffix in _FITS and _is_fits_table(path))


@contextmanager
def open_table(path: Path) -> Iterator[Table]:
    """Open a table; its rows are read while it is open.

    Raises:
        TableUnreadable: It cannot be read, or is larger than is read.
    """
    suffix = path.suffix.lower()
    with ExitStack() as opened:
        try:
            _check_size(path, MAX_PARSED_BYTES if suffix in _VOTABLE else MAX_TABLE_BYTES)
            if suffix in _VOTABLE:
                table = _votable(path)
            elif suffix in _PARQUET:
                table = _parquet(path, opened)
            elif suffix in _FITS:
                table = _fits(path, opened)
            else:
                # Latin-1 and the like: a name that is not UTF-8 is still the name of a file.
                lines = opened.enter_context(path.open(encoding=_encoding(path), errors="surrogateescape", newline=""))
                table = read_delimited(lines, name=str(path))
        except OSError as error:
            raise TableUnreadable(f"{path} cannot be read: {error.strerror or error}") from error
        yield table


def _encoding(path: Path) -> str:
    """UTF-16 where a text begins with its mark, as spreadsheets save "Unicode text"; else UTF-8."""
    with path.open("rb") as file:
        return "utf-16" if file.read(2) in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE} else "utf-8"


def _check_size(path: Path, limit: int) -> None:
    if (size := path.stat().st_size) > limit:
        raise TableUnreadable(f"{path} has {size:,} bytes, more than the {limit:,} that are read of such a table")


def _votable(path: Path) -> Table:
    from astropy.io import votable  # noqa: PLC0415 - half a second

    try:
        with catch_warnings():
            simplefilter("ignore")
            document = votable.parse(path, verify="ignore")
            tables = [table for table in document.iter_tables() if not table.is_empty()]
            frames = {one.ID: f"{one.system or ''} {one.equinox or ''}".strip() for one in document.iter_coosys()}
            times = {one.ID: one for one in document.iter_timesys()}
    except OSError:
        raise
    except Exception as error:
        raise TableUnreadable(f"{path} is no VOTable that can be read: {_first_line(error)}") from error
    the_only_frame = next(iter(frames.values())) if len(frames) == 1 else ""
    for table in tables:
        columns = [
            Column(
                field.name or field.ID or "",
                "" if field.unit is None else str(field.unit),
                field.ucd or "",
                the_only_frame if not field.ref or field.ref in times else frames.get(field.ref, ""),
                **_time_system(times.get(field.ref)),
            )
            for field in table.fields
        ]
        if len(tables) == 1 or "file" in assign_columns(columns).fields:
            return Table(str(path), columns, _array_rows(table.array, table.array.dtype.names))
    raise TableUnreadable(f"{path} has {len(tables)} tables, and none of them has a column that names files")


def _time_system(stated: Any) -> dict[str, Any]:
    """The scale and the origin (JD) of a time by a TIMESYS of VOTable 1.4."""
    if stated is None:
        return {}
    origin = str(stated.timeorigin or "")
    try:
        zero = {"MJD-origin": MJD_ORIGIN, "JD-origin": 0.0}.get(origin) if "origin" in origin else float(origin)
    except ValueError:
        zero = None
    return {"scale": str(stated.timescale or ""), "origin_jd": zero}


def _fits(path: Path, opened: ExitStack) -> Table:
    from astropy.io import fits  # noqa: PLC0415 - half a second

    try:
        with catch_warnings():
            simplefilter("ignore")
            hdus = opened.enter_context(fits.open(path, memmap=True, lazy_load_hdus=True))
            for hdu in hdus:
                if not isinstance(hdu, fits.BinTableHDU | fits.TableHDU):
                    continue
                columns = _fits_columns(hdu)
                if "file" in assign_columns(columns).fields:
                    nulls = [column.null for column in hdu.columns]
                    return Table(str(path), columns, _fits_rows(hdu.data, [one.name for one in columns], nulls))
    except OSError:
        raise
    except Exception as error:
        raise TableUnreadable(f"{path} is no FITS table that can be read: {_first_line(error)}") from error
    raise TableUnreadable(f"{path} holds no FITS table with a column that names files")


def _fits_columns(hdu: Any) -> list[Column]:
    stated = (hdu.header.get(keyword, "") for keyword in ("RADESYS", "RADECSYS", "EQUINOX"))
    frame = " ".join(str(value).strip() for value in stated if value not in {"", None})
    return [
        Column(column.name, column.unit or "", str(hdu.header.get(f"TUCD{number}", "")), frame)
        for number, column in enumerate(hdu.columns, start=1)
    ]


def _fits_rows(data: Any, names: Sequence[str], nulls: Sequence[Any]) -> Iterator[Row]:
    with catch_warnings():
        simplefilter("ignore")
        for start in range(0, len(data), _BATCH_ROWS):
            batch = data[start : start + _BATCH_ROWS]
            columns = [batch.field(name) for name in names]
            for index in range(len(batch)):
                cells = [
                    "" if null is not None and column[index] == null else _cell(column[index])
                    for column, null in zip(columns, nulls, strict=True)
                ]
                yield Row(start + index + 1, cells)


def _array_rows(array: Any, names: Sequence[str]) -> Iterator[Row]:
    """Rows of a masked structured array."""
    columns = [array[name] for name in names]
    for index in range(len(array)):
        yield Row(index + 1, [_cell(column[index]) for column in columns])


def _parquet(path: Path, opened: ExitStack) -> Table:
    try:
        from pyarrow import parquet  # noqa: PLC0415 - optional and large
    except ImportError:
        raise TableUnreadable(
            f"{path} is a Parquet file, which needs the package pyarrow: install it, or save the table as CSV"
        ) from None
    try:
        file = opened.enter_context(parquet.ParquetFile(path))
        columns = _parquet_columns(file.schema_arrow)
    except OSError:
        raise
    except HeaderUnreadable as error:
        raise TableUnreadable(
            f"{path}: its metadata `table_meta_yaml` cannot be read ({error}), so the units of its columns are not "
            "known: write the table anew, or save it as CSV with units in the names, such as `ra (deg)`"
        ) from error
    except Exception as error:
        raise TableUnreadable(f"{path} is no Parquet file that can be read: {_first_line(error)}") from error
    return Table(str(path), columns, _parquet_rows(file))


def _parquet_columns(schema: Any) -> list[Column]:
    """The columns with the units that Rubin's pipelines write with each, or astropy for all."""
    names = [str(name) for name in schema.names]
    units = [(field.metadata or {}).get(b"unit", b"").decode("utf-8", "replace") for field in schema]
    if not any(units) and (text := (schema.metadata or {}).get(b"table_meta_yaml")):
        return columns_in_yaml(text.decode("utf-8", "replace").split("\n"), names)
    return [Column(name, unit) for name, unit in zip(names, units, strict=True)]


def _parquet_rows(file: Any) -> Iterator[Row]:
    number = 0
    for batch in file.iter_batches(batch_size=_BATCH_ROWS):
        columns = [column.to_pylist() for column in batch.columns]
        for index in range(batch.num_rows):
            number += 1
            yield Row(number, [_cell(column[index]) for column in columns])


def _cell(value: Any) -> str:
    """A value as text: integers exactly, floats so that they read back as they are; masked and vector values empty."""
    if value is None or getattr(value, "mask", False) is True or getattr(value, "shape", ()) not in {(), None}:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    # A masked scalar of numpy is an object of its own kind; its text is `--`, which says nothing.
    return str(value).strip()


def _is_fits_table(path: Path) -> bool:
    """Whether the primary array is empty and the first extension a table, without astropy: most files are pictures."""
    try:
        with path.open("rb") as file:
            head = file.read(_FITS_BLOCK * 40)
    except OSError:
        return False
    end = head.find(b"END" + b" " * 77)
    if not head.startswith(b"SIMPLE") or end < 0 or b"NAXIS   =                    0" not in head[:end]:
        return False
    extension = head[-(-(end + 80) // _FITS_BLOCK) * _FITS_BLOCK :]
    if not extension.startswith((b"XTENSION= 'BINTABLE'", b"XTENSION= 'TABLE")) or b"ZIMAGE  =" in extension[:28_800]:
        return False
    try:
        with open_table(path):
            return True
    except TableUnreadable:
        return False


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
