"""SIMBAD: named objects outside the solar system, with the literature about them. TAP, many places in one upload.

Columns and units are those of SIMBAD's own TAP schema (`basic`). More than five requests a second are answered with a
ban of up to an hour, so it is asked less often.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, urlsplit

from astrolens.crossref.catalogues import tap
from astrolens.crossref.catalogues.base import Canary, CatalogueRequest, ObjectsByPlace
from astrolens.crossref.catalogues.votable import Column, read_rows
from astrolens.crossref.places import Place

DEFAULT_URL: Final = "https://simbad.cds.unistra.fr/simbad/sim-tap/sync"
_WEB: Final = "https://simbad.cds.unistra.fr/simbad"

_SELECTED: Final = (
    "main_id, otype, ra, dec, coo_err_maj, galdim_majaxis, galdim_minaxis, galdim_angle, rvz_redshift, plx_value, nbref"
)
_COLUMNS: Final = (
    Column("key", ("k",), needed=True),
    Column("name", ("main_id",), ("meta.id;meta.main",), needed=True),
    Column("object_type", ("otype",), ("src.class",), needed=True),
    Column("ra_deg", ("ra",), ("pos.eq.ra;meta.main",), ("deg",), needed=True),
    Column("dec_deg", ("dec",), ("pos.eq.dec;meta.main",), ("deg",), needed=True),
    Column("error_mas", ("coo_err_maj",), units=("mas",)),
    Column("major_arcmin", ("galdim_majaxis",), units=("arcmin",), needed=True),
    Column("minor_arcmin", ("galdim_minaxis",), units=("arcmin",)),
    Column("position_angle_deg", ("galdim_angle",), units=("deg",)),
    Column("redshift", ("rvz_redshift",)),
    Column("parallax_mas", ("plx_value",), units=("mas",)),
    Column("references", ("nbref",), needed=True),
)

QUASAR: Final = Canary(place=Place("canary-quasar", 187.277915, 2.052388), name="3C 273", within_arcsec=5.0)
"""It does not move, everybody knows it, and little is around it."""
CORE: Final = Canary(place=Place("canary-core", 10.684708, 41.26875), name="M 31", within_arcsec=10.0, min_count=10)
"""A crowded place: a service that lost most of its rows has none or few here."""


class Simbad:
    """SIMBAD as a remote catalogue."""

    name = "simbad"
    release = "SIMBAD"
    per_second = 3.0
    max_places = 100
    mean_density_per_deg2 = 485.0
    canaries: tuple[Canary, ...] = (QUASAR, CORE)
    embedded_canaries: tuple[Canary, ...] = (QUASAR,)

    def __init__(self, url: str = DEFAULT_URL) -> None:
        self._url = url
        self.host = urlsplit(url).netloc

    def not_covered_reason(self, place: Place) -> str | None:
        """It covers the whole sky."""
        del place
        return None

    def request_for(self, places: Sequence[Place]) -> CatalogueRequest:
        """One query with all places."""
        selected = ", ".join(f"basic.{name.strip()}" for name in _SELECTED.split(","))
        query = (
            f"SELECT t.k, {selected} FROM TAP_UPLOAD.{tap.UPLOAD} AS t "  # noqa: S608
            f"JOIN basic ON {tap.cone('basic.ra', 'basic.dec', 't.ra', 't.dec')}"
        )
        return tap.uploading(self._url, query, places)

    def read(self, body: bytes, places: Sequence[Place]) -> ObjectsByPlace:
        """The objects around each place."""
        rows = read_rows(body, _COLUMNS, host=self.host)
        for row in rows:
            for axis in ("major", "minor"):
                value = row.pop(f"{axis}_arcmin", None)
                row[f"{axis}_axis_arcsec"] = None if value is None else value * 60.0
            error = row.pop("error_mas", None)
            row["position_error_arcsec"] = None if error is None else error / 1000.0
            if row.get("name"):
                row["name"] = " ".join(str(row["name"]).split())
                row["link"] = f"{_WEB}/sim-id?Ident={quote(row['name'])}"
        return tap.by_key(rows, places, host=self.host)

    def link(self, place: Place) -> str:
        """SIMBAD's page of what is around a place."""
        return f"{_WEB}/sim-coo?Coord={place.ra_deg:.6f}d{place.dec_deg:+.6f}d&Radius=2&Radius.unit=arcmin"
