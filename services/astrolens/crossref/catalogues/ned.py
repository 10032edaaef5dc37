"""NED: objects outside the Galaxy. TAP on `objdir`, and the REST cone search of 2026 as a second way.

NED reports an outage with `QUERY_STATUS` OK, a PARAM named `Error` and no table; `votable.read_rows` reads both. Its
TAP takes no upload, so one query asks for several circles, and rows are told apart by where they lie. The REST call has
the position in degrees and the radius in arcminutes; a canary would show where that changes.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, urlsplit

from astrolens.crossref.catalogues import tap
from astrolens.crossref.catalogues.base import MAX_ROWS, SEARCH_RADIUS_ARCSEC, Canary, CatalogueRequest, ObjectsByPlace
from astrolens.crossref.catalogues.votable import Column, Row, read_rows
from astrolens.crossref.places import Place

TAP_URL: Final = "https://ned.ipac.caltech.edu/tap/sync"
CONE_URL: Final = "https://ned.ipac.caltech.edu/NED::API/ConeSearchByPosition"
_WEB: Final = "https://ned.ipac.caltech.edu"

_COLUMNS: Final = (
    Column("name", ("prefname", "Object Name"), ("meta.id;meta.main",), needed=True),
    Column("object_type", ("pretype", "ptype", "Type"), ("src.class",)),
    Column("ra_deg", ("ra", "RA(deg)", "RA"), ("pos.eq.ra;meta.main",), ("deg", ""), needed=True),
    Column("dec_deg", ("dec", "DEC(deg)", "DEC"), ("pos.eq.dec;meta.main",), ("deg", ""), needed=True),
    Column("redshift", ("z", "Redshift"), ("src.redshift",)),
    Column("references", ("n_ref", "References")),
)

QUASAR: Final = Canary(place=Place("canary-quasar", 187.277915, 2.052388), name="3C 273", within_arcsec=5.0)
CORE: Final = Canary(place=Place("canary-core", 10.684708, 41.26875), name="MESSIER 031", min_count=10)
"""NED's name of M 31, in a crowded place."""


class _Ned:
    """What both ways share."""

    name = "ned"
    per_second = 2.0
    mean_density_per_deg2 = 26_000.0

    def __init__(self, url: str) -> None:
        self._url = url
        self.host = urlsplit(url).netloc

    def not_covered_reason(self, place: Place) -> str | None:
        """It covers the whole sky."""
        del place
        return None

    def read(self, body: bytes, places: Sequence[Place]) -> ObjectsByPlace:
        """The objects around each place."""
        rows = read_rows(body, _COLUMNS, host=self.host)
        return tap.by_distance([_named(row) for row in rows], places, host=self.host)

    def link(self, place: Place) -> str:
        """NED's page of what is around a place."""
        return (
            f"{_WEB}/conesearch?search_type=Near%20Position%20Search&ra={place.ra_deg:.6f}d"
            f"&dec={place.dec_deg:.6f}d&radius=2"
        )


class Ned(_Ned):
    """NED by TAP."""

    release = "NED objdir"
    max_places = 25
    canaries: tuple[Canary, ...] = (QUASAR, CORE)
    embedded_canaries: tuple[Canary, ...] = (QUASAR,)

    def __init__(self, url: str = TAP_URL) -> None:
        super().__init__(url)

    def request_for(self, places: Sequence[Place]) -> CatalogueRequest:
        """One query with a circle for each place."""
        circles = " OR ".join(tap.cone("ra", "dec", repr(place.ra_deg), repr(place.dec_deg)) for place in places)
        # All columns, because NED renames its own; the schema says which are read.
        return tap.asking(self._url, f"SELECT * FROM NEDTAP.objdir WHERE {circles}")  # noqa: S608 - numbers only


class NedCone(_Ned):
    """NED by its REST cone search, one place a request."""

    release = "NED cone search"
    max_places = 1
    canaries: tuple[Canary, ...] = (QUASAR, CORE)
    embedded_canaries: tuple[Canary, ...] = ()

    def __init__(self, url: str = CONE_URL) -> None:
        super().__init__(url)

    def request_for(self, places: Sequence[Place]) -> CatalogueRequest:
        """One place."""
        (place,) = places
        params = {
            "LON": f"{place.ra_deg!r}d",
            "LAT": f"{place.dec_deg!r}d",
            "CSYS": "Equatorial",
            "EQUINOX": "J2000.0",
            "RADIUS": repr(SEARCH_RADIUS_ARCSEC / 60.0),
            "MAXREC": str(MAX_ROWS),
        }
        return CatalogueRequest(url=self._url, params=params)


def _named(row: Row) -> Row:
    name = " ".join(str(row.get("name") or "").split())
    return {**row, "name": name, "link": f"{_WEB}/byname?objname={quote(name)}" if name else None}
