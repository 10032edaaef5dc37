"""The base class and common types of contract models."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema


def _as_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{value.isoformat()} lies outside the years 1 to 9999 in UTC") from None


def utc_text(moment: datetime) -> str:
    """Format an aware time for documents: UTC with microseconds, so that lexical order is the order of time."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


UtcTime = Annotated[
    AwareDatetime,
    AfterValidator(_as_utc),
    PlainSerializer(utc_text, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""An aware time in UTC; in JSON, text of fixed width."""

RaDeg = Annotated[float, Field(ge=0.0, lt=360.0, description="Right ascension, ICRS, degrees.")]
DecDeg = Annotated[float, Field(ge=-90.0, le=90.0, description="Declination, ICRS, degrees.")]
PValue = Annotated[float, Field(ge=0.0, le=1.0)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
"""A name of a survey or class, valid in topic names, file names and URLs."""


class Contract(BaseModel):
    """A frozen model that ignores unknown fields, which newer producers may add."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def utc_now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)
