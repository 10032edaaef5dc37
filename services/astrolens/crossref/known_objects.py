"""What a catalogue says of one of its objects, before anybody judges whether an image shows it."""

from pydantic import Field

from astrolens.contracts.base import Contract, DecDeg, RaDeg


class KnownObject(Contract):
    """One object of a catalogue."""

    name: str
    ra_deg: RaDeg
    dec_deg: DecDeg
    object_type: str | None = None
    position_error_arcsec: float | None = Field(default=None, ge=0)
    major_axis_arcsec: float | None = Field(default=None, gt=0)
    minor_axis_arcsec: float | None = Field(default=None, gt=0)
    position_angle_deg: float | None = None
    magnitude: float | None = None
    redshift: float | None = None
    parallax_mas: float | None = None
    references: int | None = Field(default=None, ge=0)
    link: str | None = None
