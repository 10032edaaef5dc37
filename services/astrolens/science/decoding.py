"""Decode an image file from an untrusted source: its first bytes give the format, the format the decoder."""

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from PIL import Image, ImageOps, UnidentifiedImageError

from astrolens.science.content_checks import check_picture
from astrolens.science.decoding_png import is_deep_png, read_deep_png
from astrolens.science.deep_picture import DeepPicture, deep_picture, first_with_object
from astrolens.science.facts import FileFacts, PixelFacts
from astrolens.science.file_kinds import AVRO, AVRO_MAGIC, FITS_MAGIC, media_type_of, other_kind
from astrolens.science.gunzip import gunzip, gunzip_head
from astrolens.science.measuring import StoredPlanes
from astrolens.science.rejection import DecodeLimits, ImageRejected

if TYPE_CHECKING:
    from astrolens.science.decoding_tiff import TiffPages

__all__ = ["Decoded", "decode", "media_type_of"]

_PILLOW_FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/tiff": "TIFF"}
_HEAD_BYTES = 64 * 2**10
"""Of a gzipped FITS file: as a rule its whole first header."""
_SHOWS_NOTHING = "it has no values"
_MAX_PASSED_OVER = 8
"""Pictures of a file that are read before it is refused."""
_EXIF_ORIENTATION = 0x0112
_EXIF_TURNS = {2: (True, 0), 3: (False, 2), 4: (True, 2), 5: (True, 3), 6: (False, 1), 7: (True, 1), 8: (False, 3)}
"""Orientation of EXIF and TIFF: whether left and right are exchanged, then quarter turns clockwise."""
_NO_POSITION = "its format has no position in its header"


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded image file.

    Attributes:
        picture: 8-bit RGB or grey; large files are decoded at a reduced size, never below twice the cutout's.
        width: Of the original, pixels.
        height: Of the original, pixels.
        stretch: How values became 8 bits: `none`, `asinh ...`.
        media_type: Of the original.
        orientation: Where north and east are, or why that is not known.
        north_angle_deg: From up to north, counterclockwise; None where it is not known.
        turned: Whether rows of the original are columns of the picture.
        file: What the file states.
        quality: How much was measured.
    """

    picture: Image.Image
    width: int
    height: int
    stretch: str
    media_type: str
    orientation: str
    north_angle_deg: float | None = None
    turned: bool = False
    file: FileFacts = field(default_factory=FileFacts)
    quality: PixelFacts = field(default_factory=PixelFacts)


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
    if media_type == AVRO:
        return _decode_packet(data, limits)
    return decode_fits(data, limits, gzipped=media_type == "application/gzip")


def _decode_packet(data: bytes, limits: DecodeLimits) -> Decoded:
    from astrolens.science.alert_packets import read_packet  # noqa: PLC0415 - it imports fastavro
    from astrolens.science.decoding_stamps import decode_stamps  # noqa: PLC0415 - it imports astropy

    packet = read_packet(data)
    return decode_stamps(
        packet.stamps, limits, file=packet.facts, media_type=AVRO, north_is_first=packet.north_is_first
    )


def decode_fits(data: bytes, limits: DecodeLimits, *, gzipped: bool) -> Decoded:
    """Decode a FITS file, or a gzip of one.

    Raises:
        ImageRejected: Any of its codes.
    """
    from astrolens.science.decoding_fits import read_fits  # noqa: PLC0415 - it imports astropy
    from astrolens.science.fits_header import check_first_header  # noqa: PLC0415

    content: bytes | bytearray = data
    if gzipped:
        head = gunzip_head(data, _HEAD_BYTES)
        if head.startswith(AVRO_MAGIC):
            return _decode_packet(bytes(gunzip(data, limits.max_inflated_bytes)), limits)
        if not head.startswith(FITS_MAGIC):
            raise ImageRejected("not-an-image", f"The gzip archive holds {other_kind(head)}; FITS is read in gzip.")
        check_first_header(head, limits, file_bytes=len(data))
        content = gunzip(data, limits.max_inflated_bytes)
    passed_over: dict[int, str] = {}
    while True:
        image = read_fits(content, limits, file_bytes=len(data), passed_over=passed_over)
        try:
            deep = (first_with_object if image.candidates else deep_picture)(image.planes, limits)
            break
        except ImageRejected as rejected:
            if not _is_next_tried(rejected, passed_over, is_last=image.is_last):
                raise
            passed_over[image.index] = _SHOWS_NOTHING
    facts = image.facts if deep.shown is None else replace(image.facts, planes=(deep.shown,))
    orientation = image.orientation
    return Decoded(
        deep.picture,
        image.width,
        image.height,
        deep.stretch,
        "image/fits",
        orientation.words,
        orientation.north_angle_deg,
        orientation.turned,
        facts,
        deep.quality,
    )


def _decode_raster(data: bytes, media_type: str, limits: DecodeLimits) -> Decoded:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if media_type == "image/tiff":
                return _decoded_tiff(data, limits)
            return _decoded_raster(data, media_type, limits)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise ImageRejected("bomb", f"{len(data)} bytes that promise too many pixels.") from None
    except (ImageRejected, MemoryError, RecursionError):
        raise
    except Exception as error:  # noqa: BLE001 - a damaged file makes decoders raise errors of any class
        raise _refusal(error, media_type) from None


def _is_next_tried(rejected: ImageRejected, passed_over: Mapping[int, str], *, is_last: bool) -> bool:
    """Whether the next picture of a file is looked at where one cannot be shown: it has no values at all."""
    return rejected.code == "no-coverage" and not is_last and len(passed_over) < _MAX_PASSED_OVER


def _decoded_tiff(data: bytes, limits: DecodeLimits) -> Decoded:
    """The first page that is a picture and has values."""
    from astrolens.science.decoding_tiff import tiff_pages  # noqa: PLC0415 - it imports tifffile

    passed_over: dict[int, str] = {}
    while True:
        pages = tiff_pages(data, limits, passed_over)
        try:
            return _decoded_raster(data, "image/tiff", limits, pages)
        except ImageRejected as rejected:
            if not _is_next_tried(rejected, passed_over, is_last=pages.is_last):
                raise
            passed_over[pages.chosen] = _SHOWS_NOTHING


def _decoded_raster(data: bytes, media_type: str, limits: DecodeLimits, pages: "TiffPages | None" = None) -> Decoded:
    try:
        picture = Image.open(io.BytesIO(data), formats=[_PILLOW_FORMATS[media_type]])
    except UnidentifiedImageError:
        if pages is not None:
            return _deep_tiff(data, limits, pages)
        raise ImageRejected("unreadable", f"It begins like {media_type} but its header makes no sense.") from None
    facts = FileFacts()
    if pages is not None:
        from astrolens.science.decoding_tiff import is_deep  # noqa: PLC0415 - it imports tifffile

        if pages.chosen:
            picture.seek(pages.chosen)
        if is_deep(picture):
            return _deep_tiff(data, limits, pages)
        facts = _page_facts(pages)
    width, height = picture.size
    limits.check_pixels(width, height, file_bytes=len(data))
    if media_type == "image/png" and is_deep_png(data):
        return _deep_raster(read_deep_png(data, picture), media_type, limits, facts, _exif_orientation(picture))
    # libjpeg drops whole factors of two while decoding: twice the cutout's size is kept for the antialiasing.
    picture.draft(None, (2 * limits.cutout_side, 2 * limits.cutout_side))
    exif = _exif_orientation(picture)
    picture.load()
    plain = _to_8_bit(picture)
    turned = exif in _EXIF_TURNS and _EXIF_TURNS[exif][1] % 2 == 1
    if media_type == "image/tiff":
        # Pillow turns a TIFF by its tag itself, and its size as well.
        width, height = (height, width) if turned else (width, height)
    elif exif in _EXIF_TURNS:
        plain = _turned(plain, exif)
    quality = check_picture(plain)
    return Decoded(plain, width, height, "none", media_type, _words(exif), None, turned, facts, quality)


def _deep_tiff(data: bytes, limits: DecodeLimits, pages: "TiffPages") -> Decoded:
    from astrolens.science.decoding_tiff import read_deep_tiff  # noqa: PLC0415 - it imports tifffile

    planes, orientation, notes = read_deep_tiff(data, limits, pages)
    facts = _page_facts(pages)
    facts = replace(facts, notes=(*facts.notes, *notes))
    return _deep_raster(planes, "image/tiff", limits, facts, orientation)


def _deep_raster(
    planes: StoredPlanes, media_type: str, limits: DecodeLimits, facts: FileFacts, orientation: int
) -> Decoded:
    height, width = planes.values.shape[1:]
    deep: DeepPicture = deep_picture(planes, limits)
    picture, turned = deep.picture, False
    if orientation in _EXIF_TURNS:
        picture, turned = _turned(picture, orientation), _EXIF_TURNS[orientation][1] % 2 == 1
    return Decoded(
        picture, width, height, deep.stretch, media_type, _words(orientation), None, turned, facts, deep.quality
    )


def _page_facts(pages: "TiffPages") -> FileFacts:
    if len(pages.listed) < 2:
        return FileFacts()
    return FileFacts(image=f"page {pages.chosen + 1}", images=pages.listed, notes=pages.notes)


def _exif_orientation(picture: Image.Image) -> int:
    """The Orientation of EXIF or TIFF; 1 where there is none, or none that can be read."""
    if "exif" not in picture.info and picture.format != "TIFF":
        return 1
    try:
        value = picture.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - damaged metadata make Pillow raise errors of any class, and harm no pixel
        return 1
    return value if isinstance(value, int) else 1


def _turned(picture: Image.Image, orientation: int) -> Image.Image:
    mirrored, turns = _EXIF_TURNS[orientation]
    if mirrored:
        picture = ImageOps.mirror(picture)
    for _ in range(turns):
        picture = picture.transpose(Image.Transpose.ROTATE_270)
    return picture


def _words(orientation: int) -> str:
    turned = f"turned by its EXIF orientation {orientation}" if orientation in _EXIF_TURNS else "as stored"
    return f"{turned}: {_NO_POSITION}"


def _refusal(error: Exception, media_type: str) -> ImageRejected:
    """Tell `truncated` from `unreadable` by the message: Pillow's plug-ins raise errors of any class for both."""
    message = str(error).lower()
    signs = ("truncated", "eof", "unexpected end", "not enough", "broken data stream", "broken png", "failed to read")
    if isinstance(error, EOFError) or any(sign in message for sign in signs):
        return ImageRejected("truncated", f"The {media_type} data end too early.")
    return ImageRejected(
        "unreadable", f"The {media_type} data are damaged: {str(error)[:120] or type(error).__name__}."
    )


def _to_8_bit(picture: Image.Image) -> Image.Image:
    """An RGB or grey picture from any mode of up to 8 bits; transparent pixels become black."""
    if picture.mode in {"RGB", "L"}:
        return picture
    if picture.mode in {"1", "LA", "La"}:
        return _on_black(picture, "LA").convert("L")
    if picture.mode in {"RGBA", "RGBa", "PA"} or "transparency" in picture.info:
        return _on_black(picture, "RGBA").convert("RGB")
    return picture.convert("RGB")


def _on_black(picture: Image.Image, mode: str) -> Image.Image:
    layered = picture.convert(mode)
    base = Image.new("RGBA", layered.size, (0, 0, 0, 255))
    base.alpha_composite(layered.convert("RGBA"))
    return base
