"""The settings of where images come from: sources, their rates, and the hosts that may be asked."""

from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode

from astrolens.platform.catalogue_settings import split_commas

SOURCE_LISTS: Final = ("sources",)
"""Lists whose empty text would mean the default."""


class SourceSettings(BaseSettings):
    """Settings of the sources, a part of `Settings`."""

    sources: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("simulated",), description="Comma-separated sources to fetch from, or `none`."
    )
    simulated_rate_per_min: float = Field(default=120.0, gt=0, le=60_000, description="Simulated images a minute.")
    simulated_oddity_rate: float = Field(default=0.02, ge=0, le=1, description="Share of simulated oddities.")
    simulated_seed: int = Field(default=2026, ge=0, description="Seed of the simulated sky.")
    folder_path: Path | None = Field(default=None, description="Folder that the `folder` source watches.")
    folder_survey: str = Field(default="unknown", description="Survey of the images in that folder.")
    sdss_base_url: str = Field(default="https://skyserver.sdss.org/dr17", description="SkyServer release.")
    sdss_rate_per_min: float = Field(default=30.0, gt=0, le=600, description="SDSS cutouts a minute.")
    sdss_query_limit: int = Field(default=500, ge=1, le=5000, description="Galaxies a SkyServer query.")
    fetch_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(
            "skyserver.sdss.org",
            "www.legacysurvey.org",
            "ps1images.stsci.edu",
            "images.nasa.gov",
            "apod.nasa.gov",
        ),
        description="Comma-separated hosts that images may be fetched from.",
    )

    @field_validator("sources", "fetch_hosts", mode="before")
    @classmethod
    def _split_lists(cls, value: Any) -> Any:
        return split_commas(value)

    @field_validator("folder_path", mode="after")
    @classmethod
    def _expand_folder(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().absolute()
