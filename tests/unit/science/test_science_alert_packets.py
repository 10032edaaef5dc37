"""Alert packets of ZTF and Rubin become one image of three planes, with exact ids and UTC."""

import gzip
import io

import numpy as np
import pytest
from astrolens.contracts.records import truncate_extra
from astrolens.ingestor.observations import file_header
from astrolens.science.cutouts import ImageRejected, decode_cutout, make_cutout
from PIL import Image

from tests.made_packets import CANDID, SIDE, packet, rubin_record, rubin_schema, stamp, ztf_record, ztf_schema
from tests.shared_data import shared_data

STAR, NEW = (20, 40), (31, 31)
"""Row, column of the star and of the transient in the arrays of the stamps."""


def colours(jpeg: bytes, row: int, column: int) -> list[float]:
    """Mean red, green and blue of 3 x 3 pixels."""
    box = decode_cutout(jpeg)[row - 1 : row + 2, column - 1 : column + 2]
    return [float(value) for value in box.mean(axis=(0, 1))]


def test_the_three_stamps_are_the_colours_of_one_image() -> None:
    cutout = make_cutout(packet(ztf_record()))
    # ZTF's stamps begin with their northern row: the picture has the rows of the array.
    red, green, blue = colours(cutout.jpeg, *STAR)
    assert (min(red, green) > 150, blue < 80) == (True, True), "in science and template, not in the difference: yellow"
    red, green, blue = colours(cutout.jpeg, *NEW)
    assert (min(red, blue) > 150, green < 80) == (True, True), "new: purple"
    assert (cutout.width, cutout.height, cutout.media_type) == (SIDE, SIDE, "application/avro")
    assert cutout.stretch == "asinh of each stamp: science red, template green, difference blue"
    assert cutout.orientation is not None
    assert cutout.orientation.startswith("north up, east left")
    assert cutout.quality.significance is not None
    assert cutout.quality.coverage == {"science": 1.0, "template": 1.0, "difference": 1.0}


def test_what_a_ztf_packet_states() -> None:
    facts = make_cutout(packet(ztf_record(), codec="snappy")).file
    assert (facts.ra_deg, facts.dec_deg, facts.pixel_scale_arcsec) == (359.9999, -0.2083, 1.012)
    assert (facts.survey, facts.name, facts.bands) == ("ztf", "ZTF19abcdefg", ("r",))
    assert (facts.observed_at, facts.time_source) == ("2019-06-10T10:04:48.000+00:00", "jd (UTC)")
    assert (facts.axis_3, facts.planes) == ("stamps", ("science", "template", "difference"))
    assert facts.extra["candid"] == str(CANDID), "all its digits"
    assert facts.extra["object_id"] == "ZTF19abcdefg"
    assert facts.extra["magpsf"] == "18.25"
    assert not {"drb", "ssnamenr"} & facts.extra.keys(), "what is unknown is not kept"
    assert file_header(facts).observed_at is not None
    assert truncate_extra(facts.extra) == facts.extra


def test_a_packet_may_be_gzipped() -> None:
    cutout = make_cutout(gzip.compress(packet(ztf_record())))
    assert (cutout.media_type, cutout.file.survey) == ("application/avro", "ztf")


def test_an_id_that_only_the_candidate_has_is_found() -> None:
    record = ztf_record()
    del record["candid"]
    assert make_cutout(packet(record, schema=ztf_schema("3.0"))).file.extra["candid"] == str(CANDID)


@pytest.mark.parametrize("version", ["v10_0", "v11_0"])
def test_what_a_rubin_packet_states(version: str) -> None:
    cutout = make_cutout(packet(rubin_record(), schema=rubin_schema(version)))
    facts = cutout.file
    assert (facts.ra_deg, facts.dec_deg) == (351.570546978, 0.126243049656)
    assert facts.observed_at == "2025-08-15T23:49:44.594+00:00", "37 seconds of TAI are taken off"
    assert (facts.survey, facts.bands) == ("lsst", ("r",))
    assert facts.extra["object_id"] == facts.extra["diaObjectId"] == "281323062375219201"
    assert facts.extra["diaSourceId"] == "281323062375219200"
    # Their WCS says that north is at the left: the picture is turned.
    assert cutout.orientation == "north up, east left"
    assert cutout.north_angle_deg == pytest.approx(0.0, abs=0.01)
    assert facts.pixel_scale_arcsec == pytest.approx(0.2, rel=1e-3)
    picture = decode_cutout(cutout.jpeg).astype(float)
    at = np.unravel_index(np.argmax(picture[..., 0] + picture[..., 1] - picture[..., 2]), picture.shape[:2])
    # North (up) is where the column is small, east (left) where the row is small.
    assert (int(at[0]), int(at[1])) == pytest.approx((STAR[1], STAR[0]), abs=2)


