"""Searches in one catalogue: circles, nearest objects, and objects whose match ellipse may hold a position.

Exact everywhere: a search looks into the cells that hold its circle and keeps what lies inside by its separation, so
neither the poles nor RA = 0 nor the edge of a cell is special. Work is cut into pieces of bounded memory.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from astrolens.local_catalogues.catalogue_format import (
    ALIAS_SEPARATOR,
    COVERAGE,
    DENSITY,
    KEYS,
    NAMES,
    ROWS,
    Block,
    CatalogueDamaged,
    map_array,
    read_manifest,
)
from astrolens.local_catalogues.cells import (
    MAX_NEIGHBOUR_RADIUS,
    Floats,
    Keys,
    key_ranges,
    keys_of,
    neighbourhoods,
    orders_for,
)
from astrolens.local_catalogues.density import Crowding, crowding
from astrolens.platform.errors import ConfigurationError
from astrolens.science.match_radius import CatalogObject, error_radius_arcsec
from astrolens.science.object_kinds import object_kind
from astrolens.science.sphere import ARCSEC, moved, separation_arcsec

Rows = NDArray[np.int64]

MAX_NAMED_ROWS: Final = 1_000_000
_PAIRS_AT_ONCE: Final = 1_000_000
"""Positions times rows that are looked at together: 100 MB."""
_POSITIONS_AT_ONCE: Final = 20_000
_ALL_SKY_ARCSEC: Final = 180.0 * 3600.0
_SPARSEST_PER_ARCSEC2: Final = 1e-12
"""Less than one object on the sky."""
_ROUNDING_ARCSEC: Final = 1e-6
"""Allowance for rounding when cells are chosen."""


@dataclass(frozen=True)
class Pairs:
    """Which row lies near which position.

    Attributes:
        position: [n] index of the position, ascending.
        row: [n] row of the catalogue.
        separation_arcsec: [n] ascending for each position.
    """

    position: Rows
    row: Rows
    separation_arcsec: Floats


class CatalogueIndex:
    """One catalogue, opened for searches. It may be used by several threads.

    Raises:
        CatalogueDamaged: Its files cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)
        self._keys: Keys = map_array(folder, KEYS)
        self._rows: NDArray[Any] = map_array(folder, ROWS)
        self._density: NDArray[Any] = map_array(folder, DENSITY)
        self._coverage: Keys = map_array(folder, COVERAGE)
        if not len(self._keys) == len(self._rows) == self.manifest.rows:
            raise CatalogueDamaged(folder, f"{len(self._rows)} rows, {self.manifest.rows} in the manifest")
        names = folder / NAMES
        self._names = np.memmap(names, mode="r") if names.is_file() and names.stat().st_size else np.zeros(0, np.uint8)
        columns = self._rows.dtype.names or ()
        self._moves = "pm_ra_mas_yr" in columns and "pm_dec_mas_yr" in columns
        self._kinds = tuple(object_kind(each) for each in self.manifest.object_types)

    def cone(
        self, ra_deg: ArrayLike, dec_deg: ArrayLike, radius_arcsec: ArrayLike, *, epoch_year: ArrayLike | None = None
    ) -> Pairs:
        """Everything within a circle around each position.

        Args:
            ra_deg: [n] ICRS.
            dec_deg: [n] ICRS.
            radius_arcsec: [n] or one number.
            epoch_year: [n] or one number: when the sky is asked about; NaN or None: the catalogue's own epoch.
        """
        asked = _asked(ra_deg, dec_deg, radius_arcsec, epoch_year)
        found = [self._within(each, asked, sized=False) for each in _pieces(len(asked[0]))]
        return _joined(found)

    def within_reach(
        self, ra_deg: ArrayLike, dec_deg: ArrayLike, radius_arcsec: ArrayLike, *, epoch_year: ArrayLike | None = None
    ) -> Pairs:
        """Everything whose outline, taken as a circle of its major axis, comes within a circle around each position."""
        asked = _asked(ra_deg, dec_deg, radius_arcsec, epoch_year)
        found = [self._within(each, asked, sized=True) for each in _pieces(len(asked[0]))]
        return _joined(found)

    def nearest(
        self, ra_deg: ArrayLike, dec_deg: ArrayLike, *, k: int = 1, epoch_year: ArrayLike | None = None
    ) -> Pairs:
        """The k nearest objects of each position (fewer where the catalogue has fewer).

        A circle that holds k objects at the local density is searched first and doubled where it holds fewer.
        """
        ra, dec, _, years = _asked(ra_deg, dec_deg, 0.0, epoch_year)
        density = self.crowding(ra, dec, 0.0).density_per_arcsec2
        radius = np.minimum(np.sqrt(k / np.maximum(density, _SPARSEST_PER_ARCSEC2)), _ALL_SKY_ARCSEC)
        k = min(k, self.manifest.rows)
        open_ones = np.arange(ra.size)
        found: list[Pairs] = []
        while open_ones.size and k:
            pairs = self.cone(ra[open_ones], dec[open_ones], radius[open_ones], epoch_year=years[open_ones])
            counts = np.bincount(pairs.position, minlength=open_ones.size)
            settled = (counts >= k) | (radius[open_ones] >= _ALL_SKY_ARCSEC)
            rank = np.arange(pairs.position.size) - np.repeat(np.cumsum(counts) - counts, counts)
            kept = settled[pairs.position] & (rank < k)
            position = open_ones[pairs.position[kept]]
            found.append(Pairs(position, pairs.row[kept], pairs.separation_arcsec[kept]))
            open_ones = open_ones[~settled]
            radius[open_ones] = np.minimum(radius[open_ones] * 2.0, _ALL_SKY_ARCSEC)
        return _sorted(_joined(found))

    def covers(self, ra_deg: ArrayLike, dec_deg: ArrayLike, radius_arcsec: ArrayLike = 0.0) -> NDArray[np.bool_]:
        """Whether the catalogue covers each position and the circle around it.

        The circle is covered where its centre and sixteen points on it are.
        """
        ra, dec, radius, _ = _asked(ra_deg, dec_deg, radius_arcsec, None)
        covered = self._covers_points(ra, dec)
        angles = np.radians(np.arange(0.0, 360.0, 22.5))[:, None]
        north, east = radius * np.cos(angles), radius * np.sin(angles)
        around = moved(ra, dec, east * 1000.0, north * 1000.0, 1.0)
        points = self._covers_points(around[0].ravel(), around[1].ravel()).reshape(around[0].shape)
        return np.asarray(covered & (points.all(axis=0) | (radius == 0.0)))

    def crowding(self, ra_deg: ArrayLike, dec_deg: ArrayLike, sigma_arcsec: ArrayLike) -> Crowding:
        """How crowded the catalogue is around each position, for images with these errors along each axis."""
        ra, dec, sigma, _ = _asked(ra_deg, dec_deg, sigma_arcsec, None)
        radius = error_radius_arcsec(sigma, self.manifest.default_error_arcsec)
        return crowding(self._density, self.manifest.density_order, keys_of(ra, dec), radius)

    def objects(self, rows: Rows, epoch_year: ArrayLike | None = None) -> list[CatalogObject]:
        """What the catalogue says of some rows, with their positions at an epoch (see `cone`)."""
        found = self._rows[rows]
        ra, dec = self._positions(found, np.broadcast_to(_years(epoch_year), rows.shape))
        return [self._object(found[n], float(ra[n]), float(dec[n])) for n in range(len(rows))]

    def column(self, name: str, rows: Rows) -> Floats:
        """A column of some rows; NaN where the catalogue does not have it."""
        if name not in (self._rows.dtype.names or ()):
            return np.full(rows.shape, np.nan)
        return np.asarray(self._rows[name][rows], dtype=np.float64)

    def kinds(self, rows: Rows) -> list[Any]:
        """The kind of each row's object."""
        return [self._kinds[code] for code in self._rows["type_code"][rows]]

    def named(self, name: str) -> Rows:
        """The rows that have a name or an alias, without regard to case, spaces, or zeros before a number.

        Raises:
            ConfigurationError: The catalogue has more than `MAX_NAMED_ROWS` rows: its names are not looked up.
        """
        if self.manifest.rows > MAX_NAMED_ROWS:
            raise ConfigurationError(
                f"{self.manifest.name} has {self.manifest.rows:,} rows: names are looked up in up to {MAX_NAMED_ROWS:,}"
            )
        return np.array(self._rows_by_name.get(_plain(name), ()), dtype=np.int64)

    @cached_property
    def _rows_by_name(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for number, row in enumerate(self._rows):
            for name in {_plain(each) for each in self._names_of(row)}:
                found.setdefault(name, []).append(number)
        return found

    def _covers_points(self, ra: Floats, dec: Floats) -> NDArray[np.bool_]:
        # The ranges are disjoint and ascending: start, end, start, end ... An odd place is inside one.
        return np.asarray(np.searchsorted(self._coverage, keys_of(ra, dec), side="right") % 2 == 1)

    def _within(self, piece: slice, asked: tuple[Floats, Floats, Floats, Floats], *, sized: bool) -> Pairs:
        ra, dec, radius, years = (each[piece] for each in asked)
        found = [
            pairs
            for block in self.manifest.blocks
            for pairs in self._within_block(block, ra, dec, radius, years, sized=sized)
        ]
        pairs = _sorted(_joined(found))
        return Pairs(pairs.position + piece.start, pairs.row, pairs.separation_arcsec)

    def _within_block(
        self, block: Block, ra: Floats, dec: Floats, radius: Floats, years: Floats, *, sized: bool
    ) -> Iterator[Pairs]:
        drift = np.abs(np.nan_to_num(years - self.manifest.epoch_year)) * block.max_motion_mas_yr / 1000.0
        reach = radius + drift + (block.max_size_arcsec if sized else 0.0) + _ROUNDING_ARCSEC
        for position, row in self._candidates(block, ra, dec, reach):
            rows = self._rows[row]
            row_ra, row_dec = self._positions(rows, years[position])
            separation = separation_arcsec(ra[position], dec[position], row_ra, row_dec)
            limit = radius[position]
            if sized and block.max_size_arcsec > 0.0:
                limit = limit + np.nan_to_num(np.asarray(rows["outline_arcsec"], dtype=np.float64))
            inside = separation <= limit
            yield Pairs(position[inside], row[inside], separation[inside])

    def _candidates(self, block: Block, ra: Floats, dec: Floats, reach_arcsec: Floats) -> Iterator[tuple[Rows, Rows]]:
        """Positions and rows of a block in the cells that hold each position's circle."""
        keys = self._keys[block.start : block.stop]
        reach = reach_arcsec / ARCSEC
        orders = orders_for(reach)
        everywhere = reach > MAX_NEIGHBOUR_RADIUS
        for order in np.unique(orders):
            chosen = np.flatnonzero((orders == order) & ~everywhere)
            if chosen.size:
                cells = neighbourhoods(keys_of(ra[chosen], dec[chosen], int(order)), int(order))
                low, high = key_ranges(cells, int(order))
                start, stop = np.searchsorted(keys, low), np.searchsorted(keys, high)
                owner = np.broadcast_to(chosen[:, None], start.shape)
                filled = stop > start
                yield from _expanded(owner[filled], start[filled] + block.start, stop[filled] + block.start)
        whole = np.flatnonzero(everywhere)
        if whole.size:
            count = np.full(whole.size, block.start), np.full(whole.size, block.stop)
            yield from _expanded(whole, *count)

    def _positions(self, rows: NDArray[Any], years: Floats) -> tuple[Floats, Floats]:
        if not self._moves:
            return rows["ra_deg"], rows["dec_deg"]
        passed = np.nan_to_num(years - self.manifest.epoch_year)
        if not passed.any():
            return rows["ra_deg"], rows["dec_deg"]
        return moved(rows["ra_deg"], rows["dec_deg"], rows["pm_ra_mas_yr"], rows["pm_dec_mas_yr"], passed)

    def _object(self, row: NDArray[Any], ra_deg: float, dec_deg: float) -> CatalogObject:
        columns = row.dtype.names or ()

        def value(name: str) -> float | None:
            number = float(row[name]) if name in columns else np.nan
            return None if np.isnan(number) else number

        names = self._names_of(row)
        code = int(row["type_code"])
        return CatalogObject(
            name=names[0] if names else designation(ra_deg, dec_deg),
            ra_deg=ra_deg,
            dec_deg=dec_deg,
            object_type=self.manifest.object_types[code],
            kind=self._kinds[code],
            error_arcsec=value("error_arcsec") or self.manifest.default_error_arcsec,
            semi_major_arcsec=value("semi_major_arcsec"),
            semi_minor_arcsec=value("semi_minor_arcsec"),
            position_angle_deg=value("position_angle_deg"),
            magnitude=value("magnitude"),
            redshift=value("redshift"),
            parallax_mas=value("parallax_mas"),
            aliases=tuple(names[1:]),
        )

    def _names_of(self, row: NDArray[Any]) -> list[str]:
        start, size = int(row["name_at"]), int(row["name_size"])
        if not size:
            return []
        return bytes(self._names[start : start + size]).decode("utf-8", "replace").split(ALIAS_SEPARATOR)


def designation(ra_deg: float, dec_deg: float) -> str:
    """The name of an object that has none, from its position: `J004244.3+411608` (IAU: truncated, not rounded)."""
    tenths = int(ra_deg / 15.0 * 36_000.0 + 1e-6)
    seconds = int(abs(dec_deg) * 3600.0 + 1e-6)
    hours, minutes, rest = tenths // 36_000, tenths // 600 % 60, tenths % 600
    sign = "-" if dec_deg < 0 else "+"
    return (
        f"J{hours:02d}{minutes:02d}{rest // 10:02d}.{rest % 10}"
        f"{sign}{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"
    )


def _plain(name: str) -> str:
    """A name without spaces, case and the zeros before a number: `NGC0224` and `ngc 224` are one."""
    return re.sub(r"(?<![\d.])0+(?=\d)", "", "".join(name.split()).casefold())


def _years(epoch_year: ArrayLike | None) -> Floats:
    return np.asarray(np.nan if epoch_year is None else epoch_year, dtype=np.float64)


def _asked(
    ra_deg: ArrayLike, dec_deg: ArrayLike, radius_arcsec: ArrayLike, epoch_year: ArrayLike | None
) -> tuple[Floats, Floats, Floats, Floats]:
    """Positions, radii and years as arrays of one length."""
    columns = np.broadcast_arrays(
        np.atleast_1d(np.asarray(ra_deg, dtype=np.float64)),
        np.asarray(dec_deg, dtype=np.float64),
        np.asarray(radius_arcsec, dtype=np.float64),
        _years(epoch_year),
    )
    ra, dec, radius, years = columns
    return ra % 360.0, dec, radius, years


def _pieces(count: int) -> Iterator[slice]:
    for start in range(0, count, _POSITIONS_AT_ONCE):
        yield slice(start, min(start + _POSITIONS_AT_ONCE, count))


def _expanded(owner: Rows, start: Rows, stop: Rows) -> Iterator[tuple[Rows, Rows]]:
    """Every row of the ranges with the owner of its range, a bounded number at once."""
    sizes = stop - start
    ends = np.cumsum(sizes)
    first = 0
    while first < sizes.size:
        done = ends[first - 1] if first else 0
        last = max(int(np.searchsorted(ends, done + _PAIRS_AT_ONCE, side="right")), first + 1)
        for low in range(0, int(sizes[first]) if last == first + 1 else 1, _PAIRS_AT_ONCE):
            # One range may be larger than a piece: a whole catalogue.
            if last == first + 1:
                begin = start[first] + low
                rows = np.arange(begin, min(begin + _PAIRS_AT_ONCE, stop[first]))
                yield np.full(rows.size, owner[first]), rows
            else:
                part = sizes[first:last]
                offset = np.arange(int(part.sum())) - np.repeat(np.cumsum(part) - part, part)
                yield np.repeat(owner[first:last], part), np.repeat(start[first:last], part) + offset
        first = last


def _joined(parts: list[Pairs]) -> Pairs:
    if not parts:
        return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    return Pairs(
        np.concatenate([each.position for each in parts]),
        np.concatenate([each.row for each in parts]),
        np.concatenate([each.separation_arcsec for each in parts]),
    )


def _sorted(pairs: Pairs) -> Pairs:
    order = np.lexsort((pairs.separation_arcsec, pairs.position))
    return Pairs(pairs.position[order], pairs.row[order], pairs.separation_arcsec[order])
