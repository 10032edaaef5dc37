"""The first image of a FITS file, its size checked in the header before its data are touched.

Plain images are read here, in place and without copies; astropy is loaded for tile-compressed ones only.
"""

import io
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astrolens.science.rejection import DecodeLimits, ImageRejected
from astrolens.science.stretch import finite

_TYPE_OF_BITPIX: Mapping[int, str] = {8: ">u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
"""The FITS standard's number types (version 4.0, table 8)."""

_BLOCK = 2880
_CARD = 80
_MAX_HEADER_BLOCKS = 400
"""36 cards each: the longest real headers, with all their processing history, have a few hundred blocks."""
_MAX_HDUS = 128
_MAX_PLANES = 16
"""More planes than any camera has bands: a spectral cube, whose picture would be our choice and not the sky's."""

Buffer = bytes | bytearray


@dataclass(frozen=True, slots=True)
class _Hdu:
    index: int
    cards: dict[str, str]
    data_start: int
    data_bytes: int

    def integer(self, keyword: str, default: int | None = None) -> int:
        text = self.cards.get(keyword)
        if text is None and default is not None:
            return default
        try:
            return int(text or "")
        except ValueError:
            raise ImageRejected("unreadable", f"The FITS header has no usable {keyword}.") from None

    def shape(self, prefix: str = "") -> tuple[int, ...]:
        """Sizes of the axes in numpy's order, the slowest first."""
        axes = self.integer(f"{prefix}NAXIS", 0)
        if not 0 <= axes <= 8:
            raise ImageRejected("unreadable", f"A FITS image of {axes} axes is no picture.")
        sizes = tuple(self.integer(f"{prefix}NAXIS{axis}") for axis in range(axes, 0, -1))
        if any(size < 0 for size in sizes):
            raise ImageRejected("unreadable", "The FITS header has an axis of negative length.")
        return sizes


def read_fits(data: Buffer, limits: DecodeLimits, *, file_bytes: int) -> NDArray[np.generic]:
    """The first image with data, as one plane or three (red first).

    Args:
        data: The file, gunzipped.
        limits: Bounds on its size.
        file_bytes: Its size as it came.

    Returns:
        [1, H, W] or [3, H, W] in the file's own number type and row order (the first row is the lowest). Values keep
        their order but not their zero and unit, which the asinh stretch takes from the sky.

    Raises:
        ImageRejected: `empty` without any image, `too-large`, `bomb`, `too-small`, `truncated`, `unreadable`.
    """
    for hdu in _hdus(data):
        compressed = hdu.cards.get("ZIMAGE") == "T"
        if not compressed and hdu.cards.get("XTENSION", "IMAGE") != "IMAGE":
            continue
        shape = hdu.shape("Z" if compressed else "")
        if len(shape) < 2 or math.prod(shape) == 0:
            continue
        while len(shape) > 2 and shape[0] == 1:
            shape = shape[1:]
        planes = math.prod(shape[:-2])
        limits.check_pixels(shape[-1], shape[-2], planes=planes, file_bytes=file_bytes)
        if len(shape) > 3 or planes > _MAX_PLANES:
            raise ImageRejected("unreadable", f"A FITS cube of {planes} planes is no picture of a few bands.")
        cube = _tiles(data, hdu, limits, file_bytes) if compressed else _plain(data, hdu)
        return _three_bands(cube.reshape(planes, *shape[-2:]))
    raise ImageRejected("empty", "The FITS file holds no image.")


def check_first_header(head: bytes, limits: DecodeLimits, *, file_bytes: int) -> None:
    """Refuse a file by its first header, before the rest of it is inflated.

    Args:
        head: The file's beginning; a header longer than it is let through.
        limits: Bounds on the image.
        file_bytes: The file's size as it came.

    Raises:
        ImageRejected: `too-large`, `bomb`, `too-small`, `unreadable`.
    """
    try:
        cards, data_start = _cards(head, 0)
    except ImageRejected:
        return
    shape = _Hdu(0, cards, data_start, 0).shape()
    if len(shape) >= 2 and math.prod(shape) > 0:
        limits.check_pixels(shape[-1], shape[-2], planes=math.prod(shape[:-2]), file_bytes=file_bytes)


def _hdus(data: Buffer) -> Iterator[_Hdu]:
    """The header-data units, one after the other, without looking at their data."""
    start = 0
    for index in range(_MAX_HDUS):
        if start >= len(data):
            return
        cards, data_start = _cards(data, start)
        hdu = _Hdu(index, cards, data_start, 0)
        sizes = hdu.shape()
        groups = hdu.integer("GCOUNT", 1) * (hdu.integer("PCOUNT", 0) + (math.prod(sizes) if sizes else 0))
        data_bytes = abs(hdu.integer("BITPIX")) // 8 * groups
        if data_bytes < 0:
            raise ImageRejected("unreadable", "The FITS header promises data of negative length.")
        yield _Hdu(index, cards, data_start, data_bytes)
        start = data_start + -(-data_bytes // _BLOCK) * _BLOCK


def _cards(data: Buffer, start: int) -> tuple[dict[str, str], int]:
    """Keywords with their values as text, and where the data begin."""
    cards: dict[str, str] = {}
    for block in range(start, start + _MAX_HEADER_BLOCKS * _BLOCK, _BLOCK):
        text = bytes(data[block : block + _BLOCK]).decode("latin-1")
        for offset in range(0, len(text), _CARD):
            card = text[offset : offset + _CARD]
            if card[:8].rstrip() == "END" and not card[8:].strip():
                return cards, block + _BLOCK
            if card[8:10] == "= ":
                cards.setdefault(card[:8].rstrip(), _value(card[10:]))
        if len(text) < _BLOCK:
            raise ImageRejected("truncated", "The FITS header ends too early.")
    raise ImageRejected("unreadable", "The FITS header has no end.")


def _value(text: str) -> str:
    text = text.strip()
    if text.startswith("'"):
        return text[1:].split("'", 1)[0].rstrip()
    return text.split("/", 1)[0].strip()


def _plain(data: Buffer, hdu: _Hdu) -> NDArray[np.generic]:
    number = _TYPE_OF_BITPIX.get(hdu.integer("BITPIX"))
    if number is None:
        raise ImageRejected("unreadable", f"The FITS standard knows no BITPIX {hdu.cards['BITPIX']}.")
    shape = hdu.shape()
    count = math.prod(shape)
    if hdu.data_start + count * np.dtype(number).itemsize > len(data):
        raise ImageRejected("truncated", "The FITS data end too early.")
    raw: NDArray[np.generic] = np.frombuffer(data, dtype=number, count=count, offset=hdu.data_start).reshape(shape)
    blank, scale = hdu.cards.get("BLANK"), hdu.cards.get("BSCALE", "1")
    if blank is None and not scale.startswith("-"):
        return raw
    values = finite(raw)
    if blank is not None and raw.dtype.kind in "iu":
        values[raw == hdu.integer("BLANK")] = np.nan
    return -values if scale.startswith("-") else values


def _tiles(data: Buffer, hdu: _Hdu, limits: DecodeLimits, file_bytes: int) -> NDArray[np.generic]:
    if hdu.data_start + hdu.data_bytes > len(data):
        raise ImageRejected("truncated", "The FITS data end too early.")
    axes = hdu.integer("ZNAXIS")
    # The tile is what the decompressor allocates: a small image may claim a huge one.
    tile = math.prod(hdu.integer(f"ZTILE{axis}", 1) for axis in range(2, axes + 1)) * hdu.integer("ZTILE1", 1)
    if not 0 <= tile <= limits.max_pixels:
        raise ImageRejected("bomb", f"{file_bytes} bytes promise a compressed tile of {tile} pixels.")
    from astropy.io import fits  # noqa: PLC0415 - half a second of imports that only these files need

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with fits.open(io.BytesIO(data), memmap=False, lazy_load_hdus=True) as file:
                return np.asarray(file[hdu.index].data)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - astropy raises whatever the damaged table made of its parsing
        words = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise ImageRejected("unreadable", f"The tile-compressed FITS image is damaged: {words}.") from None


def _three_bands(cube: NDArray[np.generic]) -> NDArray[np.generic]:
    """Red, green and blue of bands in the order of their wavelengths, as surveys write them (grz, griz, ugriz)."""
    match len(cube):
        case 1:
            return cube
        case 2:
            return np.stack([cube[1], (finite(cube[0]) + finite(cube[1])) / 2, cube[0]])
        case 3 | 4:
            return cube[[2, 1, 0]]
        case _:
            return cube[[3, 2, 1]]