def test_what_a_packet_lacks_is_said_and_the_rest_is_shown() -> None:
    cutout = make_cutout(packet(ztf_record(cutoutTemplate=None)))
    assert cutout.file.planes == ("science", "difference")
    assert cutout.file.notes == ("The packet has no template image.",)
    red, green, blue = colours(cutout.jpeg, *NEW)
    assert (min(red, blue) > 150, green < 20) == (True, True), "colours keep their meaning"
    record = ztf_record()
    record["cutoutDifference"]["stampData"] = gzip.compress(b"no picture")
    cutout = make_cutout(packet(record))
    assert cutout.file.planes == ("science", "template")
    assert "difference stamp is left out" in cutout.file.notes[0]


def test_pixels_beyond_the_edge_of_the_detector_are_masked() -> None:
    record = ztf_record()
    pixels = np.frombuffer(gzip.decompress(record["cutoutScience"]["stampData"])[2880:], ">f4")[: SIDE * SIDE].copy()
    pixels[: SIDE * 10] = np.nan
    data = gzip.decompress(record["cutoutScience"]["stampData"])[:2880] + pixels.tobytes()
    record["cutoutScience"]["stampData"] = gzip.compress(data.ljust(-(-len(data) // 2880) * 2880, b"\0"))
    assert make_cutout(packet(record)).quality.coverage["science"] == pytest.approx(53 / 63, abs=1e-3)


def test_jpeg_stamps_of_the_first_packets_are_read() -> None:
    record = ztf_record()
    for name in ("Science", "Template", "Difference"):
        values = np.frombuffer(gzip.decompress(record[f"cutout{name}"]["stampData"])[2880:], ">f4")[: SIDE * SIDE]
        buffer = io.BytesIO()
        Image.fromarray(np.clip(values.reshape(SIDE, SIDE) - 80, 0, 255).astype("u1")).save(buffer, "JPEG")
        record[f"cutout{name}"]["stampData"] = buffer.getvalue()
    cutout = make_cutout(packet(record))
    red, green, blue = colours(cutout.jpeg, *NEW)
    assert min(red, blue) > 100 > green
    assert cutout.north_angle_deg is None


@pytest.mark.parametrize(
    ("data", "code", "word"),
    [
        (packet(ztf_record(), ztf_record(candid=7)), "several-packets", "2 alert packets"),
        (packet(ztf_record(cutoutScience=None)), "empty", "no science image"),
        (packet(ztf_record())[:20_000], "truncated|unreadable", "Avro data"),
        (packet({"a": 1}, schema={"type": "record", "name": "other", "fields": [{"name": "a", "type": "int"}]}),
         "not-an-image", "an Avro file of 'other' records"),
        (b"Obj\x01", "truncated|unreadable", "Avro"),
        (b"Obj\x01" + b"\xff" * 200, "truncated|unreadable", "Avro"),
    ],
)  # fmt: skip
def test_what_is_no_packet_is_told(data: bytes, code: str, word: str) -> None:
    with pytest.raises(ImageRejected, match=word) as refused:
        make_cutout(data)
    assert refused.value.code in code.split("|")


def test_impossible_values_cost_no_picture() -> None:
    record = ztf_record()
    record["candidate"] |= {"ra": float("nan"), "dec": 100.0, "jd": 1e300, "fid": 99}
    facts = make_cutout(packet(record)).file
    assert (facts.ra_deg, facts.dec_deg, facts.observed_at, facts.bands) == (None, None, None, ())
    assert len(facts.notes) == 2
    record["candidate"] |= {"ra": 360.0, "dec": 1.0}
    assert make_cutout(packet(record)).file.ra_deg == 0.0


def test_stamps_of_several_sizes_do_not_meet() -> None:
    record = ztf_record()
    record["cutoutTemplate"]["stampData"] = gzip.compress(stamp(seed=1, side=40))
    assert make_cutout(packet(record)).file.planes == ("science", "difference")


def test_real_packets_of_all_versions() -> None:
    """Every packet of the test suites of brokers: ZTF's schemas 1.3 to 4.01, two of them corrupt."""
    folder = shared_data() / "alerts"
    codes: list[str] = []
    for path in sorted(folder.rglob("*.avro"))[::6]:
        try:
            facts = make_cutout(path.read_bytes()).file
        except ImageRejected as rejected:
            codes.append(rejected.code)
            continue
        assert facts.extra["candid"].lstrip("-").isdigit()
        assert facts.observed_at is not None
        assert facts.ra_deg is not None
        assert facts.planes == ("science", "template", "difference")
    assert len(codes) <= 1
