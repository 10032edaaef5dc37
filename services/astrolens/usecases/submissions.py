"""Requests to take images in, and the answers to them."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
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


FIRST_OBSERVATION = datetime(1800, 1, 1, tzinfo=UTC)
LAST_OBSERVATION = datetime(2200, 1, 1, tzinfo=UTC)
"""Bounds of the time of an observation: beyond them it is a slip, and its neighbours cannot be computed in years 1 or
9999."""


def _possible_time(value: datetime) -> datetime:
    if not FIRST_OBSERVATION <= value < LAST_OBSERVATION:
        raise ValueError(f"{value.isoformat()} is no time of an observation: give one from 1800 to 2199")
    return value


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
    ra_deg: RaDeg | None = None
    dec_deg: DecDeg | None = None
    pixel_scale_arcsec: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="Arcseconds a pixel of the original."
    )
    observed_at: Annotated[UtcTime, AfterValidator(_possible_time)] | None = None
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


class UrlSubmission(BaseModel):
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


class Accepted(View):
    """What a submission became: receipts in the order of the request."""

    batch: str
    receipts: list[str] = Field(description="Receipt ids, one a file or address, in their order.")
    new: int = Field(description="How many had not arrived before under this batch and ref.")
    rejected: int = Field(description="How many were rejected at once, such as a file that is too large.")
    progress_url: str


def number_repeated(refs: Iterable[str]) -> Iterator[str]:
    """Refs made unique within one batch: the second `a.jpg` becomes `a.jpg (2)`, for it is an arrival of its own.

    The same refs give the same names, so that sending a batch again adds nothing.
    """
    counts: dict[str, int] = {}
    used: set[str] = set()
    for ref in refs:
        number = counts.get(ref, 0) + 1
        name = ref if number == 1 else f"{ref} ({number})"
        while name in used:
            number += 1
            name = f"{ref} ({number})"
        counts[ref] = number
        used.add(name)
        yield name
