"""Files that are no usable image, each harmful or useless in its own way."""

import gzip
import io
import struct
import zlib
from pathlib import Path

import numpy as np
from astropy.io import fits
from PIL import Image, ImageDraw


def write_bad_files(folder: Path) -> list[str]:
    """Write them all; the names."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "empty.jpg": b"",
        "text.jpg": b"this is no image, whatever its name says\n" * 100,
        "page.html": b"<html><body><h1>503 Service Unavailable</h1></body></html>",
        "noise.png": np.random.default_rng(7).bytes(20_000),
        "truncated.jpg": _jpeg()[: len(_jpeg()) // 2],
        "bomb.png": _png_bomb(),
        "bomb.fits.gz": _fits_bomb(),
        "blank.fits": _fits(np.full((64, 64), np.nan, dtype=np.float32)),
        "header.tiff": _tiff_header(50_000, 50_000),
        "error-page.jpg": _error_page(),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return sorted(files)


def _jpeg() -> bytes:
    pixels = np.random.default_rng(3).integers(0, 255, (128, 128, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def _png_bomb() -> bytes:
    """30,000 x 30,000 grey pixels, 900 MB, in under a megabyte."""
    side = 30_000
    packer = zlib.compressobj(9)
    row = bytes(side + 1)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _fits_bomb() -> bytes:
    """A gigabyte of zeros behind a FITS header, gzipped to about a megabyte."""
    header = fits.Header([("SIMPLE", True), ("BITPIX", -32), ("NAXIS", 2), ("NAXIS1", 16_384), ("NAXIS2", 16_384)])
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=6) as packed:
        packed.write(header.tostring(padding=True).encode())
        for _ in range(256):
            packed.write(bytes(4 * 2**20))
    return buffer.getvalue()


def _fits(data: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    fits.PrimaryHDU(data).writeto(buffer)
    return buffer.getvalue()


def _tiff_header(width: int, height: int) -> bytes:
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries)) + body + struct.pack("<I", 0)


def _error_page() -> bytes:
    """An error message rendered as a picture, as SkyServer answers with status 200."""
    picture = Image.new("RGB", (423, 423), (0, 0, 0))
    pen = ImageDraw.Draw(picture)
    for line, text in enumerate(
        ["Error: the requested area is", "outside the SDSS footprint.", "", "Please try again"]
    ):
        pen.text((20, 40 + 24 * line), text, fill=(255, 0, 0))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
