"""The one base of every contract model."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field


def _as_utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


UtcTime = Annotated[AwareDatetime, AfterValidator(_as_utc)]
"""An aware time, always in UTC."""

RaDeg = Annotated[float, Field(ge=0.0, lt=360.0, description="Right ascension, ICRS, degrees.")]
DecDeg = Annotated[float, Field(ge=-90.0, le=90.0, description="Declination, ICRS, degrees.")]
PValue = Annotated[float, Field(ge=0.0, le=1.0)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
"""A survey or class name: safe in topic names, file names and URLs."""


class Contract(BaseModel):
    """Frozen, and tolerant of fields that a newer producer adds."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def utc_now() -> datetime:
    """The present time, aware, in UTC."""
    return datetime.now(UTC)
