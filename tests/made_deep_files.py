"""Files of more than 8 bits a sample: PNG of every colour type and filter, TIFF of every sample type, FITS."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import tifffile
from astropy.io import fits
from PIL import Image

from tests.made_images import encoded
from tests.made_scenes import fits_file, stored

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


def png16(samples: np.ndarray) -> bytes:
    """A 16-bit PNG of [H, W, S] uint16 with 1 to 4 samples a pixel; its rows use all five filters in turn."""
    height, width, count = samples.shape
    rows = samples.astype(">u2").reshape(height, -1).view(np.uint8).astype(int)
    body, above = bytearray(), np.zeros(rows.shape[1], int)
    step = 2 * count
    for number, row in enumerate(rows):
        left, corner = (np.concatenate([np.zeros(step, int), line[:-step]]) for line in (row, above))
        predictions = (0, left, above, (left + above) // 2, _paeth(left, above, corner))
        kind = number % 5
        body += bytes([kind]) + ((row - predictions[kind]) % 256).astype(np.uint8).tobytes()
        above = row
    header = struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPES[count], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(body))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def _paeth(left: np.ndarray, above: np.ndarray, corner: np.ndarray) -> np.ndarray:
    estimate = left + above - corner
    distances = [np.abs(estimate - value) for value in (left, above, corner)]
    nearest_left = (distances[0] <= distances[1]) & (distances[0] <= distances[2])
    return np.where(nearest_left, left, np.where(distances[1] <= distances[2], above, corner))


def tiff(values: np.ndarray, **options: object) -> bytes:
    """A TIFF by tifffile."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, metadata=None, **options)
    return buffer.getvalue()


def as_type(values: np.ndarray, kind: str) -> np.ndarray:
    """Values between 0 and 1 in a number type: integers use a third of their range, from zero up."""
    dtype = np.dtype(kind)
    if dtype.kind == "f":
        return values.astype(dtype)
    top = float(np.iinfo(dtype).max)
    return np.round(values * top / 3 + top / 9).astype(dtype)


def _colour(values: np.ndarray) -> np.ndarray:
    return np.stack([values, 0.9 * values, 0.8 * values], axis=-1)


def _lzw(values: np.ndarray) -> bytes:
    return encoded(Image.fromarray(as_type(values, "u2")), "TIFF", compression="tiff_lzw")


def _scaled_fits(values: np.ndarray) -> bytes:
    hdu = fits.PrimaryHDU(stored(np.round(values * 20_000).astype(np.int16)))
    data = fits_file(hdu)
    return data.replace(b"EXTEND  =                    T", b"BSCALE  =                 0.01")


def _compressed_fits(values: np.ndarray) -> bytes:
    hdu = fits.CompImageHDU(stored(values * 1e4).astype(np.float32), compression_type="GZIP_2", quantize_level=0)
    return fits_file(fits.PrimaryHDU(), hdu)


Writer = Callable[[np.ndarray], bytes]

WRITERS: dict[str, Writer] = {
    **{
        f"fits {kind}": lambda values, kind=kind: fits_file(fits.PrimaryHDU(stored(as_type(values, kind))))
        for kind in ("u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")
    },
    "fits scaled": _scaled_fits,
    "fits compressed": _compressed_fits,
    **{
        f"tiff {kind}": lambda values, kind=kind: tiff(as_type(values, kind))
        for kind in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")
    },
    **{
        f"tiff white-is-zero {kind}": lambda values, kind=kind: tiff(
            (np.iinfo(kind).max - as_type(values, kind)).astype(kind), photometric="miniswhite"
        )
        for kind in ("u1", "u2", "u4")
    },
    **{
        f"tiff rgb {kind}": lambda values, kind=kind: tiff(as_type(_colour(values), kind), photometric="rgb")
        for kind in ("u1", "u2", "u4", "f4", "f8")
    },
    **{
        f"tiff planar {kind}": lambda values, kind=kind: tiff(
            as_type(np.moveaxis(_colour(values), -1, 0), kind), photometric="rgb", planarconfig="separate"
        )
        for kind in ("u1", "u2", "f4")
    },
    "tiff big-endian": lambda values: tiff(as_type(values, "u2"), byteorder=">"),
    "tiff big": lambda values: tiff(as_type(values, "u2"), bigtiff=True),
    "tiff deflate": lambda values: tiff(as_type(values, "u2"), compression="zlib", predictor=True),
    "tiff tiles": lambda values: tiff(as_type(values, "f4"), tile=(32, 32)),
    "tiff lzw": _lzw,
    "png 8": lambda values: encoded(as_type(values, "u1"), "PNG"),
    "png rgb 8": lambda values: encoded(as_type(_colour(values), "u1"), "PNG"),
    "png 16": lambda values: png16(as_type(values, "u2")[..., None]),
    "png rgb 16": lambda values: png16(as_type(_colour(values), "u2")),
    "png grey-alpha 16": lambda values: png16(np.dstack([as_type(values, "u2"), np.full(values.shape, 65_535, "u2")])),
    "png rgba 16": lambda values: png16(
        np.dstack([as_type(_colour(values), "u2"), np.full(values.shape, 65_535, "u2")])
    ),
    "jpeg 8": lambda values: encoded(as_type(values, "u1"), "JPEG", quality=95),
    "jpeg rgb 8": lambda values: encoded(as_type(_colour(values), "u1"), "JPEG", quality=95),
}
"""Functions from values between 0 and 1, [H, W], first row on top, to a file; by format and bit depth."""
