"""Image ids and their rows in the vector index, 20 bytes an image: a million Python objects would take 150 MB."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

ID_BYTES: Final = 16
_SORTABLE: Final = np.dtype("S16")


class ImageIds:
    """Distinct ids in the order in which they were added; the position of an id is its row.

    Args:
        ids: [n, 16] bytes, distinct.
    """

    def __init__(self, ids: NDArray[np.uint8] | None = None) -> None:
        self._ids = np.empty((0, ID_BYTES), dtype=np.uint8) if ids is None else np.ascontiguousarray(ids)
        self._count = len(self._ids)
        self._sorted_rows = np.argsort(_sortable(self._ids), kind="stable").astype(np.int32)

    def __len__(self) -> int:
        return self._count

    def array(self) -> NDArray[np.uint8]:
        """[n, 16]; a view."""
        return self._ids[: self._count]

    def rows(self, ids: NDArray[np.uint8]) -> NDArray[np.int64]:
        """[m] the rows of ids [m, 16], -1 for each that is not here."""
        if not self._count:
            return np.full(len(ids), -1, dtype=np.int64)
        positions = np.minimum(self._positions(ids), self._count - 1)
        rows = self._sorted_rows[positions].astype(np.int64)
        return np.where((self._ids[rows] == ids).all(axis=1), rows, -1)

    def add(self, ids: NDArray[np.uint8]) -> None:
        """Add m ids [m, 16] that are distinct and not here yet."""
        order = np.argsort(_sortable(ids), kind="stable")
        positions = self._positions(ids[order])
        self._sorted_rows = np.insert(self._sorted_rows, positions, (self._count + order).astype(np.int32))
        end = self._count + len(ids)
        if end > len(self._ids):
            # Memory that is not written yet is not resident.
            grown = np.empty((max(end, 2 * len(self._ids)), ID_BYTES), dtype=np.uint8)
            grown[: self._count] = self.array()
            self._ids = grown
        self._ids[self._count : end] = ids
        self._count = end

    def _positions(self, ids: NDArray[np.uint8]) -> NDArray[Any]:
        return np.searchsorted(_sortable(self.array()), _sortable(ids), sorter=self._sorted_rows)


def _sortable(ids: NDArray[np.uint8]) -> NDArray[np.bytes_]:
    return np.ascontiguousarray(ids).view(_SORTABLE)[:, 0]
