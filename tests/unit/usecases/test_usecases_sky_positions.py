"""Positions as people write them."""

import pytest
from astrolens.usecases.coordinates import parse_position
from astrolens.usecases.sky_positions import archive_links, iau_name, position_texts, sexagesimal_text
from hypothesis import given
from hypothesis import strategies as st


def test_a_position_is_written_in_three_ways() -> None:
    assert position_texts(10.684708, 41.26875) == [
        "10.684708 +41.268750",
        "00:42:44.33 +41:16:07.5",
        "J004244.32+411607.5",
    ]


def test_seconds_are_never_sixty_and_a_small_declination_keeps_its_sign() -> None:
    assert sexagesimal_text(14.9999999, -0.0001) == "01:00:00.00 -00:00:00.4"
    assert sexagesimal_text(359.9999999, 0.0) == "00:00:00.00 +00:00:00.0"
    # A name is cut off, as the IAU asks, where the position is rounded.
    assert iau_name(14.9999999, -0.0001) == "J005959.99-000000.3"


@given(ra=st.floats(0, 359.999), dec=st.floats(-90, 90))
def test_what_is_written_is_read_again(ra: float, dec: float) -> None:
    found = parse_position(sexagesimal_text(ra, dec))
    assert found is not None
    assert found[0] % 360 == pytest.approx(ra, abs=1e-4) or abs(found[0] - ra) > 359
    assert found[1] == pytest.approx(dec, abs=1e-4)


def test_archives_are_centred_on_the_position() -> None:
    urls = {link.name: link.url for link in archive_links(10.684708, -41.26875)}
    assert list(urls) == ["SIMBAD", "NED", "VizieR", "Legacy Survey", "ESASky"]
    assert "Coord=10.684708%20-41.268750&" in urls["SIMBAD"]
    assert "coordinates=10.684708d%20-41.268750d&" in urls["NED"]
    assert "ra=10.684708&dec=-41.268750&" in urls["Legacy Survey"]
