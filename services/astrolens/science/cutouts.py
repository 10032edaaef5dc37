"""The canonical cutout: the bounded 8-bit RGB picture of an image that model, console and alerts read."""

import io
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from astrolens.science.decoding import decode
from astrolens.science.facts import FileFacts, PixelFacts
from astrolens.science.phash import perceptual_hash
from astrolens.science.rejection import DecodeLimits, ImageRejected

__all__ = ["Cutout", "DecodeLimits", "ImageRejected", "decode_cutout", "encode_jpeg", "make_cutout"]

_JPEG_QUALITY = 95
"""Without chroma subsampling: the detectors are sensitive to colour edges."""


@dataclass(frozen=True, slots=True)
class Cutout:
    """An 8-bit RGB picture of bounded size, with facts about its original.

    Attributes:
        jpeg: The picture.
        width: Pixels.
        height: Pixels.
        scale: Cutout pixels per original pixel, at most 1.
        stretch: How values became 8 bits: `none`, `asinh ...`, `percentile ...`.
        phash: 64-bit perceptual hash, 16 hexadecimal digits.
        media_type: Of the original.
        original_width: Pixels.
        original_height: Pixels.
        orientation: Where north and east are, or why that is not known.
        north_angle_deg: From up to north, counterclockwise; None where it is not known. East is to the left of north.
        turned: Whether rows of the original are columns of the cutout.
        file: What the file states.
        quality: How much was measured.
    """

    jpeg: bytes
    width: int
    height: int
    scale: float
    stretch: str
    phash: str
    media_type: str
    original_width: int
    original_height: int
    orientation: str | None = None
    north_angle_deg: float | None = None
    turned: bool = False
    file: FileFacts = field(default_factory=FileFacts)
    quality: PixelFacts = field(default_factory=PixelFacts)


def make_cutout(data: bytes, limits: DecodeLimits | None = None) -> Cutout:
    """Decode an image file and make its cutout. Pictures within `cutout_side` keep their size.

    Decode untrusted files in the ingestor's sandbox; call this directly on trusted ones only.

    Args:
        data: The file.
        limits: Bounds on its size.

    Raises:
        ImageRejected: The file cannot become a cutout; its code says why.
    """
    limits = limits or DecodeLimits()
    decoded = decode(data, limits)
    picture = decoded.picture
    side = limits.cutout_side
    if max(picture.size) > side:
        # Hamming: sharper than linear, and unlike cubic filters without dark rings around stars.
        picture.thumbnail((side, side), Image.Resampling.HAMMING, reducing_gap=2.0)
    picture = picture.convert("RGB")
    return Cutout(
        jpeg=encode_jpeg(picture),
        width=picture.width,
        height=picture.height,
        scale=max(picture.size) / max(decoded.width, decoded.height),
        stretch=decoded.stretch,
        phash=perceptual_hash(picture),
        media_type=decoded.media_type,
        original_width=decoded.width,
        original_height=decoded.height,
        orientation=decoded.orientation,
        north_angle_deg=decoded.north_angle_deg,
        turned=decoded.turned,
        file=decoded.file,
        quality=decoded.quality,
    )


def encode_jpeg(picture: Image.Image | NDArray[np.uint8]) -> bytes:
    """Encode an RGB picture ([H, W, 3] uint8) as the JPEG of a cutout."""
    if not isinstance(picture, Image.Image):
        picture = Image.fromarray(picture)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def decode_cutout(jpeg: bytes) -> NDArray[np.uint8]:
    """Decode a cutout to [H, W, 3] uint8. For cutouts of our own only, never for originals, which are untrusted."""
    with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
        # A conversion to the same mode would copy.
        return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))
