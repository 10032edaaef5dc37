"""Import of a table as a catalogue on this machine: streamed, sorted outside memory, published as a whole."""

import csv
import math
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from astrolens.contracts.base import utc_now
from astrolens.local_catalogues.catalogue_folder import LocalCatalogues, import_lock, publish, remove_leftovers
from astrolens.local_catalogues.catalogue_format import (
    BAD_ROWS,
    CLASS_REACH_ARCSEC,
    CLASS_YEARS,
    COVERAGE,
    DENSITY,
    KEYS,
    MANIFEST,
    NAMES,
    ROWS,
    Block,
    Manifest,
    row_type,
)
from astrolens.local_catalogues.cells import Keys
from astrolens.local_catalogues.columns import choose_columns
from astrolens.local_catalogues.coverage import ALL_SKY, Ranges, coverage_of_moc, coverage_of_positions, sky_fraction
from astrolens.local_catalogues.density import DensityCounts, finest_order
from astrolens.local_catalogues.hats import HatsTable, ranges_of
from astrolens.local_catalogues.readers import TableReader, open_table
from astrolens.local_catalogues.rows import RowBuilder, RowFaults
from astrolens.local_catalogues.spill import Spill
from astrolens.local_catalogues.watchlists import named_places
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.private_files import create_private_folder
from astrolens.science.match_radius import DEFAULT_OBJECT_ERROR_ARCSEC

NAME_PATTERN: Final = r"[a-z0-9][a-z0-9-]{0,62}"
"""As `Slug` of the contracts."""
FULL_SKY: Final = "full-sky"
_PIECE: Final = 1_000_000
"""Rows that the statistics look at together."""

Progress = Callable[[int, int | None], None]
"""Called with the rows that were read, and the number of all where the file tells it."""


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """How a table is imported.

    Attributes:
        name: Of the catalogue.
        columns: Columns by role, where they shall not be guessed.
        units: Units by role, where the table does not tell them.
        epoch_year: Julian year of the positions.
        error_arcsec: Position error of objects that have none of their own, one sigma along an axis.
        coverage: `full-sky`, or a MOC file; None: the partitions of a HATS catalogue, all sky for a watchlist, else
            guessed from the positions.
        watchlist: Whether it is a list of places that a person watches; it may give names instead of positions.
        private: Whether its matches must stay out of public alerts; a watchlist's do.
        notify: Channels that are told of images at the places of a watchlist.
    """

    name: str
    title: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    epoch_year: float = 2000.0
    error_arcsec: float = DEFAULT_OBJECT_ERROR_ARCSEC
    coverage: str | None = None
    watchlist: bool = False
    private: bool = False
    notify: tuple[str, ...] = ()
    credit: str = ""
    release: str = ""
    link: str | None = None


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """What an import did."""

    manifest: Manifest
    left_out: tuple[str, ...]
    faults: RowFaults


def import_table(path: Path, options: ImportOptions, *, folder: Path, progress: Progress | None = None) -> ImportReport:
    """Import a file or HATS folder, and build it the catalogue of its name.

    Args:
        path: The table.
        options: How.
        folder: The folder of all catalogues (`LocalCatalogues`).
        progress: Told after each batch.

    Raises:
        ConfigurationError: The table or the options will not do; nothing has changed then.
    """
    if not re.fullmatch(NAME_PATTERN, options.name):
        raise ConfigurationError(f"{options.name!r} is no name of a catalogue; use lower-case letters, digits and -")
    if options.notify and not options.watchlist:
        raise ConfigurationError(
            "only a watchlist tells channels what it finds; add --watchlist, or leave --notify out"
        )
    table: TableReader = open_table(path)
    if (
        options.watchlist
        and (named := named_places(table, LocalCatalogues(folder), tuple(options.columns))) is not None
    ):
        table = named
        options = replace(options, columns=named.roles)
    with import_lock(folder):
        home = folder / options.name
        create_private_folder(home)
        remove_leftovers(home)
        moment = utc_now()
        version = home / f"{moment:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
        version.mkdir(mode=0o700)
        try:
            report = write_catalogue(table, options, version, source=path.name, moment=moment, progress=progress)
            _sync(version)
            publish(home, version)
        except BaseException:
            shutil.rmtree(version, ignore_errors=True)
            if not any(home.iterdir()):
                home.rmdir()
            raise
    return report


