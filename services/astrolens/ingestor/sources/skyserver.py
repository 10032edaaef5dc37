"""The requests to SDSS's SkyServer, and how its answers are read.

Two services: SQL search (`SearchTools/SqlSearch`, JSON) and colour cutouts (`ImgCutout/getjpeg`). An answer that does
not look exactly as expected is an outage, never an empty result.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import floor
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from astrolens.contracts.records import OBJECT_ID_KEY, Observation, Position
from astrolens.platform.errors import ConfigurationError, TransientError

PIXEL_SCALE_ARCSEC: Final = 0.396
"""SDSS's own pixels: asked for coarser or finer, SkyServer would interpolate."""

FRAME_PETROSIAN_RADII: Final = 10.15
"""Side of a cutout in Petrosian radii: Galaxy Zoo's framing (0.024 radii a pixel, 423 pixels; Lintott et al. 2008),
which is how the SDSS images that the model was fitted on are framed."""

MIN_SIDE_PX: Final = 96
MAX_SIDE_PX: Final = 1024

_COLUMNS: Final = ("objid", "ra", "dec", "petrorad_r", "petromag_r", "run", "camcol", "field")


class BadAnswer(TransientError):
    """SkyServer answered something that is no result: an error text, other columns, a page for people."""


@dataclass(frozen=True, slots=True)
class Galaxy:
    """A row of the galaxy query."""

    objid: int
    ra_deg: float
    dec_deg: float
    petrosian_radius_arcsec: float
    petrosian_mag_r: float
    run: int
    camcol: int
    field: int

    @property
    def side_px(self) -> int:
        """Side of its cutout, pixels."""
        side = round(FRAME_PETROSIAN_RADII * self.petrosian_radius_arcsec / PIXEL_SCALE_ARCSEC)
        return min(max(side, MIN_SIDE_PX), MAX_SIDE_PX)

    @property
    def name(self) -> str:
        """Its IAU designation, truncated as the convention demands: SDSS JHHMMSS.ss+DDMMSS.s."""
        # 1e-6 is added before the floor, since 0.29 * 100 is slightly less than 29 in floating point.
        centiseconds = floor(self.ra_deg / 15.0 * 3600.0 * 100.0 + 1e-6)
        decisec = floor(abs(self.dec_deg) * 3600.0 * 10.0 + 1e-6)
        sign = "-" if self.dec_deg < 0 else "+"
        seconds, ss = divmod(centiseconds, 100)
        arcsec, s = divmod(decisec, 10)
        return (
            f"SDSS J{seconds // 3600 % 24:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}.{ss:02d}"
            f"{sign}{arcsec // 3600:02d}{arcsec // 60 % 60:02d}{arcsec % 60:02d}.{s}"
        )


