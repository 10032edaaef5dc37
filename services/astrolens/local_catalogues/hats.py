"""HATS catalogues: folders of Parquet files, one a HEALPix pixel, as LSDB publishes them.

The index sorts all rows anew, so that no partition has an edge. A margin catalogue repeats rows of neighbouring
partitions; its rows are used only where the neighbour itself is not in the folder, as where a part was downloaded.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from astrolens.local_catalogues.cells import key_ranges, keys_of
from astrolens.local_catalogues.columns import TableColumn
from astrolens.local_catalogues.readers import ParquetTable
from astrolens.platform.errors import ConfigurationError

_PARTITION: Final = re.compile(r"Norder=(\d+)/Dir=\d+/Npix=(\d+)(?:[./].*)?$")
_PROPERTIES: Final = ("hats.properties", "properties")
_COLLECTION: Final = "collection.properties"


def is_hats(folder: Path) -> bool:
    """Whether a folder is a HATS catalogue or a collection of them."""
    return any((folder / name).is_file() for name in (*_PROPERTIES, _COLLECTION))


class HatsTable:
    """A HATS catalogue, with those rows of its margins that its own partitions lack.

    Attributes:
        title: Name of the catalogue.
        partitions: Order and pixel of each of its partitions: what it covers.
        position_columns: Its columns of right ascension and declination.
    """

    def __init__(self, folder: Path) -> None:
        collection = _properties(folder / _COLLECTION)
        primary = folder / collection["hats_primary_table_url"] if "hats_primary_table_url" in collection else folder
        properties = next((_properties(primary / name) for name in _PROPERTIES if (primary / name).is_file()), None)
        if properties is None:
            raise ConfigurationError(f"{primary} has no hats.properties: it is no HATS catalogue")
        kind = properties.get("dataproduct_type", "object")
        if kind not in {"object", "source"}:
            raise ConfigurationError(f"{primary} is a HATS catalogue of the type {kind!r}; import one of objects")
        self.title = properties.get("obs_collection", folder.name)
        found = _partitions(primary)
        if not found:
            raise ConfigurationError(f"{primary} has no partitions (dataset/Norder=…/Dir=…/Npix=….parquet)")
        self.partitions = tuple(found)
        self._table = ParquetTable([path for paths in found.values() for path in paths])
        margins = [folder / name for name in collection.get("all_margins", "").split()]
        margin_files = [path for margin in margins for paths in _partitions(margin).values() for path in paths]
        self._margin = ParquetTable(margin_files) if margin_files else None
        self.columns: Sequence[TableColumn] = self._table.columns
        self.rows: int | None = self._table.rows
        self.unreadable = 0
        names = {column.name for column in self.columns}
        wanted = {"ra": properties.get("hats_col_ra", ""), "dec": properties.get("hats_col_dec", "")}
        self.position_columns = {role: name for role, name in wanted.items() if name in names}

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows of its partitions, then those of its margins that lie in no partition of it."""
        yield from self._table.batches(names)
        if self._margin is None or set(self.position_columns) != {"ra", "dec"}:
            return
        covered = ranges_of(self.partitions)
        columns = {column.name for column in self._margin.columns}
        if not set(names) <= columns:
            return
        seen: set[tuple[float, float]] = set()
        for batch in self._margin.batches(names):
            ra, dec = (
                batch.column(self.position_columns[role]).to_numpy(zero_copy_only=False) for role in ("ra", "dec")
            )
            outside = np.searchsorted(covered, keys_of(ra, dec), side="right") % 2 == 0
            # A row lies in the margin of each partition that it is near to.
            for row in np.flatnonzero(outside):
                place = (float(ra[row]), float(dec[row]))
                outside[row] = place not in seen
                seen.add(place)
            yield batch.filter(pa.array(outside))


def ranges_of(partitions: Sequence[tuple[int, int]]) -> NDArray[np.uint64]:
    """Start and end keys of partitions, ascending, with those that touch joined."""
    ranges = []
    for order, pixel in partitions:
        low, high = key_ranges(np.array([pixel]), order)
        ranges.append((int(low[0]), int(high[0])))
    return joined_ranges(sorted(ranges))


def joined_ranges(ranges: Sequence[tuple[int, int]]) -> NDArray[np.uint64]:
    """Ascending ranges of keys as start, end, start, end …, with those that touch or overlap joined."""
    flat: list[int] = []
    for low, high in ranges:
        if flat and low <= flat[-1]:
            flat[-1] = max(flat[-1], high)
        else:
            flat += [low, high]
    return np.array(flat, dtype=np.uint64)


def _partitions(folder: Path) -> Mapping[tuple[int, int], list[Path]]:
    found: dict[tuple[int, int], list[Path]] = {}
    for path in sorted((folder / "dataset").glob("Norder=*/Dir=*/Npix=*")) or sorted(
        folder.glob("Norder=*/Dir=*/Npix=*")
    ):
        match = _PARTITION.search(path.as_posix())
        if match is None:
            continue
        files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        found.setdefault((int(match[1]), int(match[2])), []).extend(files)
    return found


def _properties(path: Path) -> Mapping[str, str]:
    """Keys and values of a Java properties file, as HATS writes it; empty where there is no file."""
    if not path.is_file():
        return {}
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith(("#", "!")))
    return {key.strip(): value.strip() for key, value in pairs}
