"""Positions as people type them, and cones as the record store searches them."""

import pytest
from astrolens.contracts.sky import unit_vector
from astrolens.usecases.coordinates import Cone, impossible_position, parse_position
from hypothesis import given
from hypothesis import strategies as st


@given(ra=st.floats(0, 359.999), dec=st.floats(-90, 90), other=st.floats(0, 359.999), radius=st.floats(0.1, 3600))
def test_whatever_lies_in_a_cone_lies_in_its_box(ra: float, dec: float, other: float, radius: float) -> None:
    cone = Cone(ra_deg=ra, dec_deg=dec, radius_arcsec=radius)
    point = unit_vector(other, max(-90.0, min(90.0, dec + radius / 7200)))
    if cone.distance_arcsec(*point) <= radius:
        assert all(abs(a - b) <= cone.chord * (1 + 1e-9) + 1e-15 for a, b in zip(point, cone.vector, strict=True))


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("10.68 +41.27", (10.68, 41.27)),
        ("10.68,-41.27", (10.68, -41.27)),
        ("360 0", (0.0, 0.0)),
        ("00:42:44 +41:16:09", (10.683333, 41.269167)),
        ("00 42 44 -00 16 09", (10.683333, -0.269167)),
        ("00h42m44.3s +41d16m09s", (10.684583, 41.269167)),
        ("10.68d −41.27d", (10.68, -41.27)),
        ("J004244.30+411609.0", (10.684583, 41.269167)),
        ("j004244.3-001609", (10.684583, -0.269167)),
        ("J006144.30+411609.0", None),
        # As other people write it.
        ("RA=10.68 Dec=+41.27", (10.68, 41.27)),
        ("ra: 00:42:44, dec: -00:16:09 (J2000)", (10.683333, -0.269167)),
        ("10.68+41.27", (10.68, 41.27)),
        ("0.712h +41.27d", (10.68, 41.27)),
        ("10.68 deg, -41.27 deg", (10.68, -41.27)),
        ("10,68 41,27", (10.68, 41.27)),
        ("00:42 +41:16", (10.5, 41.266667)),
        ("0h42m44s; 41°16′09″", (10.683333, 41.269167)),
        ("004244.3+411609", (10.684583, 41.269167)),
        ("00:42:44 + 41:16:09", (10.683333, 41.269167)),
        ("M 31", None),
        ("NGC 4567", None),
        ("galaxy-00001", None),
        ("12", None),
        ("400 10", None),
        ("12:61:00 +10:00:00", None),
        ("10 95", None),
    ],
)
def test_positions_as_people_type_them(text: str, position: tuple[float, float] | None) -> None:
    assert parse_position(text) == (None if position is None else pytest.approx(position, abs=1e-6))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("10 +95", "the declination is '+95', but a declination lies in -90 to 90 degrees"),
        ("400 10", "the right ascension is '400', but a right ascension lies in 0 to 360 degrees"),
        ("RA=10.68 Dec=-91", "the declination is '-91'"),
        ("12:61:00 +10:00:00", "the right ascension is '12:61:00', but minutes and seconds end below 60"),
        ("25:00:00 +10:00:00", "lies in 0 to 24 hours"),
        ("J006144.30+411609.0", "the right ascension is '00:61:44.30'"),
        ("10 90", None),
        ("NGC 4567", None),
        ("galaxy-00001", None),
        ("12", None),
    ],
)
def test_a_position_that_cannot_be_is_told_from_a_name(text: str, why: str | None) -> None:
    found = impossible_position(text)
    assert found is None if why is None else why in str(found)
