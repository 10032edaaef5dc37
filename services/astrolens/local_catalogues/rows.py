"""Rows of a catalogue from batches of a table: units applied, values checked, bad rows set aside."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from astrolens.local_catalogues.catalogue_format import ALIAS_SEPARATOR, OPTIONAL_COLUMNS, row_type
from astrolens.local_catalogues.cells import Floats, Keys, keys_of
from astrolens.local_catalogues.columns import ChosenColumn, ColumnChoice
from astrolens.science.match_radius import scaled_radius_arcsec
from astrolens.science.object_kinds import ObjectKind, object_kind

MAX_BAD_ROWS_LISTED: Final = 1000
_MAX_NAME_LENGTH: Final = 1000
_MAX_OBJECT_TYPES: Final = 65_000
_SEXAGESIMAL: Final = (
    r"^(?P<sign>[+-]?)(?P<whole>\d{1,3})[:hd°\s]\s*(?P<minutes>\d{1,2})[:m'′\s]\s*"
    r"(?P<seconds>\d{1,2}(?:\.\d*)?)[s\"″]?$"
)

_ROLE_COLUMNS: Final = {
    "pm_ra": "pm_ra_mas_yr",
    "pm_dec": "pm_dec_mas_yr",
    "parallax": "parallax_mas",
    "redshift": "redshift",
    "magnitude": "magnitude",
    "semi_major": "semi_major_arcsec",
    "major_axis": "semi_major_arcsec",
    "semi_minor": "semi_minor_arcsec",
    "minor_axis": "semi_minor_arcsec",
    "position_angle": "position_angle_deg",
    "error": "error_arcsec",
}
_POSITIVE: Final = frozenset({"semi_major_arcsec", "semi_minor_arcsec", "error_arcsec"})


@dataclass(frozen=True)
class BadRow:
    """A row that was refused: its number in the file, counted from 1 without the header, and why."""

    number: int
    reason: str
    value: str


@dataclass
class RowFaults:
    """What was refused in an import, counted; the first bad rows are listed."""

    reasons: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    listed: list[BadRow] = field(default_factory=list)

    @property
    def bad_rows(self) -> int:
        """The number of refused rows."""
        return self.reasons.total()


@dataclass(frozen=True)
class RowBatch:
    """Good rows of one batch, in the order of the table, with their keys; `names` follows what was made before."""

    rows: NDArray[Any]
    keys: Keys
    names: bytes


def names_in(made: RowBatch) -> list[str]:
    """The main name of each row; empty where it has none."""
    first = int(made.rows["name_at"][0]) if len(made.rows) else 0
    spans = ((int(row["name_at"]) - first, int(row["name_size"])) for row in made.rows)
    return [made.names[at : at + size].decode("utf-8", "replace").split(ALIAS_SEPARATOR)[0] for at, size in spans]


class RowBuilder:
    """Makes the rows of one import.

    Attributes:
        columns: The optional columns of the rows.
        object_types: The types met so far; a row's `type_code` counts them.
        faults: What was refused.
    """

    def __init__(self, choice: ColumnChoice) -> None:
        self._choice = choice
        kept = {_ROLE_COLUMNS[role] for role in choice.columns if role in _ROLE_COLUMNS}
        if "semi_major_arcsec" in kept or {"redshift", "type"} <= {*choice.columns}:
            kept.add("outline_arcsec")
        self.columns = tuple(name for name in OPTIONAL_COLUMNS if name in kept)
        self.faults = RowFaults()
        self._type = row_type(self.columns)
        self._codes: dict[str, int] = {"": 0}
        self._names_at = 0
        self._seen = 0

    @property
    def source_columns(self) -> list[str]:
        """The columns of the table that are needed, each once."""
        return list(dict.fromkeys(column.name for column in self._choice.columns.values()))

    @property
    def object_types(self) -> tuple[str, ...]:
        """The types met so far, by their codes."""
        return tuple(self._codes)

    def build(self, batch: pa.RecordBatch) -> RowBatch:
        """The good rows of a batch; bad ones are counted and listed."""
        choice = self._choice.columns
        ra, ra_faults = _numbers(batch.column(choice["ra"].name), choice["ra"], right_ascension=True)
        dec, dec_faults = _numbers(batch.column(choice["dec"].name), choice["dec"])
        good = self._good(batch, ra, dec, ra_faults | dec_faults)
        rows = np.zeros(int(good.sum()), dtype=self._type)
        rows["ra_deg"], rows["dec_deg"] = ra[good] % 360.0, dec[good]
        for name in self.columns:
            rows[name] = np.nan
        for role, column in choice.items():
            if role in _ROLE_COLUMNS:
                self._fill(rows, _ROLE_COLUMNS[role], batch.column(column.name), column, good, halved="axis" in role)
        if "type" in choice:
            rows["type_code"] = self._type_codes(batch.column(choice["type"].name))[good]
        if "outline_arcsec" in self.columns:
            self._outline(rows)
        names = self._names(batch, good, rows)
        self._seen += batch.num_rows
        return RowBatch(rows, keys_of(rows["ra_deg"], rows["dec_deg"]), names)

    def _good(
        self, batch: pa.RecordBatch, ra: Floats, dec: Floats, not_numbers: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        missing = np.isnan(ra) | np.isnan(dec)
        with np.errstate(invalid="ignore"):
            outside = ~missing & ((ra < 0.0) | (ra > 360.0) | (np.abs(dec) > 90.0))
        for reason, bad in (
            ("position is no number", not_numbers),
            ("no position", missing & ~not_numbers),
            ("position is not on the sky", outside),
        ):
            self._refuse(batch, reason, np.flatnonzero(bad))
        return np.asarray(~missing & ~outside)

    def _refuse(self, batch: pa.RecordBatch, reason: str, rows: NDArray[np.int64]) -> None:
        if not rows.size:
            return
        self.faults.reasons[reason] += rows.size
        columns = [batch.column(self._choice.columns[role].name) for role in ("ra", "dec")]
        for row in rows[: MAX_BAD_ROWS_LISTED - len(self.faults.listed)]:
            value = ", ".join(str(column[int(row)].as_py()) for column in columns)
            self.faults.listed.append(BadRow(self._seen + int(row) + 1, reason, value))

    def _fill(
        self,
        rows: NDArray[Any],
        name: str,
        values: pa.Array,
        column: ChosenColumn,
        good: NDArray[np.bool_],
        *,
        halved: bool,
    ) -> None:
        numbers, faults = _numbers(values, column)
        numbers = numbers[good] / (2.0 if halved else 1.0)
        impossible = (numbers <= 0.0) if name in _POSITIVE else np.zeros(numbers.size, dtype=bool)
        # A size of 0 is how tables write that there is none.
        wrong = int(faults[good].sum()) + int((numbers < 0.0).sum() if name in _POSITIVE else 0)
        if wrong:
            self.faults.dropped[column.name] += wrong
        numbers[impossible] = np.nan
        # A column of half axes and one of full ones may both be there: the first has the word.
        there = np.isnan(rows[name])
        rows[name] = np.where(there, numbers, rows[name])

    def _type_codes(self, values: pa.Array) -> NDArray[np.uint16]:
        encoded = pc.fill_null(pc.utf8_trim_whitespace(_text(values)), "").dictionary_encode()
        codes = []
        for each in encoded.dictionary.to_pylist():
            if each not in self._codes and len(self._codes) < _MAX_OBJECT_TYPES:
                self._codes[each] = len(self._codes)
            codes.append(self._codes.get(each, 0))
        found: NDArray[np.uint16] = np.array(codes, dtype=np.uint16)[encoded.indices.to_numpy(zero_copy_only=False)]
        return found

    def _outline(self, rows: NDArray[Any]) -> None:
        outline = (
            np.nan_to_num(rows["semi_major_arcsec"]) if "semi_major_arcsec" in self.columns else np.zeros(len(rows))
        )
        if "redshift" in self.columns and len(self._codes) > 1:
            galaxies = np.array([object_kind(each) is ObjectKind.GALAXY for each in self._codes])
            scaled = (outline == 0.0) & galaxies[rows["type_code"]] & np.isfinite(rows["redshift"])
            outline[scaled] = scaled_radius_arcsec(rows["redshift"][scaled])
        rows["outline_arcsec"] = outline

    def _names(self, batch: pa.RecordBatch, good: NDArray[np.bool_], rows: NDArray[Any]) -> bytes:
        """Fill where each row's names lie, and return the text of them all."""
        choice = self._choice.columns
        if "name" not in choice:
            return b""
        mask = pa.array(good)
        names = pc.fill_null(pc.utf8_trim_whitespace(_text(batch.column(choice["name"].name).filter(mask))), "")
        if "aliases" in choice:
            aliases = pc.fill_null(_text(batch.column(choice["aliases"].name).filter(mask)), "")
            aliases = pc.replace_substring_regex(aliases, r"\s*[,|]\s*", ALIAS_SEPARATOR)
            joined = pc.binary_join_element_wise(names, aliases, ALIAS_SEPARATOR)
            names = pc.if_else(pc.equal(aliases, ""), names, joined)
        names = pc.utf8_slice_codeunits(names, 0, _MAX_NAME_LENGTH)
        sizes = pc.binary_length(names).to_numpy(zero_copy_only=False).astype(np.int64)
        rows["name_size"] = sizes
        rows["name_at"] = self._names_at + np.cumsum(sizes) - sizes
        self._names_at += int(sizes.sum())
        return b"".join(each.encode() for each in names.to_pylist())


