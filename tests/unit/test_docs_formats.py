"""docs/formats.md is true: every row that says what is read or refused is tried, and its keywords are the code's."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astrolens.science import alert_packets, decoding_fits, fits_planes, fits_time
from astrolens.science.cutouts import ImageRejected, make_cutout
from astrolens.usecases.tables.columns import Column, assign_columns
from astropy.io import fits
from astropy.table import Table

from tests.made_deep_files import WRITERS, tiff
from tests.made_images import encoded, fits_bytes, rgb, tile_compressed_bomb
from tests.made_packets import message, packet, rubin_record, ztf_record
from tests.made_scenes import fits_file, scene, stored

_TEXT = (Path(__file__).resolve().parents[2] / "docs" / "formats.md").read_text()


def rows(section: str) -> list[list[str]]:
    """The cells of the table in a section, without its head."""
    body = _TEXT.split(f"## {section}\n")[1].split("\n## ")[0]
    lines = [line for line in body.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


READ = [(row[2], name) for row in rows("What is read") for name in quoted(row[3])]


def test_every_made_kind_of_file_has_a_row_and_no_other() -> None:
    assert sorted(name for _, name in READ) == sorted(WRITERS)


@pytest.mark.parametrize(("stretch", "name"), READ, ids=[name for _, name in READ])
def test_what_is_said_to_be_read_is(stretch: str, name: str) -> None:
    cutout = make_cutout(WRITERS[name]((scene() - 150).clip(0) / 800))
    assert cutout.stretch.split()[0] == stretch.split(":", maxsplit=1)[0]
    assert cutout.media_type == f"image/{name.split(maxsplit=1)[0]}"


def test_the_keywords_are_those_of_the_code() -> None:
    table = {row[0]: set(quoted(row[1])) for row in rows("What is taken from a FITS header")}
    times = {*fits_time._DATES, *fits_time._TIMES, *fits_time._MJDS, *fits_time._JDS}
    assert table["begin of the exposure"] == times
    assert table["bands of an image"] == set(fits_planes._FILTER_KEYWORDS)
    assert table["where the telescope pointed"] == {keyword for pair in decoding_fits._POINTINGS for keyword in pair}
    numbered = {f"{pattern}n" for pattern in fits_planes.NUMBERED_BANDS}
    assert table["bands of the planes of a cube"] == {*fits_planes.LISTED_BANDS, *numbered}


def test_the_names_of_columns_are_those_of_the_code() -> None:
    fields = {"file": "file", "time": "observed_at", "survey's own id": "object_id"}
    for what, names, _ in rows("Tables of positions"):
        for name in quoted(names):
            if what == "position" and "/" in name:
                columns = [Column(one) for one in name.split("/")]
                assert assign_columns(columns).has_position, name
            elif name.startswith(("pos.", "meta.id", "meta.file")):
                assert assign_columns([Column("x", ucd=name)]).fields, name
            elif what in fields:
                assert fields[what] in assign_columns([Column(name)]).fields, name


def test_the_fields_of_packets_are_those_of_the_code() -> None:
    table = {row[0]: row[1:] for row in rows("What is taken from an alert packet")}
    ids, measures = table["further ids, with all their digits"], table["measurements"]
    assert [tuple(quoted(cell)) for cell in ids] == [alert_packets._ZTF_IDS, alert_packets._RUBIN_IDS]
    assert [tuple(quoted(cell)) for cell in measures] == [alert_packets._ZTF_MEASURES, alert_packets._RUBIN_MEASURES]


_PLAIN = fits_file(fits.PrimaryHDU(stored(scene()).astype(np.float32)))
_OTHER_SCHEMA = {"type": "record", "name": "other", "fields": [{"name": "a", "type": "int"}]}
_EVENTS = fits.BinTableHDU(Table({"x": [1.0]}), name="EVENTS")

REFUSED: dict[str, Callable[[], bytes]] = {
    "no bytes": lambda: b"",
    "FITS with tables only": lambda: fits_bytes(fits.PrimaryHDU(), _EVENTS),
    "FITS with a mask only": lambda: fits_bytes(fits.PrimaryHDU(), fits.ImageHDU(scene(), name="DQ")),
    "Avro without stamps": lambda: packet({"a": 1}, schema=_OTHER_SCHEMA),
    "Avro of several packets": lambda: packet(ztf_record(), ztf_record(candid=7)),
    "a packet without a science image": lambda: packet(ztf_record(cutoutScience=None)),
    "a packet cut short": lambda: b"Obj\x01",
    "a message of a schema registry": lambda: message(rubin_record(), 1100),
    "VOTable": lambda: b'<?xml version="1.0"?>\n<VOTABLE version="1.4"></VOTABLE>',
    "GIF": lambda: encoded(rgb(), "GIF"),
    "HDF5": lambda: b"\x89HDF\r\n\x1a\n" + bytes(100),
    "NumPy array": lambda: b"\x93NUMPY\x01\x00" + bytes(100),
    "xz archive": lambda: b"\xfd7zXZ\x00" + bytes(100),
    "text in gzip": lambda: gzip.compress(b"hello " * 100),
    "unknown bytes": lambda: bytes(range(200)),
    "FITS cut in its data": lambda: _PLAIN[:-6000],
    "FITS cut in its header": lambda: _PLAIN[:400],
    "gzip cut short": lambda: gzip.compress(_PLAIN)[:6000],
    "FITS of another BITPIX": lambda: _PLAIN.replace(
        b"BITPIX  =                  -32", b"BITPIX  =                   17"
    ),
    "FITS with a NAXIS1 that is no number": lambda: _PLAIN.replace(
        b"NAXIS1  =                   80", b"NAXIS1  = 'wide'              "
    ),
    "TIFF of complex numbers": lambda: tiff(np.ones((40, 40), np.complex64)),
    "TIFF of 16-bit CIELab": lambda: tiff(np.zeros((40, 40, 3), np.uint16), photometric="cielab"),
    "a picture of 8 pixels": lambda: encoded(rgb(8), "PNG"),
    "a bomb": tile_compressed_bomb,
    "noise": lambda: fits_file(fits.PrimaryHDU(np.random.default_rng(1).normal(0, 1, (128, 128)))),
    "one value": lambda: fits_file(fits.PrimaryHDU(np.full((64, 64), 7.0))),
    "half of it filled": lambda: encoded(np.pad(rgb(128)[:, :64], ((0, 0), (0, 64), (0, 0))), "PNG"),
}


def test_every_refusal_has_a_row_and_no_other() -> None:
    assert [row[0] for row in rows("What is refused")] == list(REFUSED)


@pytest.mark.parametrize("row", rows("What is refused"), ids=lambda row: row[0])
def test_what_is_refused_is_told_in_these_words(row: list[str]) -> None:
    what, code, words = row
    with pytest.raises(ImageRejected) as caught:
        make_cutout(REFUSED[what]())
    assert (caught.value.code, words in caught.value.detail) == (code.strip("`"), True), caught.value.detail
