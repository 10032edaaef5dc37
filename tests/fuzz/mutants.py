"""Seeds of every kind of file, and mutants of them: the same number gives the same bytes."""

import gzip
import io
import zlib
from functools import cache

import numpy as np
from astropy.io import fits

from tests.made_deep_files import WRITERS, png16, tiff
from tests.made_images import encoded, rgb, tile_compressed
from tests.made_packets import packet, rubin_record, ztf_record
from tests.made_scenes import fits_file, scene, stored

KINDS = ("fits", "tiff", "png", "jpeg", "avro", "csv")

_WCS = {
    "CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "CRPIX1": 11.0, "CRPIX2": 23.5, "CRVAL1": 150.0, "CRVAL2": 2.2,
    "CD1_1": -1e-4, "CD1_2": 2e-5, "CD2_1": 2e-5, "CD2_2": 1e-4, "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-6,
    "B_1_1": 1e-6, "RADESYS": "FK5", "EQUINOX": 2000.0, "FILTER": "r", "DATE-OBS": "2019-06-10T10:13:03.5",
    "TIMESYS": "TAI", "BLANK": -32768,
}  # fmt: skip
_INTERESTING = (0, 1, 2, 7, 0x20, 0x27, 0x2D, 0x30, 0x39, 0x3D, 0x7F, 0x80, 0xFE, 0xFF)
_NUMBERS = (b"0", b"-1", b"1", b"16", b"65535", b"2147483647", b"-2147483648", b"9999999999", b"1E400", b"NaN", b"'x'")


@cache
def seeds(kind: str) -> tuple[bytes, ...]:
    """Sound files of a kind."""
    values = (scene() - 150).clip(0) / 800
    match kind:
        case "fits":
            cube = np.stack([stored(scene(seed=number)) for number in range(3)]).astype(np.float32)
            plain = fits_file(fits.PrimaryHDU(stored(scene()).astype(np.int16)), **_WCS)
            extensions = fits_file(
                fits.PrimaryHDU(), fits.ImageHDU(stored(scene()), name="SCI"), fits.ImageHDU(cube[0], name="DQ")
            )
            return (
                plain,
                extensions,
                gzip.compress(plain),
                tile_compressed(scene().astype(np.float32)),
                fits_file(fits.PrimaryHDU(cube), CTYPE3="STOKES", BANDS="grz"),
                WRITERS["fits u4"](values),
            )
        case "tiff":
            pages = io.BytesIO(tiff((values * 60_000).astype(np.uint16), compression="zlib", predictor=True))
            names = (
                "tiff u1",
                "tiff u4",
                "tiff f8",
                "tiff planar u2",
                "tiff white-is-zero u2",
                "tiff tiles",
                "tiff lzw",
                "tiff big",
            )
            return (pages.getvalue(), *(WRITERS[name](values) for name in names))
        case "png":
            deep = (values * 60_000).astype(np.uint16)
            return (
                encoded(rgb(), "PNG"),
                png16(deep[..., None]),
                png16(np.dstack([deep] * 3)),
                png16(np.dstack([deep] * 2)),
            )
        case "jpeg":
            return (encoded(rgb(), "JPEG"), encoded(rgb(400), "JPEG", progressive=True, quality=60))
        case "avro":
            return (packet(ztf_record()), packet(rubin_record()), packet(ztf_record(), codec="deflate"))
        case "csv":
            rows = "".join(f"img/g{n}.fits,{10 + n}.5,-00:12:{n:02d}.0,58644.{n},NGC {n}\n" for n in range(20))
            return (
                ("file,RAJ2000,DEJ2000,mjd,name\n" + rows).encode(),
                ("# made\nfile;ra(deg);dec(deg)\n" + "a.fits;1,5;2\n" * 5).encode(),
                b'\xef\xbb\xbf"file","ra","dec"\r\n"a, b.fits",nan,\r\n',
            )
    raise ValueError(kind)


def mutant(kind: str, number: int) -> bytes:
    """One mutant: a seed with a few bytes, numbers or blocks changed, cut, doubled or exchanged."""
    rng = np.random.default_rng([KINDS.index(kind), number])
    data = bytearray(seeds(kind)[number % len(seeds(kind))])
    for _ in range(int(rng.integers(1, 6))):
        if data:
            _change(data, rng, seeds(kind)[int(rng.integers(len(seeds(kind))))])
    # Half of the PNG get checksums that are right: else nothing but the checksums would be tried.
    if kind == "png" and number % 2:
        if number % 4 == 1 and len(data) > 29:
            # Size, depth, colour type, interlacing.
            data[int(rng.choice((18, 19, 22, 23, 24, 25, 28)))] = int(rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255)))
        return _with_checksums(bytes(data))
    return bytes(data)


def _with_checksums(data: bytes) -> bytes:
    repaired, at = bytearray(data), 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4])
        if end + 4 > len(data):
            break
        repaired[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4)
        at = end + 4
    return bytes(repaired)


def _change(data: bytearray, rng: np.random.Generator, other: bytes) -> None:
    # Headers are at the beginning: half of all changes go there.
    end = min(len(data), 3000) if rng.random() < 0.5 else len(data)
    at = int(rng.integers(end))
    length = int(rng.integers(1, 81))
    match int(rng.integers(8)):
        case 0:
            data[at] = int(rng.choice(_INTERESTING))
        case 1:
            data[at] ^= 1 << int(rng.integers(8))
        case 2:
            data[at : at + length] = rng.bytes(length)
        case 3:
            del data[at : at + length]
        case 4:
            data[at:at] = data[at : at + length]
        case 5:
            del data[int(rng.integers(len(data))) :]
        case 6:
            number = _NUMBERS[int(rng.integers(len(_NUMBERS)))]
            # In a card of a FITS header: its value.
            place = at - at % 80 + 10
            data[place : place + 20] = number.rjust(20)[:20]
        case 7:
            start = int(rng.integers(len(other)))
            data[at : at + length] = other[start : start + length]
