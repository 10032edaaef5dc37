"""The one base of every contract model."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema


def _as_utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


def utc_text(moment: datetime) -> str:
    """An aware time as documents hold it: UTC, always with microseconds, so that texts sort as the times do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


UtcTime = Annotated[
    AwareDatetime,
    AfterValidator(_as_utc),
    PlainSerializer(utc_text, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""An aware time, always in UTC, as text of one width."""

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