def write_catalogue(
    table: TableReader,
    options: ImportOptions,
    folder: Path,
    *,
    source: str,
    moment: datetime,
    progress: Progress | None = None,
) -> ImportReport:
    """Write the files of a catalogue into an empty folder.

    Raises:
        ConfigurationError: The table or the options will not do.
    """
    given = dict(options.columns)
    if isinstance(table, HatsTable):
        given = {**table.position_columns, **given}
    choice = choose_columns(table.columns, given=given, units=options.units)
    coverage = _known_coverage(table, options)
    builder = RowBuilder(choice)
    spilled = folder / "spill"
    spilled.mkdir()
    spill = Spill(spilled, row_type(builder.columns))
    read = 0
    with (folder / NAMES).open("wb") as names:
        for batch in table.batches(builder.source_columns):
            made = builder.build(batch)
            names.write(made.names)
            spill.add(_classes(made.rows), made.keys, made.rows)
            read += batch.num_rows
            if progress is not None:
                progress(read, table.rows)
    if table.unreadable:
        builder.faults.reasons["not the columns of the table"] += table.unreadable
    total = sum(spill.count(number) for number in range(len(CLASS_REACH_ARCSEC)))
    if not total:
        raise ConfigurationError(f"{source} has no row with a position that can be used ({_summary(builder.faults)})")
    blocks = _write_sorted(spill, folder, row_type(builder.columns), total)
    shutil.rmtree(spilled)
    keys, rows = np.load(folder / KEYS, mmap_mode="r"), np.load(folder / ROWS, mmap_mode="r")
    order = _write_density(folder, keys, rows)
    ranges, known_from = coverage or coverage_of_positions(piece for piece, _ in _pieces(keys, rows))
    np.save(folder / COVERAGE, ranges)
    _write_bad_rows(folder, builder.faults)
    manifest = Manifest(
        name=options.name,
        title=options.title or (table.title if isinstance(table, HatsTable) else options.name),
        kind="watchlist" if options.watchlist else "catalogue",
        private=options.private or options.watchlist,
        notify=options.notify,
        credit=options.credit,
        release=options.release,
        link=options.link,
        source=source,
        imported_at=moment,
        epoch_year=options.epoch_year,
        rows=total,
        bad_rows=builder.faults.bad_rows,
        bad_reasons=dict(builder.faults.reasons),
        dropped_values=dict(builder.faults.dropped),
        columns={role: column.name for role, column in choice.columns.items()},
        object_types=builder.object_types,
        blocks=blocks,
        default_error_arcsec=options.error_arcsec,
        max_error_arcsec=_largest_error(rows, options.error_arcsec),
        density_order=order,
        coverage=known_from,
        sky_fraction=sky_fraction(ranges),
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return ImportReport(manifest=manifest, left_out=choice.left_out, faults=builder.faults)


def _known_coverage(table: TableReader, options: ImportOptions) -> tuple[Ranges, str] | None:
    if options.coverage == FULL_SKY:
        return ALL_SKY, "all of the sky, as given"
    if options.coverage is not None:
        path = Path(options.coverage)
        return coverage_of_moc(path), f"the MOC {path.name}"
    if options.watchlist:
        return ALL_SKY, "all of the sky: a watchlist is complete"
    if isinstance(table, HatsTable):
        return ranges_of(table.partitions), "the partitions of the HATS catalogue"
    return None


def _classes(rows: NDArray[Any]) -> NDArray[np.int64]:
    """The reach class of each row: how far from its place a search may have to look for it."""
    reach = np.zeros(len(rows))
    columns = rows.dtype.names or ()
    if "outline_arcsec" in columns:
        reach += np.nan_to_num(rows["outline_arcsec"])
    if "pm_ra_mas_yr" in columns and "pm_dec_mas_yr" in columns:
        reach += _motion(rows) * CLASS_YEARS / 1000.0
    return np.searchsorted(np.array(CLASS_REACH_ARCSEC), reach)


def _motion(rows: NDArray[Any]) -> NDArray[np.float64]:
    east, north = (np.nan_to_num(rows[name]).astype(np.float64) for name in ("pm_ra_mas_yr", "pm_dec_mas_yr"))
    motion: NDArray[np.float64] = np.hypot(east, north)
    return motion


def _write_sorted(spill: Spill, folder: Path, kind: np.dtype[Any], total: int) -> tuple[Block, ...]:
    keys = np.lib.format.open_memmap(folder / KEYS, mode="w+", dtype="<u8", shape=(total,))
    rows = np.lib.format.open_memmap(folder / ROWS, mode="w+", dtype=kind, shape=(total,))
    columns = kind.names or ()
    blocks, at = [], 0
    for number in range(len(CLASS_REACH_ARCSEC)):
        start, size, motion = at, 0.0, 0.0
        for part_keys, part in spill.sorted(number):
            keys[at : at + len(part)], rows[at : at + len(part)] = part_keys, part
            at += len(part)
            if "outline_arcsec" in columns:
                size = max(size, float(part["outline_arcsec"].max()))
            if "pm_ra_mas_yr" in columns and "pm_dec_mas_yr" in columns:
                motion = max(motion, float(_motion(part).max()))
        if at > start:
            blocks.append(
                Block(start=start, stop=at, max_size_arcsec=_rounded_up(size), max_motion_mas_yr=_rounded_up(motion))
            )
    keys.flush()
    rows.flush()
    return tuple(blocks)


def _rounded_up(value: float) -> float:
    """A bound that survives the rounding of float32."""
    return value * (1.0 + 1e-6)


def _pieces(keys: Keys, rows: NDArray[Any]) -> Iterator[tuple[Keys, NDArray[Any]]]:
    for start in range(0, len(keys), _PIECE):
        yield keys[start : start + _PIECE], rows[start : start + _PIECE]


def _write_density(folder: Path, keys: Keys, rows: NDArray[Any]) -> int:
    """Write the counts for chance probabilities; returns their finest order."""
    counts = DensityCounts(finest_order(len(keys)))
    columns = rows.dtype.names or ()
    for part_keys, part in _pieces(keys, rows):
        major = np.nan_to_num(part["outline_arcsec"]) if "outline_arcsec" in columns else np.zeros(len(part))
        minor = major.copy()
        if {"semi_minor_arcsec", "position_angle_deg"} <= {*columns}:
            # As in `outline_arcsec`: an ellipse without a direction covers its circle.
            known = np.isfinite(part["semi_minor_arcsec"]) & np.isfinite(part["position_angle_deg"])
            minor[known] = np.minimum(part["semi_minor_arcsec"][known], major[known])
        counts.add(part_keys, major.astype(np.float64), minor.astype(np.float64))
    np.save(folder / DENSITY, counts.table())
    return counts.order


def _largest_error(rows: NDArray[Any], default_arcsec: float) -> float:
    if "error_arcsec" not in (rows.dtype.names or ()):
        return default_arcsec
    largest = default_arcsec
    for start in range(0, len(rows), _PIECE):
        largest = max(largest, float(np.nan_to_num(rows["error_arcsec"][start : start + _PIECE]).max()))
    return largest if math.isfinite(largest) else default_arcsec


def _write_bad_rows(folder: Path, faults: RowFaults) -> None:
    with (folder / BAD_ROWS).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("row", "reason", "value"))
        writer.writerows((each.number, each.reason, each.value) for each in faults.listed)


def _summary(faults: RowFaults) -> str:
    return ", ".join(f"{count} times {reason}" for reason, count in faults.reasons.items()) or "it is empty"


def _sync(folder: Path) -> None:
    """Bring the files of a finished import to the disk before anything names them."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
