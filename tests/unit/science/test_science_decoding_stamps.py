"""Science, template and difference of an alert packet become one image of three planes."""

import gzip

import numpy as np
import pytest
from astrolens.science.cutouts import ImageRejected
from astrolens.science.decoding_stamps import decode_stamps
from astrolens.science.facts import FileFacts
from astrolens.science.rejection import DecodeLimits
from astropy.io import fits

from tests.made_scenes import fits_file, scene, stored

LIMITS = DecodeLimits()
PACKET = FileFacts(ra_deg=359.9999, dec_deg=-0.2083, bands=("r",), extra={"candid": "2695378462115010012"})


def stamp(values: np.ndarray, *, zipped: bool = True) -> bytes:
    data = fits_file(fits.PrimaryHDU(stored(values).astype(np.float32)), OBJECT="stamp")
    return gzip.compress(data) if zipped else data


def blob(row: int, column: int) -> np.ndarray:
    y, x = np.mgrid[:63, :63]
    return np.random.default_rng(row).normal(50, 3, (63, 63)) + 300 * np.exp(-((x - column) ** 2 + (y - row) ** 2) / 6)


def test_three_stamps_are_red_green_and_blue() -> None:
    stamps = [("science", stamp(blob(15, 15))), ("template", stamp(blob(45, 45))), ("difference", stamp(blob(15, 45)))]
    decoded = decode_stamps(stamps, LIMITS, file=PACKET, media_type="application/avro")
    picture = np.asarray(decoded.picture).astype(int)
    for channel, (row, column) in enumerate(((15, 15), (45, 45), (15, 45))):
        assert picture[row, column].argmax() == channel
        assert picture[row, column, channel] > 150
    assert (decoded.file.axis_3, decoded.file.planes) == ("stamps", ("science", "template", "difference"))
    assert (decoded.file.ra_deg, decoded.file.extra) == (PACKET.ra_deg, PACKET.extra)
    assert decoded.quality.coverage.keys() == {"science", "template", "difference"}
    assert (decoded.width, decoded.height, decoded.media_type) == (63, 63, "application/avro")


def test_a_faint_alert_is_not_refused() -> None:
    noise = np.random.default_rng(1).normal(0, 1, (3, 63, 63))
    stamps = [(name, stamp(plane)) for name, plane in zip(("science", "template", "difference"), noise, strict=True)]
    decoded = decode_stamps(stamps, LIMITS, file=PACKET, media_type="application/avro")
    assert decoded.quality.significance is not None
    assert decoded.quality.significance < 6.2


def test_a_stamp_that_cannot_be_read_leaves_the_others() -> None:
    stamps = [("science", stamp(scene())), ("template", b"no FITS"), ("difference", stamp(blob(3, 3), zipped=False))]
    decoded = decode_stamps(stamps, LIMITS, file=PACKET, media_type="application/avro")
    assert decoded.file.planes == ("science",)
    assert [note.split()[1] for note in decoded.file.notes] == ["template", "difference"]


def test_without_any_stamp_the_packet_is_refused() -> None:
    with pytest.raises(ImageRejected, match=r"not-an-image: It is text; stamps are FITS"):
        decode_stamps([("science", b"no FITS")], LIMITS, file=PACKET, media_type="application/avro")
    with pytest.raises(ImageRejected, match="empty"):
        decode_stamps([], LIMITS, file=PACKET, media_type="application/avro")
