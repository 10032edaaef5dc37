"""Several tables of VizieR in one request about a list of places, by its ASU interface.

`-source` takes several tables, `-c=<<;...` a list of places (vizier.cds.unistra.fr/vizier/vizHelp/args.htx). `_q` is
the number of the place in the list, from 1, by which astroquery tells them apart. Each table of the reply is a TABLE of
that name, without DATA where it has nothing. So six tables cost one turn of the server's limit instead of six.

Every request holds the canaries of all its tables: a table that is missing, or that lost its rows, fails by its own.
Each row must lie where its number says that it was looked for, so that a number of another kind is no answer either.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from astrolens.crossref.catalogues import tap
from astrolens.crossref.catalogues.base import MAX_ROWS, SEARCH_RADIUS_ARCSEC, Canary, CatalogueRequest, ObjectsByPlace
from astrolens.crossref.catalogues.vizier import BULK, VizierTable
from astrolens.crossref.catalogues.votable import Column, Row, read_rows
from astrolens.crossref.failures import CatalogueFailed, TooManyRows
from astrolens.crossref.places import Place

ASU_URL: Final = "https://vizier.cds.unistra.fr/viz-bin/votable"

_SHIFTED: Final = "-shifted"
"""Ending of the key of a canary that is asked a second time."""

_At = tuple[float, float]


class VizierList:
    """Tables that are asked about together.

    Args:
        tables: Each has canaries: without one a missing table could not be told from an empty one.
        url: VizieR's ASU interface, VOTable output.
    """

    def __init__(self, tables: Sequence[VizierTable], *, url: str = ASU_URL) -> None:
        self.tables = tuple(tables)
        self.url = url
        self.host = urlsplit(url).netloc

    def members(self) -> list["VizierListTable"]:
        """The tables as remote catalogues, in their order."""
        return [VizierListTable(table, self) for table in self.tables]

    def request_for(self, places: Sequence[Place]) -> CatalogueRequest:
        """The same request for the same places, whichever of the tables asks."""
        return CatalogueRequest(
            url=self.url,
            form={
                "-source": ",".join(table.table for table in self.tables),
                "-c": "<<;" + ";".join(f"{ra:.8f}{dec:+.8f}" for ra, dec in self.positions(places)),
                "-c.eq": "J2000",
                "-c.r": f"{SEARCH_RADIUS_ARCSEC:g}",
                "-c.u": "arcsec",
                "-c.geom": "r",
                "-oc.form": "dec",
                "-out.add": "_q,_RAJ2000,_DEJ2000",
                "-out.max": str(MAX_ROWS),
            },
        )

    def positions(self, places: Sequence[Place]) -> list[_At]:
        """What is asked about: the places, and the canaries of all tables, shifted ones where the places have them."""
        found = {(place.ra_deg, place.dec_deg) for place in places}
        shifts = {
            place.dec_deg - canary.place.dec_deg
            for place in places
            if place.key.endswith(_SHIFTED)
            for table in self.tables
            for canary in table.canaries
            if place.key == canary.place.key + _SHIFTED and place.ra_deg == canary.place.ra_deg
        }
        for table in self.tables:
            for canary in table.canaries:
                at = canary.place
                found |= {(at.ra_deg, at.dec_deg + shift) for shift in (0.0, *shifts)}
        return sorted(found)


class VizierListTable:
    """One table of a list as a remote catalogue; X-Match answers for many places, as before."""

    def __init__(self, table: VizierTable, together: VizierList) -> None:
        self._table, self._list = table, together
        self.name, self.release, self.title = table.name, table.release, table.title
        self.host = together.host
        self.per_second, self.max_places = table.per_second, table.max_places
        self.mean_density_per_deg2 = table.mean_density_per_deg2
        self.canaries: Sequence[Canary] = table.canaries
        self.embedded_canaries: Sequence[Canary] = table.embedded_canaries

    def not_covered_reason(self, place: Place) -> str | None:
        """What the table says."""
        return self._table.not_covered_reason(place)

    def request_for(self, places: Sequence[Place]) -> CatalogueRequest:
        """The request of the whole list."""
        return self._table.request_for(places) if len(places) >= BULK else self._list.request_for(places)

    def read(self, body: bytes, places: Sequence[Place]) -> ObjectsByPlace:
        """The objects of this table around each place."""
        if len(places) >= BULK:
            return self._table.read(body, places)
        columns = (
            Column("number", ("_q",), needed=True),
            Column("ra_deg", ("_RAJ2000",), units=("deg",), needed=True),
            Column("dec_deg", ("_DEJ2000",), units=("deg",), needed=True),
            *(column for column in self._table.columns() if column.key not in {"key", "ra_deg", "dec_deg"}),
        )
        rows = read_rows(body, columns, host=self.host, needs_status=False, table_name=self._table.table)
        if len(rows) >= MAX_ROWS:
            raise TooManyRows(f"{self.host} has as many rows of {self._table.table} as it was allowed to send")
        return tap.by_key(list(self._by_place(rows, places)), places, host=self.host)

    def link(self, place: Place) -> str:
        """VizieR's page of the table at a place."""
        return self._table.link(place)

    def _by_place(self, rows: Sequence[Row], places: Sequence[Place]) -> list[Row]:
        """The rows with the key of their place, once for each place at that position."""
        positions = self._list.positions(places)
        keys: dict[_At, list[str]] = {}
        for place in places:
            keys.setdefault((place.ra_deg, place.dec_deg), []).append(place.key)
        named: list[Row] = []
        for row in rows:
            number = row.get("number")
            if not isinstance(number, int) or not 1 <= number <= len(positions):
                raise CatalogueFailed("wrong-key", f"{self.host} answers about a place that was not asked about")
            # Rows around another table's canary concern nobody here.
            named += [self._table.named({**row, "key": key}) for key in keys.get(positions[number - 1], ())]
        return named
