"""What an image file states about its picture, and how much of the picture was measured.

The record of an image keeps this beside what people gave: `ImageRecord.observation` has the value that holds, `origins`
says for each where it came from, and what a person gave wins over what a header says.
"""

from typing import Annotated, Literal

from pydantic import Field

from astrolens.contracts.base import Contract, DecDeg, RaDeg, Slug, UtcTime

Origin = Literal["given", "header", "file"]
"""Where a value of an observation came from: a person or a source gave it, the file's header states it, or (of the name
alone) it is the file's."""

ThirdAxis = Literal["bands", "assumed-bands", "stokes", "spectral", "time", "groups", "unknown", "stamps"]
"""What the planes of an image are. `assumed-bands`: its header does not say, and their order was assumed. `stamps`: the
science, template and difference images of an alert packet."""

_Text = Annotated[str, Field(max_length=120)]
_Share = Annotated[float, Field(ge=0.0, le=1.0)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]


class FileHeader(Contract):
    """What a file states about its picture; null and empty where it does not."""

    ra_deg: RaDeg | None = None
    dec_deg: DecDeg | None = None
    frame: _Text | None = Field(default=None, description="Frame of the position in the file, such as `galactic`.")
    pixel_scale_arcsec: _Finite | None = Field(default=None, gt=0, description="Arcseconds a pixel of the original.")
    north_angle_deg: float | None = Field(
        default=None,
        ge=-180,
        le=180,
        description="Angle from up to north in the original as its format draws it, counterclockwise.",
    )
    mirrored: bool | None = Field(default=None, description="Whether east lies clockwise of north in the original.")
    name: _Text | None = Field(default=None, description="Name of the object.")
    survey: Slug | None = Field(default=None, description="Of an alert packet, by its kind.")
    bands: tuple[_Text, ...] = Field(default=(), max_length=64, description="Filters, in the order of the planes.")
    observed_at: UtcTime | None = Field(default=None, description="Begin of the exposure.")
    time_source: _Text | None = Field(default=None, description="Keyword and time scale of `observed_at`.")
    axis_3: ThirdAxis | None = Field(default=None, description="What the planes of the image are, where it has many.")
    planes: tuple[_Text, ...] = Field(default=(), max_length=64, description="Planes that are shown, red first.")
    image: _Text | None = Field(default=None, description="Which image of the file was used, where it has many.")
    images: tuple[_Text, ...] = Field(default=(), max_length=64, description="All images of the file.")
    extra: dict[_Text, _Text] = Field(default_factory=dict, max_length=64, description="Further metadata.")
    notes: tuple[Annotated[str, Field(max_length=240)], ...] = Field(
        default=(), max_length=16, description="What was assumed, ignored or could not be read, and why."
    )


class PixelQuality(Contract):
    """How much of an image was measured, and how far it stands out of the noise."""

    masked_share: _Share = Field(default=0.0, description="Share of the pixels without a value in any band.")
    coverage: dict[_Text, _Share] = Field(
        default_factory=dict, max_length=64, description="Share of the pixels with a value, by band or plane."
    )
    significance: _Finite | None = Field(
        default=None,
        ge=0,
        description="How far it stands out of noise alone: 6.2 or more is an object, and means `at least`.",
    )
    sky_level: _Finite | None = Field(default=None, description="Of the first plane, in the unit of the file.")
    noise: _Finite | None = Field(default=None, ge=0, description="Standard deviation of the sky, in the same unit.")
