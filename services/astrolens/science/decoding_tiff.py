"""TIFF pages, and samples of more than 8 bits, which tifffile reads: Pillow is trusted with up to 8 bits a sample.

Importing this module imports tifffile: `decoding` does so when the first such file comes.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from astrolens.science.facts import MAX_IMAGES, MAX_TEXT
from astrolens.science.measuring import StoredPlanes
from astrolens.science.rejection import DecodeLimits, ImageRejected

_REDUCED, _MASK = 1, 4
"""Bits of NewSubfileType: a thumbnail, a transparency mask."""
_ALPHA = (1, 2)
"""ExtraSamples: associated and unassociated alpha."""
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_PHOTOMETRIC = {
    3: "palette",
    4: "transparency mask",
    5: "CMYK",
    6: "YCbCr",
    8: "CIELab",
    32803: "camera mosaic",
    34892: "linear raw",
}
_FORMATS = {
    1: "unsigned integers",
    2: "signed integers",
    3: "floats",
    4: "undefined",
    5: "complex integers",
    6: "complex floats",
}
_ACCEPTED = "read are integers of 8 to 64 bits and floats of 16 to 64, in grey or RGB"


@dataclass(frozen=True, slots=True)
class TiffPages:
    """The pages of a TIFF; the picture is the first that is neither a thumbnail nor a mask.

    Attributes:
        chosen: Number of the page that is the picture, from 0.
        listed: All pages, each with its size and purpose.
        is_last: Whether no further page comes into question.
        notes: Which pages were passed over.
    """

    chosen: int
    listed: tuple[str, ...]
    is_last: bool = True
    notes: tuple[str, ...] = ()


def is_deep(picture: Image.Image) -> bool:
    """Whether a TIFF that Pillow has opened has more than 8 bits a sample, or samples that are signed."""
    tags = _tags(picture)
    bits, formats = tags.get(258, (1,)), tags.get(339, (1,))
    return max(bits, default=1) > 8 or any(value != 1 for value in formats)


def _tags(picture: Image.Image) -> dict[int, tuple[int, ...]]:
    tags: dict[int, tuple[int, ...]] = {}
    for number in (254, 258, 339):
        value = picture.tag_v2.get(number)  # type: ignore[attr-defined]
        if value is not None:
            tags[number] = value if isinstance(value, tuple) else (value,)
    return tags


def tiff_pages(data: bytes, limits: DecodeLimits, passed_over: Mapping[int, str]) -> TiffPages:
    """Choose the page of a TIFF that is the picture.

    Args:
        data: The file.
        limits: A page that is too small is passed over where there is another.
        passed_over: Why pages that were read before are not taken, by their numbers.

    Raises:
        ImageRejected: `unreadable` where there is no page.
        Exception: tifffile's, where the file is damaged.
    """
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        pages = list(_pages(file))
    if not pages:
        raise ImageRejected("unreadable", "The TIFF file has no page at the place that its header gives.")
    purposes = [_purpose(page) for page in pages]
    pictures = [number for number, purpose in enumerate(purposes) if not purpose] or [0]
    sides = [min(int(page.imagewidth), int(page.imagelength)) for page in pages]
    unusable = {number: "too small" for number in pictures if sides[number] < limits.min_side}
    if len(unusable) == len(pictures):
        # The refusal names its size.
        unusable = {}
    unusable |= passed_over
    usable = [number for number in pictures if number not in unusable]
    listed = []
    for number, page in enumerate(pages):
        remark = purposes[number] or unusable.get(number, "")
        size = f"{page.imagewidth} x {page.imagelength}"
        listed.append(f"page {number + 1}: {size}{f' ({remark})' if remark else ''}"[:MAX_TEXT])
    notes = [f"Page {number + 1} is passed over: {unusable[number]}." for number in sorted(unusable)][:4]
    return TiffPages(usable[0], tuple(listed), is_last=len(usable) == 1, notes=tuple(notes))


def read_deep_tiff(data: bytes, limits: DecodeLimits, pages: TiffPages) -> tuple[StoredPlanes, int, list[str]]:
    """The samples of the picture in a TIFF, its Orientation tag, and notes.

    Raises:
        ImageRejected: `unreadable` with the sample type that is not read, `bomb`, `too-large`, `too-small`.
        Exception: tifffile's, where the file is damaged.
    """
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = _page(file, pages.chosen)
        kind = _sample_type(page)
        samples = int(page.samplesperpixel)
        limits.check_pixels(int(page.imagewidth), int(page.imagelength), planes=samples, file_bytes=len(data))
        photometric = int(page.photometric)
        if page.dtype is None or page.dtype.kind not in "uif" or int(page.imagedepth) != 1:
            raise ImageRejected("unreadable", f"Its samples are {kind}; {_ACCEPTED}.")
        if photometric not in {_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB}:
            colours = _PHOTOMETRIC.get(photometric, f"photometric interpretation {photometric}")
            raise ImageRejected("unreadable", f"Its samples are {kind} in {colours}; {_ACCEPTED}.")
        extra = tuple(int(value) for value in page.extrasamples)
        values = _samples(data, page, kind, pages.chosen)
        orientation = page.tags.get("Orientation")
        turned = int(orientation.value) if orientation is not None and isinstance(orientation.value, int) else 1
    hidden = None
    if extra and extra[-1] in _ALPHA and len(values) > 1:
        hidden = values[-1] == 0
        values = values[:-1]
    notes = []
    if len(values) > 1 and not (photometric == _RGB and len(values) >= 3):
        notes.append(f"Its header does not say what its {len(values)} samples a pixel are: the first is shown.")
        values = values[:1]
    values = values[:3]
    if len(values) == 2:
        values = values[:1]
    names = ("red", "green", "blue") if len(values) == 3 else ("grey",)
    scale = -1.0 if photometric == _WHITE_IS_ZERO else 1.0
    zero = float(2 ** (8 * values.dtype.itemsize) - 1) if scale < 0 and values.dtype.kind == "u" else 0.0
    return StoredPlanes(values, names, scale, zero, hidden=hidden), turned, notes


def _pages(file: tifffile.TiffFile) -> Iterator[tifffile.TiffPage]:
    for number in range(MAX_IMAGES):
        try:
            yield _page(file, number)
        except (IndexError, ValueError, tifffile.TiffFileError):
            return


def _page(file: tifffile.TiffFile, number: int) -> tifffile.TiffPage:
    page = file.pages[number]
    return page if isinstance(page, tifffile.TiffPage) else page.aspage()


def _purpose(page: tifffile.TiffPage) -> str:
    kind = int(page.subfiletype)
    return "mask" if kind & _MASK else "thumbnail" if kind & _REDUCED else ""


def _sample_type(page: tifffile.TiffPage) -> str:
    bits = max(np.atleast_1d(np.asarray(page.bitspersample)).tolist())
    code = int(np.atleast_1d(np.asarray(page.sampleformat)).tolist()[0])
    return f"{bits}-bit {_FORMATS.get(code, f'of format {code}')}"


def _samples(data: bytes, page: tifffile.TiffPage, kind: str, number: int) -> NDArray[np.generic]:
    """All samples of a page, [S, H, W]."""
    try:
        # One worker: the sandbox has no threads.
        values = np.asarray(page.asarray(maxworkers=1))
    except (ValueError, KeyError, RuntimeError, ImportError) as error:
        if not _needs_codec(page, error):
            raise
        values = _by_libtiff(data, page, kind, number)
    height, width = int(page.imagelength), int(page.imagewidth)
    if values.shape == (height, width):
        return values[None]
    if values.ndim == 3 and values.shape[:2] == (height, width):
        return np.moveaxis(values, -1, 0)
    if values.ndim == 3 and values.shape[1:] == (height, width):
        return values
    raise ImageRejected("unreadable", f"Its samples of {kind} are laid out as {page.axes}; read are YX, YXS and SYX.")


def _needs_codec(page: tifffile.TiffPage, error: Exception) -> bool:
    return (
        "imagecodecs" in str(error)
        or "codec" in str(error).lower()
        or int(page.compression) not in {1, 8, 32773, 32946}
    )


def _by_libtiff(data: bytes, page: tifffile.TiffPage, kind: str, number: int) -> NDArray[np.generic]:
    """Samples in a compression that tifffile does not read by itself, such as LZW, by Pillow's libtiff.

    Raises:
        ImageRejected: Pillow does not know the sample type.
    """
    compression = getattr(page.compression, "name", str(page.compression))
    refused = ImageRejected(
        "unreadable",
        f"Its samples are {kind}, compressed by {compression}: save it without compression or with Deflate.",
    )
    dtype = page.dtype
    if dtype is None:
        raise refused
    try:
        picture = _opened(data, number)
        if dtype == np.uint16 and picture.mode == "RGB" and int(page.planarconfig) == 1:
            # Pillow keeps the byte that its raw mode takes for the high one: both modes give both bytes.
            low_first, high_first = (np.asarray(_loaded(data, number, order)).astype(np.uint16) for order in "LB")
            return low_first << 8 | high_first
        if picture.mode == "F" and dtype == np.float32:
            return np.asarray(picture)
        if picture.mode == "I" and dtype.itemsize == 4 and dtype.kind in "iu":
            return np.asarray(picture).view(dtype.newbyteorder("="))
        if picture.mode.startswith("I;16") and dtype == np.uint16:
            return np.asarray(picture).astype(np.uint16)
    except UnidentifiedImageError:
        # Pillow does not know the sample type; whatever else it raises, the file is damaged.
        raise refused from None
    raise refused


def _opened(data: bytes, number: int) -> TiffImagePlugin.TiffImageFile:
    picture = Image.open(io.BytesIO(data), formats=["TIFF"])
    if not isinstance(picture, TiffImagePlugin.TiffImageFile):
        raise TypeError("no TIFF")
    picture.seek(number)
    return picture


def _loaded(data: bytes, number: int, order: str) -> Image.Image:
    picture = _opened(data, number)
    picture.tile = [
        tile._replace(args=(f"RGB;16{order}", *(tile.args[1:] if isinstance(tile.args, tuple) else ())))
        for tile in picture.tile
    ]
    picture.load()
    return picture
