"""The settings of the catalogues: which are asked, and where."""

from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode

CATALOGUE_LISTS: Final = ("catalogues_required", "catalogues_informative")


def split_commas(value: Any) -> Any:
    """The items of a comma-separated text, `none` being no item; anything else as it is."""
    if isinstance(value, str):
        names = tuple(part.strip() for part in value.split(",") if part.strip())
        return () if names == ("none",) else names
    return value


class CatalogueSettings(BaseSettings):
    """Settings of the crossref service, a part of `Settings`."""

    catalogues_required: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("simbad", "ned"),
        description="Comma-separated catalogues that must answer before anything is called unmatched, or `none`.",
    )
    catalogues_informative: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(
            "vizier:I/355/gaiadr3@RA_ICRS/DE_ICRS",
            "vizier:VII/291/gladep",
            "vizier:B/vsx/vsx",
            "vizier:VII/294/catalog",
            "vizier:J/A+A/588/A103/cat2rxs",
            "vizier:VIII/65/nvss",
            "skybot",
        ),
        description="Comma-separated catalogues that are asked as well (`vizier:TABLE`, `skybot`), or `none`.",
    )
    simbad_url: str = Field(
        default="https://simbad.cds.unistra.fr/simbad/sim-tap/sync", description="TAP service of SIMBAD."
    )
    ned_url: str = Field(default="https://ned.ipac.caltech.edu/tap/sync", description="TAP service of NED.")
    ned_cone_url: str = Field(
        default="https://ned.ipac.caltech.edu/NED::API/ConeSearchByPosition",
        description="Cone search of NED, asked where its TAP service fails.",
    )
    vizier_url: str = Field(
        default="https://tapvizier.cds.unistra.fr/TAPVizieR/tap/sync", description="TAP service of VizieR."
    )
    vizier_asu_url: str = Field(
        default="https://vizier.cds.unistra.fr/viz-bin/votable",
        description="ASU service of VizieR, asked about several tables at once; its TAP service where that fails.",
    )
    xmatch_url: str = Field(
        default="https://cdsxmatch.cds.unistra.fr/xmatch/api/v1/sync", description="CDS X-Match, for many places."
    )
    skybot_url: str = Field(
        default="https://ssp.imcce.fr/webservices/skybot/api/conesearch.php", description="Cone search of SkyBoT."
    )

    @field_validator(*CATALOGUE_LISTS, mode="before")
    @classmethod
    def _split_catalogues(cls, value: Any) -> Any:
        return split_commas(value)

    @field_validator(
        *("simbad_url", "ned_url", "ned_cone_url", "vizier_url", "vizier_asu_url", "xmatch_url", "skybot_url"),
        mode="after",
    )
    @classmethod
    def _check_catalogue_address(cls, value: str) -> str:
        parts = urlsplit(value)
        loopback = parts.hostname in {"127.0.0.1", "::1", "localhost"}
        if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and loopback)):
            raise ValueError("write it as https://host/path; plain http is for this machine only")
        return value