class SkyServer:
    """The URLs of one release, and the meaning of its answers."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url.rstrip("/")

    @property
    def host(self) -> str:
        """Its host, with the port where the URL names one."""
        return urlsplit(self._base_url).netloc.lower()

    @property
    def release(self) -> str:
        """Such as `dr17`."""
        return urlsplit(self._base_url).path.strip("/").split("/")[-1] or "skyserver"

    def galaxies_url(self, *, after_objid: int, limit: int) -> str:
        """The query for galaxies behind an objID. objID is the table's clustered key, so every page costs the same."""
        columns = "p.objID, p.ra, p.dec, p.petroRad_r, p.petroMag_r, p.run, p.camcol, p.field"
        query = (
            f"SELECT TOP {limit:d} {columns} FROM Galaxy AS p "  # noqa: S608 - two integers of ours
            f"WHERE p.objID > {after_objid:d} AND p.petroMag_r BETWEEN 12 AND 17.77 "
            "AND p.petroRad_r BETWEEN 4 AND 40 AND p.clean = 1 ORDER BY p.objID"
        )
        return f"{self._base_url}/SkyServerWS/SearchTools/SqlSearch?{urlencode({'cmd': query, 'format': 'json'})}"

    def cutout_url(self, galaxy: Galaxy) -> str:
        """The colour cutout around a galaxy."""
        where = {"ra": f"{galaxy.ra_deg:.7f}", "dec": f"{galaxy.dec_deg:.7f}", "scale": f"{PIXEL_SCALE_ARCSEC}"}
        size = {"width": galaxy.side_px, "height": galaxy.side_px}
        return f"{self._base_url}/SkyServerWS/ImgCutout/getjpeg?{urlencode(where | size)}"

    def observation(self, galaxy: Galaxy) -> Observation:
        """What is known of the cutout."""
        return Observation(
            survey="sdss",
            name=galaxy.name,
            position=Position(ra_deg=galaxy.ra_deg % 360.0, dec_deg=galaxy.dec_deg),
            pixel_scale_arcsec=PIXEL_SCALE_ARCSEC,
            bands=("g", "r", "i"),
            credit="Sloan Digital Sky Survey (SDSS), www.sdss.org",
            url=self.cutout_url(galaxy),
            extra={
                OBJECT_ID_KEY: str(galaxy.objid),
                "release": self.release,
                "run": str(galaxy.run),
                "camcol": str(galaxy.camcol),
                "field": str(galaxy.field),
                "petro_rad_r_arcsec": f"{galaxy.petrosian_radius_arcsec:.3f}",
                "petro_mag_r": f"{galaxy.petrosian_mag_r:.3f}",
            },
        )


def create_skyserver(base_url: str) -> SkyServer:
    """The SkyServer of the settings.

    Raises:
        ConfigurationError: It is no http or https URL.
    """
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(
            f"ASTROLENS_SDSS_BASE_URL is {base_url!r}: it must be a URL such as https://skyserver.sdss.org/dr17"
        )
    return SkyServer(base_url)


def read_galaxies(body: bytes) -> list[Galaxy]:
    """The galaxies of a JSON answer: `[{"TableName": "Table1", "Rows": [{...}]}]`.

    Raises:
        BadAnswer: It is something else.
    """
    try:
        tables = json.loads(body)
    except ValueError as error:
        start = body[:120].decode(errors="replace").strip()
        raise BadAnswer(f"SkyServer answers the query with something that is no JSON: {start!r}") from error
    rows = tables[0].get("Rows") if isinstance(tables, list) and tables and isinstance(tables[0], dict) else None
    if not isinstance(rows, list):
        message = _error_text(tables)
        raise BadAnswer(f"SkyServer answers the query with no table{f': {message}' if message else ''}")
    return [_galaxy(row) for row in rows]


def _error_text(document: Any) -> str:
    if isinstance(document, list) and document:
        document = document[0]
    if isinstance(document, dict):
        for key, value in document.items():
            if "error" in str(key).lower() and isinstance(value, str):
                return value[:200]
    return ""


def _galaxy(row: Any) -> Galaxy:
    if not isinstance(row, Mapping):
        raise BadAnswer("SkyServer answers the query with rows that have no columns")
    values = {str(name).lower(): value for name, value in row.items()}
    missing = [name for name in _COLUMNS if values.get(name) is None]
    if missing:
        raise BadAnswer(f"SkyServer's answer has no column {', '.join(missing)}")
    try:
        galaxy = Galaxy(
            # A 64-bit integer: through a float it would be another object.
            objid=int(values["objid"]),
            ra_deg=float(values["ra"]),
            dec_deg=float(values["dec"]),
            petrosian_radius_arcsec=float(values["petrorad_r"]),
            petrosian_mag_r=float(values["petromag_r"]),
            run=int(values["run"]),
            camcol=int(values["camcol"]),
            field=int(values["field"]),
        )
    except (TypeError, ValueError) as error:
        raise BadAnswer(f"SkyServer's answer has a column of another kind: {error}") from error
    if isinstance(values["objid"], float) or not (0.0 <= galaxy.ra_deg <= 360.0 and -90.0 <= galaxy.dec_deg <= 90.0):
        raise BadAnswer(f"SkyServer's answer makes no sense: objID {values['objid']}, ra {galaxy.ra_deg}")
    return galaxy
