"""How crowded a catalogue is around a place: counts of objects and of their sizes in HEALPix cells of all orders.

The place's own cell with its neighbours is taken at the finest order that holds `MIN_OBJECTS`, so that the density
is local where there are objects to count, and wider where there are few.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from astrolens.local_catalogues.cells import KEY_ORDER, Floats, Keys, neighbourhoods
from astrolens.science.sphere import ARCSEC

MIN_OBJECTS: Final = 6
"""The count of a density: 40 % of noise.

More would need wider cells, which miss how galaxies cluster: with twelve in cells of 3.7 degrees, chance matches of
OpenNGC 20 and 30 arcmin from half of the EFIGI galaxies were twice the predicted ones."""
MAX_ORDER: Final = 9
"""Cells of 7 arcmin: four million with all coarser ones, 50 MiB."""
_MAX_ORDER_OF_FEW: Final = 8
"""Of catalogues with fewer rows than a million."""
_CELLS_PER_ROW: Final = 16
"""Cells of the finest order: objects cluster, so that most of them are empty."""

DENSITY_TYPE: Final = np.dtype([("objects", "<u4"), ("axes_sum", "<f4"), ("axes_product", "<f4")])
"""Of the objects in a cell: their number, the sum of a + b (arcsec), and of a b (arcsec^2)."""
SPARSE_TYPE: Final = np.dtype([("cell", "<u4"), *DENSITY_TYPE.descr])
"""The same with the number of the cell, where only cells with objects are kept."""
_SPARSE_BELOW: Final = 0.5
"""Share of cells with objects below which only those are kept: OpenNGC fills a tenth of its cells."""


def finest_order(rows: int) -> int:
    """The finest order at which cells are counted."""
    finest = MAX_ORDER if rows >= 1_000_000 else _MAX_ORDER_OF_FEW
    return int(np.clip(math.floor(math.log(max(rows * _CELLS_PER_ROW / 12.0, 1.0), 4)), 0, finest))


def first_cell(order: int) -> int:
    """Where the cells of an order begin: coarser orders lie before them."""
    return int(4 * (4**order - 1))


class DensityCounts:
    """Counts while a catalogue is imported."""

    def __init__(self, order: int) -> None:
        self.order = order
        cells = 12 * 4**order
        self._objects = np.zeros(cells, dtype=np.uint32)
        self._sums = np.zeros((2, cells), dtype=np.float32)

    def add(self, keys: Keys, semi_major_arcsec: Floats, semi_minor_arcsec: Floats) -> None:
        """Count objects; points have axes of 0."""
        cells, place = np.unique(keys >> np.uint64(2 * (KEY_ORDER - self.order)), return_inverse=True)
        self._objects[cells] += np.bincount(place).astype(np.uint32)
        self._sums[0, cells] += np.bincount(place, weights=semi_major_arcsec + semi_minor_arcsec)
        self._sums[1, cells] += np.bincount(place, weights=semi_major_arcsec * semi_minor_arcsec)

    def table(self) -> NDArray[np.void]:
        """The counts of all orders, the coarsest first: of every cell, or of those with objects (`SPARSE_TYPE`)."""
        table = np.zeros(first_cell(self.order + 1), dtype=DENSITY_TYPE)
        columns = [self._objects.astype(np.float64), *self._sums.astype(np.float64)]
        for order in range(self.order, -1, -1):
            level = table[first_cell(order) : first_cell(order + 1)]
            for name, values in zip(("objects", "axes_sum", "axes_product"), columns, strict=True):
                level[name] = values
            columns = [values.reshape(-1, 4).sum(axis=1) for values in columns]
        filled = np.flatnonzero(table["objects"])
        if filled.size >= _SPARSE_BELOW * table.size:
            return table
        sparse = np.zeros(filled.size, dtype=SPARSE_TYPE)
        sparse["cell"] = filled
        for name in DENSITY_TYPE.names or ():
            sparse[name] = table[name][filled]
        return sparse


@dataclass(frozen=True)
class Crowding:
    """How crowded a catalogue is around positions.

    Attributes:
        covered: [n] L of `Surroundings`.
        objects: [n] objects that were counted.
        density_per_arcsec2: [n] objects a square arcsecond.
    """

    covered: Floats
    objects: NDArray[np.int64]
    density_per_arcsec2: Floats


def crowding(table: NDArray[np.void], finest: int, keys: Keys, error_radius_arcsec: Floats) -> Crowding:
    """How crowded the catalogue is around each position.

    Args:
        table: `DensityCounts.table`.
        finest: Its finest order.
        keys: [n] cells of the positions at order 29.
        error_radius_arcsec: [n] the error radius of a match with a typical object of the catalogue.
    """
    covered, density = np.zeros(keys.size), np.zeros(keys.size)
    objects = np.zeros(keys.size, dtype=np.int64)
    open_ones = np.arange(keys.size)
    for order in range(finest, -1, -1):
        cells = neighbourhoods(keys[open_ones] >> np.uint64(2 * (KEY_ORDER - order)), order)
        found = _counts_of(table, first_cell(order) + np.maximum(cells, 0))
        there = cells >= 0
        counts = np.where(there, found["objects"], 0).sum(axis=1)
        enough = counts >= MIN_OBJECTS if order else np.ones(counts.size, dtype=bool)
        rows = open_ones[enough]
        radius = error_radius_arcsec[rows]
        sums = np.where(there, found["axes_sum"], 0.0).sum(axis=1)[enough]
        products = np.where(there, found["axes_product"], 0.0).sum(axis=1)[enough]
        area = there.sum(axis=1)[enough] * (4.0 * math.pi / (12 * 4**order)) * ARCSEC**2
        covered[rows] = math.pi * (products + radius * sums + counts[enough] * radius**2) / area
        objects[rows] = counts[enough]
        density[rows] = counts[enough] / area
        open_ones = open_ones[~enough]
        if not open_ones.size:
            break
    return Crowding(covered, objects, density)


def _counts_of(table: NDArray[np.void], cells: NDArray[np.int64]) -> NDArray[np.void]:
    """The counts of some cells, whichever way the table keeps them."""
    if "cell" not in (table.dtype.names or ()):
        return table[cells]
    found = np.zeros(cells.shape, dtype=DENSITY_TYPE)
    place = np.minimum(np.searchsorted(table["cell"], cells), max(len(table) - 1, 0))
    there = table["cell"][place] == cells if len(table) else np.zeros(cells.shape, dtype=bool)
    for name in DENSITY_TYPE.names or ():
        found[name][there] = table[name][place[there]]
    return found
