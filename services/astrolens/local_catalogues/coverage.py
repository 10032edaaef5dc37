"""Which part of the sky a catalogue covers, as ranges of HEALPix keys (a MOC of order 29)."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
from mocpy import MOC
from numpy.typing import NDArray

from astrolens.local_catalogues.cells import KEY_ORDER, Keys, key_ranges, neighbourhoods
from astrolens.local_catalogues.hats import joined_ranges
from astrolens.platform.errors import ConfigurationError

Ranges = NDArray[np.uint64]

ALL_SKY: Final[Ranges] = np.array([0, 12 * 4**KEY_ORDER], dtype=np.uint64)
_ROWS_PER_CELL: Final = 10
"""Mean number of rows in a cell that is called covered for what lies in it: an empty one is then no accident."""
_ORDERS: Final = range(10, 1, -1)


def coverage_of_moc(path: Path) -> Ranges:
    """The coverage that a MOC file (FITS, JSON or text) describes.

    Raises:
        ConfigurationError: It cannot be read.
    """
    try:
        kind = {".json": "json", ".txt": "ascii"}.get(path.suffix.lower(), "fits")
        moc = MOC.load(path, kind)
    except Exception as error:
        raise ConfigurationError(f"{path} cannot be read as a MOC ({error}); give one in FITS, JSON or text") from error
    return np.ascontiguousarray(moc.to_depth29_ranges, dtype=np.uint64).ravel()


def coverage_of_positions(pieces: Iterable[Keys]) -> tuple[Ranges, str]:
    """A careful guess from where objects are: cells that hold some and whose neighbours all do.

    The cells are the finest that hold ten objects on average; the outermost ring is left out, because an edge may run
    through it.

    Args:
        pieces: The keys, in parts.

    Returns:
        The ranges, and a sentence on how they came about.
    """
    cells: dict[int, list[NDArray[np.uint64]]] = {order: [] for order in _ORDERS}
    rows = 0
    for keys in pieces:
        rows += keys.size
        for order in _ORDERS:
            cells[order].append(np.unique(keys >> np.uint64(2 * (KEY_ORDER - order))))
    occupied = {
        order: np.unique(np.concatenate(each)) if each else np.zeros(0, np.uint64) for order, each in cells.items()
    }
    order = next((each for each in _ORDERS if rows >= _ROWS_PER_CELL * max(occupied[each].size, 1)), min(_ORDERS))
    found = occupied[order]
    around = neighbourhoods(found, order)
    inner = found[(np.isin(around, found.astype(np.int64)) | (around < 0)).all(axis=1)]
    low, high = key_ranges(inner.astype(np.int64), order)
    ranges = joined_ranges(list(zip(low.tolist(), high.tolist(), strict=True)))
    return ranges, f"guessed from the positions, in cells of order {order}, without the outermost"


def sky_fraction(ranges: Ranges) -> float:
    """The share of the sky."""
    return float((ranges[1::2] - ranges[::2]).astype(np.float64).sum() / (12.0 * 4.0**KEY_ORDER))
