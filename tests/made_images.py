"""Synthetic image files for tests: valid ones of every format, unusable ones, and decompression bombs."""

import gzip
import io
import struct
import warnings
import zlib
from functools import cache

import numpy as np
from astropy.io import fits
from PIL import Image


def sky(side: int = 120, *, seed: int = 1) -> np.ndarray:
    """A galaxy and a few stars with noise, [side, side] float32, arbitrary unit; the galaxy is in the upper right."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    values = 40 * np.exp(-np.hypot(x - side * 0.7, (y - side * 0.7) * 1.5) / (side * 0.06))
    for _ in range(5):
        at_x, at_y = rng.uniform(0, side, 2)
        values += 20 * np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / 4)
    return (values + rng.normal(0, 1, (side, side)) + 100).astype(np.float32)


def rgb(side: int = 120, *, seed: int = 1) -> np.ndarray:
    """The same as an 8-bit picture, [side, side, 3]."""
    values = np.clip((sky(side, seed=seed) - 98) * 6, 0, 255)
    return np.stack([values, values * 0.8, values * 0.6], axis=-1).astype(np.uint8)


def encoded(picture: np.ndarray | Image.Image, kind: str, **options: object) -> bytes:
    """A picture as a file."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def fits_bytes(*hdus: fits.hdu.base._BaseHDU) -> bytes:
    """HDUs as a file."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits.HDUList(list(hdus)).writeto(buffer)
    return buffer.getvalue()


def fits_header(**cards: object) -> bytes:
    """A FITS header alone, padded to its blocks."""
    text = "".join(f"{name:<8}= {_fits_value(value):>20}".ljust(80) for name, value in cards.items()) + "END".ljust(80)
    return text.ljust(-(-len(text) // 2880) * 2880).encode()


def _fits_value(value: object) -> str:
    if isinstance(value, bool):
        return "T" if value else "F"
    return f"'{value:<8}'" if isinstance(value, str) else str(value)


def gzipped_fits_bomb(inflated_mib: int = 1500, *, claimed_side: int | None = None) -> bytes:
    """A gzip of some megabytes with an all-zero FITS of `inflated_mib`; its header may claim another size."""
    side = claimed_side or int((inflated_mib * 2**20 / 4) ** 0.5)
    squeezer = zlib.compressobj(1, wbits=31)
    parts = [squeezer.compress(fits_header(SIMPLE=True, BITPIX=-32, NAXIS=2, NAXIS1=side, NAXIS2=side))]
    zeros = bytes(2**20)
    parts += [squeezer.compress(zeros) for _ in range(inflated_mib)]
    return b"".join([*parts, squeezer.flush()])


def tile_compressed(values: np.ndarray) -> bytes:
    """A tile-compressed FITS, as surveys publish them."""
    return fits_bytes(fits.PrimaryHDU(), fits.CompImageHDU(values, compression_type="RICE_1", quantize_level=16))


def tile_compressed_bomb(side: int = 40_000) -> bytes:
    """A few kilobytes whose header claims `side` x `side` pixels."""
    small = tile_compressed(np.zeros((64, 64), dtype=np.int16))
    for name in ("ZNAXIS1", "ZNAXIS2"):
        at = small.index(f"{name:<8}=".encode())
        small = small[: at + 10] + f"{side:>20}".encode() + small[at + 30 :]
    return small


def png_bomb(side: int = 30_000) -> bytes:
    """A black one-bit PNG of `side` x `side` pixels in about 100 kB, valid except for its size."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    squeezer = zlib.compressobj(9)
    row = bytes(side * 3 + 1)
    body = b"".join(squeezer.compress(row) for _ in range(side // 40)) + squeezer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def tiff_header_bomb(side: int = 50_000) -> bytes:
    """A TIFF of little more than a header, which claims `side` x `side` pixels."""
    entries = [
        (256, 4, side),
        (257, 4, side),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (278, 4, side),
        (279, 4, 4),
    ]
    body = struct.pack("<H", len(entries))
    for tag, kind, value in entries:
        body += struct.pack("<HHII", tag, kind, 1, value)
    return b"II*\x00" + struct.pack("<I", 12) + b"\0\0\0\0" + body + struct.pack("<I", 0)


def gzip_bomb_with_small_header() -> bytes:
    """A gzip whose FITS header claims a small image, followed by far too many zeros."""
    return gzipped_fits_bomb(600, claimed_side=100)


BOMBS = {
    "gzipped-fits": gzipped_fits_bomb,
    "lying-gzipped-fits": gzip_bomb_with_small_header,
    "tile-compressed-fits": tile_compressed_bomb,
    "png": png_bomb,
    "tiff-header": tiff_header_bomb,
}


@cache
def unusable_files() -> dict[str, tuple[bytes, str]]:
    """Files that cannot become a cutout, each with the code of its rejection."""
    jpeg = encoded(rgb(), "JPEG")
    frame = fits_bytes(fits.PrimaryHDU(sky()))
    return {
        "empty": (b"", "empty"),
        "text": (b"Dear sir or madam,\n", "not-an-image"),
        "html": (b"\n<!DOCTYPE html><html><body>502 Bad Gateway</body></html>", "not-an-image"),
        "json": (b'{"error": "no such field"}', "not-an-image"),
        "zip": (b"PK\x03\x04" + bytes(200), "not-an-image"),
        "gif": (encoded(rgb(), "GIF"), "not-an-image"),
        "random": (np.random.default_rng(3).bytes(5000), "not-an-image"),
        "gzipped-text": (gzip.compress(b"hello " * 100), "not-an-image"),
        "truncated-jpeg": (jpeg[: len(jpeg) // 2], "truncated"),
        "truncated-png": (encoded(rgb(), "PNG")[:3000], "truncated"),
        "truncated-fits": (frame[: len(frame) // 2], "truncated"),
        "truncated-fits-header": (frame[:1000], "truncated"),
        "truncated-gzip": (gzip.compress(frame)[:5000], "truncated"),
        "jpeg-magic-then-noise": (b"\xff\xd8\xff" + np.random.default_rng(4).bytes(4000), "unreadable"),
        "fits-of-nan": (fits_bytes(fits.PrimaryHDU(np.full((64, 64), np.nan, np.float32))), "no-coverage"),
        "fits-constant": (fits_bytes(fits.PrimaryHDU(np.full((64, 64), 7, np.int16))), "no-coverage"),
        "fits-without-image": (fits_bytes(fits.PrimaryHDU()), "empty"),
        "black-png": (encoded(np.zeros((200, 200, 3), np.uint8), "PNG"), "no-coverage"),
        "one-pixel": (encoded(np.zeros((1, 1, 3), np.uint8), "PNG"), "too-small"),
    }
