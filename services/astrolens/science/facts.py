"""What decoding finds out about an image beside its pixels: what its header states, and how much was measured.

Plain data without pydantic, which the sandbox's children do not import; `contracts.image_files` has the same fields
with their bounds, and the ingestor validates every reply by them.
"""

from dataclasses import dataclass, field

MAX_TEXT = 120
"""Characters of a name, a unit or the like from a header."""

MAX_NOTE = 240
"""Characters of a note."""

MAX_IMAGES = 64
"""Images of a file, and planes of an image, that are listed."""

MAX_NOTES = 16


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a file states about its picture; None and empty where it does not.

    Attributes:
        ra_deg, dec_deg: Of the centre of the picture, ICRS.
        frame: The frame in which the file gives the position, such as `FK5 J2000` or `galactic`.
        pixel_scale_arcsec: Of the original; the geometric mean of both axes.
        north_angle_deg: Of the original, drawn with its first row at the bottom (FITS) or the top (other formats):
            the angle from up to north, counterclockwise positive, -180 to 180.
        mirrored: Whether east lies clockwise of north in it, as on a map of the Earth.
        name: Of the object.
        survey: Of an alert packet, by its kind.
        bands: Filters; of a colour image in the order of its planes.
        observed_at: ISO 8601 text in UTC with its offset: begin of the exposure.
        time_source: Keyword and time scale that `observed_at` was read from, such as `DATE-OBS (TAI)`.
        axis_3: What the planes are: `bands`, `assumed-bands`, `stokes`, `spectral`, `time`, `groups`, `unknown`,
            `stamps`.
        planes: The planes that the picture shows, red first.
        image: The image of the file that was used, such as `SCI,1`; None where the file has one only.
        images: All images of the file, each with its size and, where it is no picture, its purpose.
        extra: Further metadata, such as the numbers of an alert packet.
        notes: Sentences for people: what was assumed, ignored, or could not be read, and why.
    """

    ra_deg: float | None = None
    dec_deg: float | None = None
    frame: str | None = None
    pixel_scale_arcsec: float | None = None
    north_angle_deg: float | None = None
    mirrored: bool | None = None
    name: str | None = None
    survey: str | None = None
    bands: tuple[str, ...] = ()
    observed_at: str | None = None
    time_source: str | None = None
    axis_3: str | None = None
    planes: tuple[str, ...] = ()
    image: str | None = None
    images: tuple[str, ...] = ()
    extra: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PixelFacts:
    """How much of an image was measured, and how far it stands out of the noise.

    Attributes:
        masked_share: Share of the pixels without a value in any band: NaN, BLANK, sentinels, padding.
        coverage: Share of the pixels with a value, by band or plane.
        significance: How far it stands out of noise alone; see `detection.object_significance`. The search ends when it
            has found an object, so that larger values than `detection.OBJECT_SIGNIFICANCE` say "at least".
        sky_level: Level of the sky in the unit of the file, of the first plane.
        noise: Standard deviation of the sky in the unit of the file, of the first plane.
    """

    masked_share: float = 0.0
    coverage: dict[str, float] = field(default_factory=dict)
    significance: float | None = None
    sky_level: float | None = None
    noise: float | None = None
