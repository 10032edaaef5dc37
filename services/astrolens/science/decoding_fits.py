"""Read the first image of a FITS file with astropy, its size checked in the header before its data are touched.

Importing this module imports astropy (half a second): `decoding` does so when the first FITS file comes.
"""

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from astropy.io.fits.hdu import BITPIX2DTYPE
from numpy.typing import NDArray

from astrolens.science.rejection import DecodeLimits, ImageRejected
from astrolens.science.stretch import to_float32

_BLOCK_BYTES = 2880
_MAX_HEADER_BYTES = 400 * _BLOCK_BYTES
"""14,400 cards: the longest real headers, with all their processing history, have a few hundred blocks."""
_MAX_HDUS = 128
_MAX_AXES = 8
_MAX_PLANES = 16
"""A camera has fewer bands. More planes are a spectral cube, for which no colour picture is defined."""

Buffer = bytes | bytearray


@dataclass(frozen=True, slots=True)
class _Hdu:
    """One header-data unit.

    Attributes:
        index: Position in the file, from 0.
        header: Parsed by astropy; its values are checked on use.
        data_start: Offset of the data in the file, bytes.
    """

    index: int
    header: fits.Header
    data_start: int

    def integer(self, keyword: str, default: int | None = None) -> int:
        """The value of a keyword.

        Raises:
            ImageRejected: `unreadable` where it is missing or no integer.
        """
        try:
            value = self.header.get(keyword, default)
        except fits.VerifyError:
            value = None
        if not isinstance(value, int) or isinstance(value, bool):
            raise ImageRejected("unreadable", f"The FITS header has no usable {keyword}.")
        return value

    def shape(self, prefix: str = "") -> tuple[int, ...]:
        """Lengths of the axes in numpy's order, the slowest first."""
        axes = self.integer(f"{prefix}NAXIS", 0)
        if not 0 <= axes <= _MAX_AXES:
            raise ImageRejected("unreadable", f"A FITS image of {axes} axes is no picture.")
        lengths = tuple(self.integer(f"{prefix}NAXIS{axis}") for axis in range(axes, 0, -1))
        if any(length < 0 for length in lengths):
            raise ImageRejected("unreadable", "The FITS header has an axis of negative length.")
        return lengths

    def data_bytes(self) -> int:
        """Size of the data without their padding."""
        self.shape()
        for keyword, default in (("BITPIX", None), ("GCOUNT", 1), ("PCOUNT", 0)):
            self.integer(keyword, default)
        size = int(self.header.data_size)
        if size < 0:
            raise ImageRejected("unreadable", "The FITS header promises data of negative length.")
        return size


def read_fits(data: Buffer, limits: DecodeLimits, *, file_bytes: int) -> NDArray[np.generic]:
    """Read the first image with data, as one plane or three (red first).

    Args:
        data: The file, gunzipped.
        limits: Bounds on its size.
        file_bytes: Size of the file as received, bytes.

    Returns:
        [1, H, W] or [3, H, W] in the file's number type and row order (the first row is the lowest). Values keep
        their order but not their zero point and unit, which the asinh stretch takes from the sky.

    Raises:
        ImageRejected: `empty` without any image, `too-large`, `bomb`, `too-small`, `truncated`, `unreadable`.
    """
    with _astropy_errors_as_rejections():
        for hdu in _hdus(data):
            compressed = hdu.header.get("ZIMAGE") is True
            if not compressed and hdu.header.get("XTENSION", "IMAGE") != "IMAGE":
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
            cube = _compressed_data(data, hdu, limits, file_bytes) if compressed else _plain_data(data, hdu)
            return _three_bands(cube.reshape(planes, *shape[-2:]))
    raise ImageRejected("empty", "The FITS file holds no image.")


def check_first_header(head: bytes, limits: DecodeLimits, *, file_bytes: int) -> None:
    """Refuse a file by its first header, before the rest of it is inflated.

    Args:
        head: Beginning of the file; a header that does not end in it passes.
        limits: Bounds on the image.
        file_bytes: Size of the file as received, bytes.

    Raises:
        ImageRejected: `too-large`, `bomb`, `too-small`, `unreadable`.
    """
    with _astropy_errors_as_rejections():
        try:
            hdu = _read_hdu(head, 0, 0)
        except ImageRejected:
            return
        shape = hdu.shape()
        if len(shape) >= 2 and math.prod(shape) > 0:
            limits.check_pixels(shape[-1], shape[-2], planes=math.prod(shape[:-2]), file_bytes=file_bytes)