def _text(values: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return values if pa.types.is_string(values.type) else values.cast(pa.string())


def _numbers(
    values: pa.Array, column: ChosenColumn, *, right_ascension: bool = False
) -> tuple[Floats, NDArray[np.bool_]]:
    """A column as float64 in our unit, NaN where there is none; and which values are no number."""
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        numbers, faults = _parsed(values, column, right_ascension=right_ascension)
    else:
        numbers = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False).astype(np.float64)
        faults = np.zeros(numbers.size, dtype=bool)
        numbers = numbers * column.factor * (15.0 if column.hours else 1.0)
    infinite = np.isinf(numbers)
    return np.where(infinite, np.nan, numbers), faults | infinite


def _parsed(values: pa.Array, column: ChosenColumn, *, right_ascension: bool) -> tuple[Floats, NDArray[np.bool_]]:
    text = pc.utf8_trim_whitespace(values)
    text = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
    try:
        numbers = text.cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
    except pa.ArrowInvalid:
        numbers = np.array([_number(each) for each in text.to_pylist()])
    numbers = numbers * column.factor * (15.0 if column.hours else 1.0)
    there = pc.is_valid(text).to_numpy(zero_copy_only=False).astype(bool)
    open_ones = there & np.isnan(numbers)
    if open_ones.any():
        parts = pc.extract_regex(text, _SEXAGESIMAL)
        whole, minutes, seconds = (
            pc.struct_field(parts, name).cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
            for name in ("whole", "minutes", "seconds")
        )
        minus = pc.fill_null(pc.equal(pc.struct_field(parts, "sign"), "-"), fill_value=False)
        size = np.where((minutes < 60.0) & (seconds < 60.0), whole + minutes / 60.0 + seconds / 3600.0, np.nan)
        sign = np.where(minus.to_numpy(zero_copy_only=False).astype(bool), -1.0, 1.0)
        # Sexagesimal right ascension is in hours.
        numbers = np.where(open_ones, size * sign * (15.0 if right_ascension else 1.0), numbers)
    return numbers, there & np.isnan(numbers)


def _number(text: str | None) -> float:
    try:
        return float(text) if text is not None else np.nan
    except ValueError:
        return np.nan
