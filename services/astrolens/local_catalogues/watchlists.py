"""Watchlists: a person's own places, given as positions or as names that the catalogues on this machine know."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from astrolens.local_catalogues.catalogue_folder import LocalCatalogues
from astrolens.local_catalogues.columns import ROLES, TableColumn, find_column
from astrolens.local_catalogues.index import MAX_NAMED_ROWS
from astrolens.local_catalogues.readers import TableReader
from astrolens.science.match_radius import CatalogObject

_ADDED = (
    TableColumn(name="found_ra", unit="deg"),
    TableColumn(name="found_dec", unit="deg"),
    TableColumn(name="found_semi_major", unit="arcsec"),
)


class NamedPlaces:
    """A table of names without positions, with the positions of the objects that have these names.

    A name that nobody knows has no position, and is refused as such a row.
    """

    def __init__(self, table: TableReader, name_column: str, catalogues: LocalCatalogues) -> None:
        self._table = table
        self._name_column = name_column
        self._indexes = [each for each in catalogues.indexes().values() if each.manifest.rows <= MAX_NAMED_ROWS]
        self.columns: Sequence[TableColumn] = [TableColumn(name=name_column), *_ADDED]
        self.roles = {
            "name": name_column,
            "ra": "found_ra",
            "dec": "found_dec",
            "semi_major": "found_semi_major",
        }
        self.rows = table.rows

    @property
    def unreadable(self) -> int:
        """Rows that were skipped because they do not have the table's columns."""
        return self._table.unreadable

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows, with the positions of what is known."""
        for batch in self._table.batches([self._name_column]):
            given = [str(each or "").strip() for each in batch.column(self._name_column).to_pylist()]
            found = [self._find(each) for each in given]
            columns = {
                self._name_column: pa.array(given, type=pa.string()),
                "found_ra": pa.array([each and each.ra_deg for each in found], type=pa.float64()),
                "found_dec": pa.array([each and each.dec_deg for each in found], type=pa.float64()),
                "found_semi_major": pa.array([each and each.semi_major_arcsec for each in found], type=pa.float64()),
            }
            yield pa.RecordBatch.from_arrays([columns[name] for name in names], names=list(names))

    def _find(self, name: str) -> CatalogObject | None:
        for index in self._indexes:
            rows = index.named(name) if name else np.zeros(0, np.int64)
            if rows.size:
                return index.objects(rows[:1])[0]
        return None


def named_places(table: TableReader, catalogues: LocalCatalogues, given: Sequence[str]) -> NamedPlaces | None:
    """The table with positions looked up by name, where it has names and no positions of its own.

    Args:
        table: What was opened.
        catalogues: Where names are looked up.
        given: Roles whose columns the user named: a table whose position he names has one.
    """
    if {"ra", "dec"} & set(given) or find_column(ROLES["ra"], table.columns) is not None:
        return None
    name = find_column(ROLES["name"], table.columns)
    return None if name is None else NamedPlaces(table, name.name, catalogues)
