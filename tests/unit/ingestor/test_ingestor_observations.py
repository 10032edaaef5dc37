"""What a header says fills what nobody gave; what was given wins, and both are kept."""

from dataclasses import fields
from datetime import UTC, datetime

import pytest
from astrolens.contracts.image_files import FileHeader, PixelQuality
from astrolens.contracts.records import Observation, Position
from astrolens.ingestor.observations import file_header, pixel_quality, with_header
from astrolens.science.facts import FileFacts, PixelFacts
from pydantic import ValidationError

FACTS = FileFacts(
    ra_deg=359.9994836,
    dec_deg=-0.2083238,
    frame="ICRS",
    pixel_scale_arcsec=0.36,
    north_angle_deg=30.0,
    mirrored=False,
    bands=("r",),
    observed_at="2019-06-10T10:13:03.500000+00:00",
    extra={"candid": "2695378462115010012"},
)


def test_the_facts_of_a_decoder_are_the_fields_of_the_contracts() -> None:
    assert {field.name for field in fields(FileFacts)} == FileHeader.model_fields.keys()
    assert {field.name for field in fields(PixelFacts)} == PixelQuality.model_fields.keys()
    assert file_header(FACTS).observed_at == datetime(2019, 6, 10, 10, 13, 3, 500_000, tzinfo=UTC)
    assert pixel_quality(PixelFacts(coverage={"g": 0.5})).coverage == {"g": 0.5}


def test_a_header_fills_what_nobody_gave() -> None:
    merged, origins = with_header(Observation(survey="case", name="w.fits"), file_header(FACTS))
    assert merged.position is not None
    assert (merged.position.ra_deg, merged.position.dec_deg) == (359.9994836, -0.2083238)
    assert merged.position.x == pytest.approx(1.0, abs=1e-4), "a cone search needs the vector"
    assert (merged.pixel_scale_arcsec, merged.bands, merged.name) == (0.36, ("r",), "w.fits")
    assert merged.extra == {"candid": "2695378462115010012"}
    assert origins == dict.fromkeys(("position", "pixel_scale_arcsec", "observed_at", "bands"), "header")


def test_what_was_given_wins() -> None:
    position = Position(ra_deg=10, dec_deg=20)
    given = Observation(position=position, bands=("g",), extra={"candid": "7"})
    merged, origins = with_header(given, file_header(FACTS))
    assert (merged.position, merged.bands, merged.extra) == (position, ("g",), {"candid": "7"})
    assert origins == {"position": "given", "bands": "given", "pixel_scale_arcsec": "header", "observed_at": "header"}


def test_without_a_header_nothing_changes() -> None:
    given = Observation(bands=("g",))
    assert with_header(given, None) == (given, {"bands": "given"})
    assert with_header(given, FileHeader()) == (given, {"bands": "given"})


@pytest.mark.parametrize(
    "wrong",
    [
        {"ra_deg": 360.0},
        {"dec_deg": float("nan")},
        {"pixel_scale_arcsec": float("inf")},
        {"north_angle_deg": 181.0},
        {"observed_at": "yesterday"},
        {"axis_3": "flavour"},
        {"notes": ("x" * 241,)},
        {"images": ("x",) * 65},
    ],
    ids=str,
)
def test_no_impossible_header_is_believed(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        file_header(FileFacts(**wrong))  # type: ignore[arg-type]
