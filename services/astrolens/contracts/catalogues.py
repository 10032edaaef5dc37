"""What one catalogue says of one place, with the objects that it has there."""

from enum import StrEnum
from typing import Final

from pydantic import Field

from astrolens.contracts.base import Contract, DecDeg, RaDeg, UtcTime

MIN_CENTRE_ARCSEC: Final = 5.0
MAX_CENTRE_ARCSEC: Final = 60.0
"""Of the largest galaxies every image shows a part."""
_CENTRE_OF_AXIS: Final = 0.25
"""Of the major axis: nearer to the centre an image shows the object itself, further out a part of it."""


class MatchStatus(StrEnum):
    """What one catalogue says of one place."""

    MATCHED = "matched"
    NONE = "none"
    NOT_COVERED = "not_covered"
    FAILED = "failed"
    STALE = "stale"


class CrossmatchStatus(StrEnum):
    """What all catalogues together say of one place."""

    KNOWN = "known"
    UNMATCHED = "unmatched"
    UNDETERMINED = "undetermined"


class Counterpart(Contract):
    """An object of a catalogue near the place of an image."""

    name: str = Field(description="Name in the catalogue.")
    object_type: str | None = Field(default=None, description="Type as the catalogue writes it, such as `G`.")
    ra_deg: RaDeg = Field(description="Right ascension, ICRS [deg].")
    dec_deg: DecDeg = Field(description="Declination, ICRS [deg].")
    separation_arcsec: float = Field(ge=0, description="Angular distance from the image's position [arcsec].")
    matches: bool = Field(
        default=True,
        description="Whether it can be what the image shows; false for the nearest known object where none can.",
    )
    chance_probability: float | None = Field(
        default=None, ge=0, le=1, description="Probability of an unrelated object at least as near [1]."
    )
    major_axis_arcsec: float | None = Field(default=None, description="Major axis, full length [arcsec].")
    minor_axis_arcsec: float | None = Field(default=None, description="Minor axis, full length [arcsec].")
    position_angle_deg: float | None = Field(
        default=None, description="Position angle of the major axis, north through east [deg]."
    )
    magnitude: float | None = Field(
        default=None, description="Brightness in the catalogue's main band, magnitudes [1]."
    )
    redshift: float | None = Field(default=None, description="Redshift [1].")
    parallax_mas: float | None = Field(default=None, description="Parallax [mas].")
    references: int | None = Field(
        default=None, ge=0, description="References in the literature, where the catalogue counts them [1]."
    )
    link: str | None = Field(default=None, description="Page about it, for people.")

    @property
    def centre_arcsec(self) -> float:
        """How far from its centre an image shows the object itself, and not a part of it."""
        centre = _CENTRE_OF_AXIS * (self.major_axis_arcsec or 0.0)
        return min(max(MIN_CENTRE_ARCSEC, centre), MAX_CENTRE_ARCSEC)


class CatalogueAnswer(Contract):
    """What one catalogue says of one place."""

    catalogue: str = Field(description="Catalogue, such as `simbad` or `vizier:B/vsx/vsx`.")
    required: bool = Field(description="Whether its answer is needed for `unmatched`.")
    status: MatchStatus = Field(
        description="`matched`, `none` (it covers the place, answered, and had nothing), `not_covered`, `failed`, or "
        "`stale` (an answer past its lifetime, because the catalogue does not answer now)."
    )
    detail: str | None = Field(default=None, description="Why it is `failed`, `stale` or `not_covered`, as a sentence.")
    radius_arcsec: float | None = Field(default=None, description="Radius that was searched [arcsec].")
    answered_at: UtcTime | None = Field(
        default=None, description="When the catalogue gave this answer, UTC [us since 1970-01-01]."
    )
    cache_age_s: float | None = Field(
        default=None, description="Age of the answer when it was used, where it was kept from before [s]."
    )
    release: str | None = Field(default=None, description="Release or table of the catalogue.")
    counterparts: tuple[Counterpart, ...] = Field(
        default=(), description="Objects that can be what the image shows, the best first; else the nearest known one."
    )
    link: str | None = Field(default=None, description="Page of the catalogue at the place, for people.")

    @property
    def statement(self) -> tuple[object, ...]:
        """What it says, apart from when and in which words."""
        named = tuple((each.name, each.matches, each.references) for each in self.counterparts)
        return self.catalogue, self.status, named

    @property
    def knows(self) -> bool:
        """Whether it names an object that can be what the image shows."""
        return self.best is not None

    @property
    def best(self) -> Counterpart | None:
        """The object that explains the image best; None where none does."""
        return next((counterpart for counterpart in self.counterparts if counterpart.matches), None)

    @property
    def centred(self) -> Counterpart | None:
        """The object that the image shows, and not only a part of it; None where none is known."""
        best = self.best
        return best if best is not None and best.separation_arcsec <= best.centre_arcsec else None
