"""Decode an image file from an untrusted source: its first bytes give the format, the format the decoder."""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from astrolens.science.content_checks import check_measurements, check_picture
from astrolens.science.gunzip import gunzip, gunzip_head
from astrolens.science.rejection import DecodeLimits, ImageRejected
from astrolens.science.stretch import asinh_rgb, block_mean, in_sky_noise, percentile_grey

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"II+\x00", "image/tiff"),
    (b"MM\x00+", "image/tiff"),
    (b"SIMPLE  =", "image/fits"),
    (b"\x1f\x8b", "application/gzip"),
)
_PILLOW_FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/tiff": "TIFF"}
_OTHER_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"<", "a web page or XML"),
    (b"{", "JSON text"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"GIF8", "a GIF picture, which is not read"),
    (b"RIFF", "a RIFF file, which is not read"),
    (b"%PDF", "a PDF document"),
    (b"BZh", "a bzip2 archive, which is not read"),
)
_HEAD_BYTES = 64 * 2**10
"""Of a gzipped FITS file: as a rule its whole first header."""
_16_BIT_MODES = frozenset({"I;16", "I;16B", "I;16L", "I;16N", "I"})


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded image file.

    Attributes:
        picture: 8-bit RGB or grey; large files are decoded at a reduced size, never below twice the cutout's.
        width: Of the original, pixels.
        height: Of the original, pixels.
        stretch: How values became 8 bits: `none`, `asinh ...`, `percentile ...`.
        media_type: Of the original.
    """

    picture: Image.Image
    width: int
    height: int
    stretch: str
    media_type: str


def media_type_of(data: bytes) -> str:
    """The media type of a file by its first bytes.

    Raises:
        ImageRejected: `not-an-image`.
    """
    for magic, media_type in _SIGNATURES:
        if data.startswith(magic):
            return media_type
    head = data[:512].lstrip()
    for magic, name in _OTHER_SIGNATURES:
        if head.startswith(magic):
            raise ImageRejected("not-an-image", f"It is {name}, not a JPEG, PNG, TIFF or FITS image.")
    kind = "text" if head.isascii() and b"\x00" not in head else "of an unknown kind"
    raise ImageRejected("not-an-image", f"It is {kind}, not a JPEG, PNG, TIFF or FITS image.")


def decode(data: bytes, limits: DecodeLimits) -> Decoded:
    """Decode one file.

    Raises:
        ImageRejected: Any of its codes.
    """
    if not data:
        raise ImageRejected("empty", "The file has no bytes.")
    if len(data) > limits.max_bytes:
        raise ImageRejected("too-large", f"It has {len(data)} bytes, more than the limit of {limits.max_bytes}.")
    media_type = media_type_of(data)
    if media_type in _PILLOW_FORMATS:
        return _decode_raster(data, media_type, limits)
    return _decode_fits(data, limits, gzipped=media_type == "application/gzip")


def _decode_fits(data: bytes, limits: DecodeLimits, *, gzipped: bool) -> Decoded:
    from astrolens.science.decoding_fits import check_first_header, read_fits  # noqa: PLC0415 - it imports astropy

    content: bytes | bytearray = data
    if gzipped:
        head = gunzip_head(data, _HEAD_BYTES)
        if not head.startswith(b"SIMPLE  ="):
            raise ImageRejected("not-an-image", "The gzip archive holds something other than a FITS image.")
        check_first_header(head, limits, file_bytes=len(data))
        content = gunzip(data, limits.max_inflated_bytes)
    planes = read_fits(content, limits, file_bytes=len(data))
    height, width = planes.shape[1:]
    # FITS counts rows from the bottom, pictures from the top.
    picture, stretch = _stretched(planes[:, ::-1], limits)
    return Decoded(picture, width, height, stretch, "image/fits")


def _stretched(planes: NDArray[np.generic], limits: DecodeLimits) -> tuple[Image.Image, str]:
    """An 8-bit picture of measured values, [C, H, W], top row first, and how it was stretched.

    What shows nothing is refused by the values: the stretch turns noise of any amplitude into a visible texture.
    """
    factor = max(1, max(planes.shape[1:]) // (2 * limits.cutout_side))
    bands = in_sky_noise(block_mean(planes, factor), blur_pixels=int(factor > 1))
    check_measurements(bands)
    rgb, stretch = asinh_rgb(bands)
    return Image.fromarray(rgb), stretch


def _decode_raster(data: bytes, media_type: str, limits: DecodeLimits) -> Decoded:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=[_PILLOW_FORMATS[media_type]])
        width, height = picture.size
        limits.check_pixels(width, height, file_bytes=len(data))
        # libjpeg drops whole factors of two while decoding: twice the cutout's size is kept for the antialiasing.
        picture.draft(None, (2 * limits.cutout_side, 2 * limits.cutout_side))
        picture.load()
        plain, stretch = _to_8_bit(picture, limits)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise ImageRejected("bomb", f"{len(data)} bytes that promise too many pixels.") from None
    except UnidentifiedImageError:
        raise ImageRejected("unreadable", f"It begins like {media_type} but its header makes no sense.") from None
    except (OSError, SyntaxError, ValueError, EOFError, TypeError, KeyError, IndexError) as error:
        raise _refusal(error, media_type) from None
    if picture.mode != "F":
        check_picture(plain)
    return Decoded(plain, width, height, stretch, media_type)


def _refusal(error: Exception, media_type: str) -> ImageRejected:
    """Tell `truncated` from `unreadable` by the message: Pillow's plug-ins raise errors of any class for both."""
    message = str(error).lower()
    signs = ("truncated", "eof", "unexpected end", "not enough", "broken data stream", "broken png")
    if isinstance(error, EOFError) or any(sign in message for sign in signs):
        return ImageRejected("truncated", f"The {media_type} data end too early.")
    return ImageRejected(
        "unreadable", f"The {media_type} data are damaged: {str(error)[:120] or type(error).__name__}."
    )


def _to_8_bit(picture: Image.Image, limits: DecodeLimits) -> tuple[Image.Image, str]:
    """An 8-bit RGB or grey picture from any mode; more than 8 bits are stretched, transparent pixels become black."""
    if picture.mode in {"RGB", "L"}:
        return picture, "none"
    if picture.mode == "F" or picture.mode in _16_BIT_MODES:
        values = np.asarray(picture)[None]
        if picture.mode == "F":
            return _stretched(values, limits)
        reduced = block_mean(values, max(1, max(picture.size) // (2 * limits.cutout_side)))
        grey, stretch = percentile_grey(np.nan_to_num(reduced[0]))
        return Image.fromarray(grey), stretch
    if picture.mode in {"1", "LA", "La"}:
        return _on_black(picture, "LA").convert("L"), "none"
    if picture.mode in {"RGBA", "RGBa", "PA"} or "transparency" in picture.info:
        return _on_black(picture, "RGBA").convert("RGB"), "none"
    return picture.convert("RGB"), "none"


def _on_black(picture: Image.Image, mode: str) -> Image.Image:
    layered = picture.convert(mode)
    base = Image.new("RGBA", layered.size, (0, 0, 0, 255))
    base.alpha_composite(layered.convert("RGBA"))
    return base
