"""PNG of 16 bits a sample, which Pillow reads as grey only: of colour it keeps the high bytes."""

import io
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from astrolens.science.measuring import StoredPlanes

_DEPTH_AT = 24
_COLOUR_TYPE_AT = 25
_HEADER = slice(12, 29)
"""Type and body of the first chunk, which its checksum covers."""
_GREY, _GREY_ALPHA, _RGBA = 0, 4, 6


def is_deep_png(data: bytes) -> bool:
    """Whether a PNG has 16 bits a sample."""
    return len(data) > _COLOUR_TYPE_AT and data[_DEPTH_AT] == 16


def read_deep_png(data: bytes, picture: Image.Image) -> StoredPlanes:
    """The samples of a 16-bit PNG.

    Args:
        data: The file.
        picture: The same, opened by Pillow and not loaded yet.

    Raises:
        OSError, SyntaxError, ValueError and others of Pillow where the file is damaged.
    """
    colour_type = data[_COLOUR_TYPE_AT]
    if colour_type == _GREY:
        return StoredPlanes(np.asarray(picture).astype(np.uint16)[None], ("grey",))
    if colour_type == _GREY_ALPHA:
        # Filters work on bytes: as an 8-bit RGBA the same rows are high byte, low byte, high byte, low byte.
        as_rgba = _with_header(data, depth=8, colour_type=_RGBA)
        samples = np.asarray(Image.open(io.BytesIO(as_rgba), formats=["PNG"])).astype(np.uint16)
        grey, alpha = samples[..., 0] << 8 | samples[..., 1], samples[..., 2] << 8 | samples[..., 3]
        return StoredPlanes(grey[None], ("grey",), hidden=alpha == 0)
    samples = _both_bytes(data)
    hidden = samples[..., 3] == 0 if samples.shape[-1] == 4 else None
    return StoredPlanes(np.moveaxis(samples[..., :3], -1, 0), ("red", "green", "blue"), hidden=hidden)


def _both_bytes(data: bytes) -> NDArray[np.uint16]:
    """RGB or RGBA of 16 bits: the high bytes as Pillow reads them, and the low ones by its little-endian order."""
    high = np.asarray(_raw(data, ";16B")).astype(np.uint16)
    samples: NDArray[np.uint16] = high << 8 | np.asarray(_raw(data, ";16L"))
    return samples


def _raw(data: bytes, order: str) -> Image.Image:
    picture = Image.open(io.BytesIO(data), formats=["PNG"])
    picture.tile = [tile._replace(args=picture.mode + order) for tile in picture.tile]
    picture.load()
    return picture


def _with_header(data: bytes, *, depth: int, colour_type: int) -> bytes:
    """The same file with another sample format in its header."""
    header = bytearray(data[_HEADER])
    header[_DEPTH_AT - _HEADER.start], header[_COLOUR_TYPE_AT - _HEADER.start] = depth, colour_type
    checksum = zlib.crc32(header).to_bytes(4)
    return data[: _HEADER.start] + bytes(header) + checksum + data[_HEADER.stop + 4 :]
