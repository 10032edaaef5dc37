"""HEALPix cells: the order of a catalogue's rows, and the cells that hold a circle.

A row's key is its cell of order 29 in the nested scheme, so that a cell of any order is one range of keys.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Keys = NDArray[np.uint64]

KEY_ORDER: Final = 29
CELL_WIDTH: Final = 0.6887
"""Radians: a circle of this radius over 2^order, around any point of a cell, stays within the cell and its neighbours.
The smallest distance between opposite edges is 0.68877 / 2^order or more at every order (cdshealpix, table
SMALLER_EDGE2OPEDGE_DIST)."""

MAX_NEIGHBOUR_RADIUS: Final = CELL_WIDTH
"""Radians: a larger circle may reach any cell of order 0."""


def keys_of(ra_deg: ArrayLike, dec_deg: ArrayLike, order: int = KEY_ORDER) -> Keys:
    """The cells of positions."""
    ra, dec = np.atleast_1d(np.asarray(ra_deg, dtype=np.float64)), np.atleast_1d(np.asarray(dec_deg, dtype=np.float64))
    if not ra.size:
        return np.zeros(0, dtype=np.uint64)
    import astropy.units as u  # noqa: PLC0415 - these three take a second of processor time: with the first search
    from astropy.coordinates import Latitude, Longitude  # noqa: PLC0415
    from cdshealpix import nested  # noqa: PLC0415

    cells = nested.lonlat_to_healpix(Longitude(ra, u.deg), Latitude(dec, u.deg), np.uint8(order), num_threads=1)
    return np.asarray(cells, dtype=np.uint64)


def orders_for(radius_rad: Floats) -> NDArray[np.int64]:
    """The finest order at which a cell and its neighbours hold a circle around any of its points."""
    with np.errstate(divide="ignore"):
        order = np.floor(np.log2(CELL_WIDTH / radius_rad))
    return np.clip(order, 0, KEY_ORDER).astype(np.int64)


def neighbourhoods(cells: Keys, order: int) -> NDArray[np.int64]:
    """[n, 9] each cell with its neighbours; -1 where a cell at a corner of a base cell has one neighbour fewer."""
    if not cells.size:
        return np.zeros((0, 9), dtype=np.int64)
    from cdshealpix import nested  # noqa: PLC0415 - it imports astropy

    return np.asarray(nested.neighbours(cells, np.uint8(order), num_threads=1), dtype=np.int64)


def key_ranges(cells: NDArray[np.int64], order: int) -> tuple[Keys, Keys]:
    """First key of each cell, and the first beyond it; an empty range for -1."""
    shift = np.uint64(2 * (KEY_ORDER - order))
    missing = cells < 0
    low = np.where(missing, 0, cells).astype(np.uint64) << shift
    high = (np.where(missing, 0, cells).astype(np.uint64) + np.uint64(1)) << shift
    return low, np.where(missing, low, high)
