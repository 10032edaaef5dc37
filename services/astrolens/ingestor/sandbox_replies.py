"""What the ingestor accepts from a decoding child.

A child has decoded untrusted bytes, so no reply is trusted: models validate every value without converting it, and
whatever goes wrong while a reply is read makes it malformed.
"""

from math import isclose
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from astrolens.ingestor.observations import file_header, pixel_quality
from astrolens.ingestor.sandbox_protocol import MAX_BODY, MAX_DETAIL, MAX_HEADER
from astrolens.science.cutouts import Cutout
from astrolens.science.facts import FileFacts, PixelFacts
from astrolens.science.rejection import DecodeLimits, ImageRejected

_JPEG_START = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"

Pixels = Annotated[int, Field(gt=0, lt=2**31)]


class MalformedReply(Exception):
    """A reply that no working child sends."""


class _Model(BaseModel):
    # Strict: 10.5, true and "10" are no numbers of pixels.
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class _CutoutHeader(_Model):
    width: Pixels
    height: Pixels
    scale: float = Field(gt=0, le=1)
    stretch: str = Field(max_length=200)
    phash: str = Field(pattern=r"^[0-9a-f]{16}\z")
    media_type: Literal["image/jpeg", "image/png", "image/tiff", "image/fits", "application/avro"]
    original_width: Pixels
    original_height: Pixels
    orientation: str | None = Field(max_length=200)
    north_angle_deg: float | None = Field(ge=-180, le=180)
    turned: bool
    # Their bounds are those of the contracts: `_check`.
    file: FileFacts
    quality: PixelFacts


class _RejectionHeader(_Model):
    code: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}\z")
    detail: str = Field(max_length=MAX_DETAIL)


class _ReplyHeader(_Model):
    cutout: _CutoutHeader | None = None
    rejected: _RejectionHeader | None = None
    retire: bool = False

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.cutout is None) == (self.rejected is None):
            raise ValueError("a reply is a cutout or a rejection")
        return self


class Confinement(_Model):
    """Which layers of a child's confinement are in force; `sandbox_confinement` explains them."""

    landlock: bool
    seccomp: bool
    network: bool

    @property
    def refused(self) -> tuple[str, ...]:
        """Names of the layers that the kernel refused."""
        return tuple(name for name, in_force in self.model_dump().items() if not in_force)


class _ReadyHeader(_Model):
    confinement: Confinement


def parse_ready(head: bytes) -> Confinement:
    """The first frame of a child: it is confined now, by these layers.

    Raises:
        MalformedReply: It is no such frame.
    """
    try:
        return _ReadyHeader.model_validate_json(head).confinement
    except ValidationError as error:
        raise MalformedReply(f"a child did not say how it is confined: {error}"[:500]) from error


def parse_reply(head: bytes, body: bytes, *, limits: DecodeLimits) -> tuple[Cutout | ImageRejected, bool]:
    """The reply of a child, and whether it asks to be replaced.

    Args:
        head: JSON.
        body: The JPEG, empty in a rejection.
        limits: What the child was to keep.

    Raises:
        MalformedReply: Where anything of it is out of its bounds, or reading it fails in whatever way.
    """
    if len(head) > MAX_HEADER or len(body) > MAX_BODY:
        raise MalformedReply("a reply beyond all bounds")
    try:
        header = _ReplyHeader.model_validate_json(head, strict=True)
        return _result(header, body, limits), header.retire
    except MalformedReply:
        raise
    except Exception as error:
        # Also a RecursionError or an OverflowError: none of them may end the task that reads the replies.
        raise MalformedReply(f"a reply that cannot be read: {type(error).__name__}: {error}"[:500]) from error


def _result(header: _ReplyHeader, body: bytes, limits: DecodeLimits) -> Cutout | ImageRejected:
    if header.rejected is not None:
        if body:
            raise MalformedReply("a rejection with a body")
        return ImageRejected(header.rejected.code, header.rejected.detail)
    if header.cutout is None:
        raise MalformedReply("neither a cutout nor a rejection")
    cutout = Cutout(jpeg=body, **dict(header.cutout))
    _check(cutout, limits)
    return cutout


def _check(cutout: Cutout, limits: DecodeLimits) -> None:
    """Hold the properties of a cutout against the limits and against each other.

    Raises:
        MalformedReply: They are impossible.
    """
    longest, original_longest = max(cutout.width, cutout.height), max(cutout.original_width, cutout.original_height)
    width, height = (cutout.height, cutout.width) if cutout.turned else (cutout.width, cutout.height)
    file_header(cutout.file)
    pixel_quality(cutout.quality)
    is_possible = (
        longest <= limits.cutout_side
        and width <= cutout.original_width
        and height <= cutout.original_height
        and cutout.original_width * cutout.original_height <= limits.max_pixels
        and isclose(cutout.scale, longest / original_longest, rel_tol=1e-6)
        and cutout.jpeg.startswith(_JPEG_START)
        and cutout.jpeg.endswith(_JPEG_END)
        and _jpeg_size(cutout.jpeg) == (cutout.width, cutout.height)
    )
    if not is_possible:
        raise MalformedReply("a cutout with impossible properties")


def _jpeg_size(jpeg: bytes) -> tuple[int, int] | None:
    """Width and height in the first frame header of a JPEG, before its entropy-coded data; None where there is none.

    Everyone who decodes the cutout later relies on its size: a JPEG may declare 65,535 x 65,535 pixels.
    """
    position = len(_JPEG_START) - 1
    while position + 9 <= len(jpeg) and jpeg[position] == 0xFF:
        marker = jpeg[position + 1]
        if marker in _FRAME_HEADERS:
            height, width = jpeg[position + 5 : position + 7], jpeg[position + 7 : position + 9]
            return int.from_bytes(width), int.from_bytes(height)
        if marker == _START_OF_SCAN or marker not in _SEGMENTS:
            return None
        position += 2 + int.from_bytes(jpeg[position + 2 : position + 4])
    return None


_START_OF_SCAN = 0xDA
_FRAME_HEADERS = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended and progressive: what our encoder writes, and what decoders of a cutout take."""
_SEGMENTS = frozenset({0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)})
"""Segments that may stand before the frame header, each with a length: tables, comments, application data."""
