"""SkyBoT: objects of the solar system that were at a place when an image was taken.

One request a place, because every image has a time of its own. An asteroid that only passes is no object of the sky:
where the time of an image is not known, SkyBoT covers nothing.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from astrolens.crossref.catalogues import tap
from astrolens.crossref.catalogues.base import SEARCH_RADIUS_ARCSEC, Canary, CatalogueRequest, ObjectsByPlace
from astrolens.crossref.catalogues.votable import Column, read_rows
from astrolens.crossref.places import Place

DEFAULT_URL: Final = "https://ssp.imcce.fr/webservices/skybot/api/conesearch.php"
_WEB: Final = "https://ssp.imcce.fr/webservices/skybot"
_FIRST: Final = datetime(1889, 11, 13, tzinfo=UTC)
_LAST: Final = datetime(2060, 1, 1, tzinfo=UTC)
"""The years that SkyBoT has ephemerides for, by its documentation."""

_COLUMNS: Final = (
    Column("name", ("Name",), ("meta.id;meta.main",), needed=True),
    Column("object_type", ("Class",), ("meta.code.class;src.class",)),
    Column("ra_deg", ("_RAJ2000",), (), ("deg",), needed=True),
    Column("dec_deg", ("_DECJ2000",), (), ("deg",), needed=True),
    Column("position_error_arcsec", ("ErrPos",), ("stat.error.sys",), ("arcsec",)),
    Column("magnitude", ("Mv",)),
    Column("link", ("ExternalLink",), ("meta.ref.url",)),
)

JUPITER: Final = Canary(
    place=Place("canary-jupiter", 276.96151, -23.19409, datetime(2020, 1, 1, tzinfo=UTC)),
    name="Jupiter",
    within_arcsec=60.0,
)
"""Where Jupiter was at a time, seen from the Earth's centre, by astropy's `get_body`; aberration is below 20 arcsec."""


_J2000: Final = datetime(2000, 1, 1, 12, tzinfo=UTC)


def _julian_date(time: datetime) -> float:
    """Julian date in UTC, days."""
    return 2_451_545.0 + (time - _J2000) / timedelta(days=1)


class Skybot:
    """SkyBoT as a remote catalogue."""

    name = "skybot"
    release = "SkyBoT (INPOP, astorb)"
    per_second = 2.0
    max_places = 1
    mean_density_per_deg2 = 10.0
    canaries: tuple[Canary, ...] = (JUPITER,)
    embedded_canaries: tuple[Canary, ...] = ()

    def __init__(self, url: str = DEFAULT_URL) -> None:
        self._url = url
        self.host = urlsplit(url).netloc

    def not_covered_reason(self, place: Place) -> str | None:
        """It needs the time of an image."""
        if place.observed_at is None:
            return "the time of the observation is not known: what moves cannot be looked for"
        if not _FIRST <= place.observed_at < _LAST:
            return f"SkyBoT has no ephemerides for {place.observed_at.year}"
        return None

    def request_for(self, places: Sequence[Place]) -> CatalogueRequest:
        """One place at its time."""
        (place,) = places
        if place.observed_at is None:
            raise ValueError(f"SkyBoT is asked about {place.key}, which has no time")
        params = {
            "-ra": repr(place.ra_deg),
            "-dec": repr(place.dec_deg),
            "-rd": repr(SEARCH_RADIUS_ARCSEC / 3600.0),
            "-ep": repr(_julian_date(place.observed_at)),
            "-loc": "500",
            "-filter": "120",
            # Asteroids, planets and comets.
            "-objFilter": "111",
            "-refsys": "EQJ2000",
            "-output": "all",
            "-mime": "votable",
        }
        return CatalogueRequest(url=self._url, params=params)

    def read(self, body: bytes, places: Sequence[Place]) -> ObjectsByPlace:
        """What moved past the place."""
        return tap.by_distance(read_rows(body, _COLUMNS, host=self.host), places, host=self.host)

    def link(self, place: Place) -> str:
        """SkyBoT's own page."""
        del place
        return _WEB
