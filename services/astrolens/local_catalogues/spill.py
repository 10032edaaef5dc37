"""Sorting of more rows than memory holds: rows are spilled to files by HEALPix cell, and each file is sorted alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from astrolens.local_catalogues.cells import KEY_ORDER, Keys

MAX_ROWS_IN_MEMORY: Final = 2_000_000
"""Of one file: 200 MB with its sorted copy. A fuller cell is divided."""
_FIRST_ORDER: Final = 1
_READ_ROWS: Final = 200_000


class Spill:
    """Rows on their way into order. Each class of rows is sorted by itself.

    Args:
        folder: Empty; the files lie here.
        row_type: Of the rows.
        max_rows: The most rows of a file that are sorted in memory.
    """

    def __init__(self, folder: Path, row_type: np.dtype[Any], *, max_rows: int = MAX_ROWS_IN_MEMORY) -> None:
        self._folder = folder
        self._type = np.dtype([("key", "<u8"), ("row", row_type)])
        self._max_rows = max_rows
        self._counts: dict[tuple[int, int, int], int] = {}

    def add(self, classes: NDArray[np.int64], keys: Keys, rows: NDArray[Any]) -> None:
        """Take rows in any order."""
        records = np.empty(len(rows), dtype=self._type)
        records["key"], records["row"] = keys, rows
        for each in np.unique(classes):
            self._spread(int(each), _FIRST_ORDER, records[classes == each])

    def sorted(self, number: int) -> Iterator[tuple[Keys, NDArray[Any]]]:
        """Keys and rows of a class in the order of the keys, a bounded part at a time; they are then gone from here."""
        for cell in range(12 * 4**_FIRST_ORDER):
            yield from self._sorted_cell(number, _FIRST_ORDER, cell)

    def count(self, number: int) -> int:
        """Rows of a class."""
        return sum(
            count for (each, order, _), count in self._counts.items() if each == number and order == _FIRST_ORDER
        )

    def _spread(self, number: int, order: int, records: NDArray[Any]) -> None:
        cells = (records["key"] >> np.uint64(2 * (KEY_ORDER - order))).astype(np.int64)
        by_cell = np.argsort(cells, kind="stable")
        found, starts = np.unique(cells[by_cell], return_index=True)
        for cell, part in zip(found, np.split(by_cell, starts[1:]), strict=True):
            with self._path(number, order, int(cell)).open("ab") as file:
                records[part].tofile(file)
            place = (number, order, int(cell))
            self._counts[place] = self._counts.get(place, 0) + len(part)

    def _sorted_cell(self, number: int, order: int, cell: int) -> Iterator[tuple[Keys, NDArray[Any]]]:
        count = self._counts.get((number, order, cell), 0)
        if not count:
            return
        path = self._path(number, order, cell)
        if count > self._max_rows and order < KEY_ORDER:
            with path.open("rb") as file:
                while len(part := np.fromfile(file, dtype=self._type, count=_READ_ROWS)):
                    self._spread(number, order + 1, part)
            path.unlink()
            for child in range(4 * cell, 4 * cell + 4):
                yield from self._sorted_cell(number, order + 1, child)
            return
        records = np.fromfile(path, dtype=self._type)
        path.unlink()
        records = records[np.argsort(records["key"], kind="stable")]
        yield np.ascontiguousarray(records["key"]), np.ascontiguousarray(records["row"])

    def _path(self, number: int, order: int, cell: int) -> Path:
        return self._folder / f"{number}-{order}-{cell}.rows"
