"""Tables of VizieR: any, by name. TAPVizieR with an upload for some places, CDS X-Match in bulk.

Columns are found by their UCD, because every table has names of its own; a table whose positions are not `RAJ2000` and
`DEJ2000` names them, as in `vizier:I/355/gaiadr3@RA_ICRS/DE_ICRS`. X-Match refuses an upload of a single row, and
answers "Too many jobs are being processed" with status 200 where it is busy.
"""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, urlsplit

from astrolens.crossref.catalogues import tap
from astrolens.crossref.catalogues.base import SEARCH_RADIUS_ARCSEC, Canary, CatalogueRequest, ObjectsByPlace
from astrolens.crossref.catalogues.votable import Column, Row, read_rows
from astrolens.crossref.places import Place

TAP_URL: Final = "https://tapvizier.cds.unistra.fr/TAPVizieR/tap/sync"
XMATCH_URL: Final = "https://cdsxmatch.cds.unistra.fr/xmatch/api/v1/sync"
_WEB: Final = "https://vizier.cds.unistra.fr/viz-bin/VizieR-4"

BULK: Final = 20
"""Places from which X-Match is asked: it is made for many, and counts jobs."""

PREFIX: Final = "vizier:"
_NAME: Final = re.compile(r"^vizier:([A-Za-z0-9/+.*_-]+)(?:@([A-Za-z0-9_]+)/([A-Za-z0-9_]+))?$")

_QUASAR: Final = Place("canary", 187.277915, 2.052388)
"""3C 273: bright in visible light, X-rays and radio."""
_M31: Final = Place("canary", 10.684708, 41.26875)
_MIRA: Final = Place("canary", 34.836617, -2.977647)

_KNOWN: Final[dict[str, tuple[str, Canary | None, float]]] = {
    "I/355/gaiadr3": ("Gaia DR3", Canary(_QUASAR, None, within_arcsec=2.0), 44_000.0),
    "VII/291/gladep": ("GLADE+", Canary(_M31, None, within_arcsec=15.0), 545.0),
    "B/vsx/vsx": ("VSX", Canary(_MIRA, None, within_arcsec=10.0), 240.0),
    "VII/294/catalog": ("Milliquas", Canary(_QUASAR, None, within_arcsec=5.0), 22.0),
    "J/A+A/588/A103/cat2rxs": ("2RXS", Canary(_QUASAR, None, within_arcsec=60.0), 3.3),
    "VIII/65/nvss": ("NVSS", Canary(_QUASAR, None, within_arcsec=20.0), 52.0),
}
"""Titles, canaries and mean densities (objects a square degree) of the default tables. A table
of a user's own has no canary: only its status, schema and places are checked."""

_OTHER_DENSITY: Final = 1000.0


class VizierTable:
    """One table of VizieR as a remote catalogue.

    Raises:
        ValueError: `name` names no table.
    """

    per_second = 2.0
    max_places = 200

    def __init__(self, name: str, *, tap_url: str = TAP_URL, xmatch_url: str = XMATCH_URL) -> None:
        found = _NAME.match(name)
        if found is None:
            raise ValueError(f"{name!r}: write vizier:TABLE, or vizier:TABLE@RA_COLUMN/DEC_COLUMN")
        self.table = found[1]
        self.name = PREFIX + self.table
        self._ra, self._dec = found[2] or "RAJ2000", found[3] or "DEJ2000"
        self._tap_url, self._xmatch_url = tap_url, xmatch_url
        self.host = urlsplit(tap_url).netloc
        self.title, canary, self.mean_density_per_deg2 = _KNOWN.get(self.table, (self.table, None, _OTHER_DENSITY))
        self.release = f"{self.title} ({self.table})"
        self.canaries: tuple[Canary, ...] = () if canary is None else (canary,)
        self.embedded_canaries: tuple[Canary, ...] = self.canaries

    def not_covered_reason(self, place: Place) -> str | None:
        """What a table covers is not known here; NVSS and others end at a declination, and say nothing of it."""
        if self.table == "VIII/65/nvss" and place.dec_deg < -40.0:
            return "NVSS ends at a declination of -40 degrees"
        return None

    def request_for(self, places: Sequence[Place]) -> CatalogueRequest:
        """A TAP query with an upload, or an X-Match of many places."""
        if len(places) >= BULK:
            # A key of ours, because X-Match takes a column of hexadecimal ids for numbers where it can.
            rows = "".join(f"p{number},{at.ra_deg!r},{at.dec_deg!r}\n" for number, at in enumerate(places))
            return CatalogueRequest(
                url=self._xmatch_url,
                form={
                    "request": "xmatch",
                    "distMaxArcsec": f"{SEARCH_RADIUS_ARCSEC:g}",
                    "RESPONSEFORMAT": "votable",
                    "cat2": self.name,
                    "colRA1": "place_ra",
                    "colDec1": "place_dec",
                    "area": "allsky",
                },
                files={"cat1": ("places.csv", f"k,place_ra,place_dec\n{rows}")},
            )
        near = tap.cone(f'v."{self._ra}"', f'v."{self._dec}"', "t.ra", "t.dec")
        query = f'SELECT t.k, v.* FROM TAP_UPLOAD.{tap.UPLOAD} AS t JOIN "{self.table}" AS v ON {near}'  # noqa: S608
        return tap.uploading(self._tap_url, query, places)

    def read(self, body: bytes, places: Sequence[Place]) -> ObjectsByPlace:
        """The objects around each place."""
        bulk = len(places) >= BULK
        # X-Match's replies are no TAP results: they carry a status only where something went wrong.
        rows = read_rows(body, self.columns(), host=self.host, needs_status=not bulk)
        if bulk:
            keys = {f"p{number}": place.key for number, place in enumerate(places)}
            rows = [{**row, "key": keys.get(str(row.get("key")))} for row in rows]
        return tap.by_key([self.named(row) for row in rows], places, host=self.host)

    def link(self, place: Place) -> str:
        """VizieR's page of the table at a place."""
        return f"{_WEB}?-source={quote(self.table)}&-c={place.ra_deg:.6f}{place.dec_deg:+.6f}&-c.rm=2"

    def columns(self) -> tuple[Column, ...]:
        """What is read of a table, by names and UCDs."""
        return (
            Column("key", ("k",), needed=True),
            Column("name", ("Name", "Source", "PGC", "2RXS", "NVSS"), ("meta.id;meta.main", "ID_MAIN", "meta.id")),
            Column("ra_deg", (self._ra,), ("pos.eq.ra;meta.main", "POS_EQ_RA_MAIN"), ("deg",), needed=True),
            Column("dec_deg", (self._dec,), ("pos.eq.dec;meta.main", "POS_EQ_DEC_MAIN"), ("deg",), needed=True),
            Column("object_type", ("Type",), ("src.class", "meta.code.class;src.var")),
            Column("redshift", ("z", "zhelio", "zsp"), ("src.redshift",)),
            Column("parallax_mas", ("Plx",), ("pos.parallax.trig", "pos.parallax"), ("mas",)),
            Column("magnitude", ("Gmag", "Bmag", "Rmag"), ("phot.mag;em.opt",), ("mag",)),
        )

    def named(self, row: Row) -> Row:
        """A row whose name says the table as well."""
        name = str(row.get("name") or "").strip()
        return {**row, "name": f"{self.title} {name}".strip() if not name.startswith(self.title) else name}
