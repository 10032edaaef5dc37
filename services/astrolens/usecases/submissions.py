"""Requests to take images in, and the answers to them."""

from collections.abc import Iterable, Iterator
from math import isnan
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from astrolens.contracts.base import DecDeg, RaDeg, Slug, UtcTime
from astrolens.contracts.records import (
    MAX_BAND_LENGTH,
    MAX_BANDS,
    MAX_EXTRA,
    MAX_EXTRA_KEY_LENGTH,
    MAX_EXTRA_LENGTH,
    MAX_EXTRA_VALUE_LENGTH,
    Observation,
    Position,
)
from astrolens.usecases.angles import parse_dec_deg, parse_ra_deg
from astrolens.usecases.observation_times import parse_observation_time
from astrolens.usecases.views import View

MAX_URLS = 256
"""Most addresses in one request, as many as files."""

BATCH_PATTERN = r"^[A-Za-z0-9._:@+-]{1,120}$"
"""A batch is part of addresses."""


def _require_length(extra: dict[str, str]) -> dict[str, str]:
    if (length := sum(len(key) + len(value) for key, value in extra.items())) > MAX_EXTRA_LENGTH:
        raise ValueError(f"keys and values have {length} characters together, and at most {MAX_EXTRA_LENGTH} are kept")
    return extra


Band = Annotated[str, Field(max_length=MAX_BAND_LENGTH)]
Extra = Annotated[
    dict[
        Annotated[str, Field(max_length=MAX_EXTRA_KEY_LENGTH)],
        Annotated[str, Field(max_length=MAX_EXTRA_VALUE_LENGTH)],
    ],
    Field(max_length=MAX_EXTRA),
    AfterValidator(_require_length),
]
Address = Annotated[str, Field(max_length=2000)]


def lower_case(value: Any) -> Any:
    """Text in lower case without surrounding blanks; any other value as it is."""
    return value.strip().lower() if isinstance(value, str) else value


def is_missing(value: Any) -> bool:
    """Whether a value says nothing: programs write an empty text or NaN where a value is missing."""
    return (
        value is None or (isinstance(value, float) and isnan(value)) or (isinstance(value, str) and not value.strip())
    )


def _known(value: Any) -> Any:
    return None if is_missing(value) else value


def _ra(value: Any) -> Any:
    # 360 is 0, and half of the tables count from -180 to 180.
    return _known(value) if is_missing(value) or _is_no_angle(value) else parse_ra_deg(str(value))


def _dec(value: Any) -> Any:
    return _known(value) if is_missing(value) or _is_no_angle(value) else parse_dec_deg(str(value))


def _is_no_angle(value: Any) -> bool:
    return isinstance(value, bool) or not isinstance(value, str | int | float)


def _time(value: Any) -> Any:
    return None if is_missing(value) else parse_observation_time(value)


def _web_link(value: str) -> str:
    # Pages, alerts and messages show it as a link: `javascript:` and the like would run in the reader's browser.
    if not value.lower().startswith(("http://", "https://")):
        raise ValueError("give an http or https address")
    return value


class ImageDescription(BaseModel):
    """What is known of one image beside its pixels; every field may be left out."""

    ref: str | None = Field(default=None, max_length=1000, description="Name within the batch; default the file name.")
    survey: Annotated[Slug, BeforeValidator(lower_case)] | None = Field(default=None, examples=["sdss"])
    name: str | None = Field(default=None, max_length=200, examples=["NGC 1068"])
    ra_deg: Annotated[RaDeg | None, BeforeValidator(_ra)] = None
    dec_deg: Annotated[DecDeg | None, BeforeValidator(_dec)] = None
    pixel_scale_arcsec: Annotated[
        Annotated[float, Field(gt=0, allow_inf_nan=False)] | None, BeforeValidator(_known)
    ] = Field(default=None, description="Arcseconds a pixel of the original.")
    observed_at: Annotated[UtcTime | None, BeforeValidator(_time)] = Field(
        default=None, description="ISO 8601, UTC where it names no zone; a number is an MJD, or a JD above 2,400,000."
    )
    bands: tuple[Band, ...] = Field(default=(), max_length=MAX_BANDS)
    credit: str | None = Field(default=None, max_length=500)
    url: Annotated[str, AfterValidator(_web_link)] | None = Field(
        default=None, max_length=2000, description="http or https: where the original can be seen again."
    )
    simulated: bool = False
    extra: Extra = Field(default_factory=dict, description="Anything else known.")

    def observation(self, *, survey: str | None, name: str | None, url: str | None = None) -> Observation:
        """The observation, with the request's own values where the description has none."""
        position = None
        if self.ra_deg is not None and self.dec_deg is not None:
            position = Position.model_validate({"ra_deg": self.ra_deg, "dec_deg": self.dec_deg})
        return Observation(
            survey=self.survey or survey or "unknown",
            name=self.name or (name[-200:] if name else None),
            position=position,
            pixel_scale_arcsec=self.pixel_scale_arcsec,
            observed_at=self.observed_at,
            bands=self.bands,
            credit=self.credit,
            url=url or self.url,
            simulated=self.simulated,
            extra=self.extra,
        )


class UrlToFetch(ImageDescription):
    """An image that the ingestor shall fetch."""

    url: str = Field(max_length=2000, description="http or https; the host must be on the allow-list.")


class UrlSubmission(BaseModel, extra="forbid"):
    """Images by address."""

    urls: list[Address | UrlToFetch] = Field(
        min_length=1,
        max_length=MAX_URLS,
        examples=[
            ["https://skyserver.sdss.org/dr17/SkyServerWS/ImgCutout/getjpeg?ra=40.67&dec=-0.01&width=128&height=128"]
        ],
    )
    batch: str | None = Field(
        default=None, pattern=BATCH_PATTERN, description="The same batch and address arrive once."
    )
    survey: Annotated[Slug, BeforeValidator(lower_case)] | None = None


class IntakeCapacity(View):
    """How many more images the pipeline takes now."""

    in_flight: int
    max_in_flight: int
    room: int = Field(description="0 or less: an upload is answered with 429, or with 507 where `disk` says why.")
    disk: str | None = Field(default=None, description="Which disk is nearly full, in a sentence.")
    max_image_bytes: int = Field(description="Largest file taken in, bytes; a larger one is rejected.")


class AcceptedSubmission(View):
    """What a submission became: receipts in the order of the request."""

    batch: str
    receipts: list[str] = Field(description="Receipt ids, one a file or address, in their order.")
    new: int = Field(description="How many had not arrived before under this batch and ref.")
    rejected: int = Field(description="How many were rejected at once, such as a file that is too large.")
    progress_url: str


class RefNumbers:
    """Makes refs unique within one batch: the second `a.jpg` becomes `a.jpg (2)`, for it is an arrival of its own.

    The same refs give the same names, so that sending a batch again adds nothing.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._used: set[str] = set()

    def unique(self, ref: str) -> str:
        """The ref, or the ref with a number where it was given before."""
        number = self._counts.get(ref, 0) + 1
        name = ref if number == 1 else f"{ref} ({number})"
        while name in self._used:
            number += 1
            name = f"{ref} ({number})"
        self._counts[ref] = number
        self._used.add(name)
        return name


def unique_refs(refs: Iterable[str]) -> Iterator[str]:
    """Refs made unique within one batch; see `RefNumbers`."""
    numbers = RefNumbers()
    return (numbers.unique(ref) for ref in refs)