@contextmanager
def _astropy_errors_as_rejections() -> Iterator[None]:
    """Turn what astropy raises into `unreadable`.

    Its warnings are ignored: archives publish many files whose headers bend the standard. A file that is too short,
    of which astropy only warns, is refused here by its length.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (ImageRejected, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - a damaged file makes astropy raise errors of any class
        detail = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise ImageRejected("unreadable", f"The FITS file is damaged: {detail}.") from None


def _hdus(data: Buffer) -> Iterator[_Hdu]:
    """The header-data units in their order; no data are read."""
    start = 0
    for index in range(_MAX_HDUS):
        if start >= len(data):
            return
        hdu = _read_hdu(data, start, index)
        yield hdu
        start = hdu.data_start + -(-hdu.data_bytes() // _BLOCK_BYTES) * _BLOCK_BYTES


def _read_hdu(data: Buffer, start: int, index: int) -> _Hdu:
    """Parse the header at an offset. Astropy sees no more than `_MAX_HEADER_BYTES`, because it has no limit itself."""
    head = io.BytesIO(data[start : start + _MAX_HEADER_BYTES])
    try:
        header = fits.Header.fromfile(head)
    except (OSError, EOFError, ValueError):
        if len(data) - start < _MAX_HEADER_BYTES:
            raise ImageRejected("truncated", "The FITS header ends too early.") from None
        raise ImageRejected("unreadable", "The FITS header has no end.") from None
    return _Hdu(index, header, start + head.tell())


def _check_length(data: Buffer, hdu: _Hdu) -> None:
    if hdu.data_start + hdu.data_bytes() > len(data):
        raise ImageRejected("truncated", "The FITS data end too early.")


def _plain_data(data: Buffer, hdu: _Hdu) -> NDArray[np.generic]:
    """View the pixels in place.

    This is not left to astropy: it copies an in-memory file twice (measured: +120 MiB for one of 60 MiB), so that an
    image of `max_pixels` 64-bit values would exceed the sandbox's address space; and it takes 0.2 ms more a cutout.
    """
    bitpix = hdu.integer("BITPIX")
    if bitpix not in BITPIX2DTYPE:
        raise ImageRejected("unreadable", f"The FITS standard knows no BITPIX {bitpix}.")
    _check_length(data, hdu)
    shape = hdu.shape()
    stored = np.dtype(BITPIX2DTYPE[bitpix]).newbyteorder(">")
    raw: NDArray[np.generic] = np.frombuffer(data, stored, math.prod(shape), hdu.data_start).reshape(shape)
    scale = hdu.header.get("BSCALE", 1)
    descending = isinstance(scale, int | float) and scale < 0
    if "BLANK" not in hdu.header and not descending:
        return raw
    values = to_float32(raw)
    blank = hdu.header.get("BLANK")
    # The standard wants an integer; many writers give a real without a fraction. Anything else marks no pixel.
    if raw.dtype.kind in "iu" and isinstance(blank, int | float) and blank == blank // 1:
        values[raw == blank] = np.nan
    return -values if descending else values


def _compressed_data(data: Buffer, hdu: _Hdu, limits: DecodeLimits, file_bytes: int) -> NDArray[np.generic]:
    """Decompress a tile-compressed image."""
    _check_length(data, hdu)
    # The decompressor allocates whole tiles, and the tile of a small image may claim to be huge.
    axes = hdu.integer("ZNAXIS")
    tile = math.prod(hdu.integer(f"ZTILE{axis}", 1) for axis in range(2, axes + 1)) * hdu.integer("ZTILE1", 1)
    if not 0 <= tile <= limits.max_pixels:
        raise ImageRejected("bomb", f"{file_bytes} bytes promise a compressed tile of {tile} pixels.")
    with fits.open(io.BytesIO(data), memmap=False, lazy_load_hdus=True) as file:
        return np.asarray(file[hdu.index].data)


def _three_bands(cube: NDArray[np.generic]) -> NDArray[np.generic]:
    """Red, green and blue from bands in the order of their wavelengths, as surveys write them (grz, griz, ugriz)."""
    match len(cube):
        case 1:
            return cube
        case 2:
            return np.stack([cube[1], (to_float32(cube[0]) + to_float32(cube[1])) / 2, cube[0]])
        case 3 | 4:
            return cube[[2, 1, 0]]
        case _:
            return cube[[3, 2, 1]]
