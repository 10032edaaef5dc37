"""Angles as archives write them, against astropy's reading of them."""

import pytest
from astrolens.usecases.angles import parse_dec_deg, parse_ra_deg
from astropy.coordinates import Angle
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "unit", "degrees"),
    [
        ("187.70593", None, 187.70593),
        ("1.2e1", None, 12.0),
        ("12:30:49.42", None, 187.70591666666667),
        ("12 30 49.42", "hour", 187.70591666666667),
        ("12h30m49.42s", "deg", 187.70591666666667),
        ("12h 30m 49.42s", None, 187.70591666666667),
        ("12 30.5", None, 187.625),
        ("187:42:21.3", "deg", 187.70591666666667),
        ("187d42m21.3s", None, 187.70591666666667),
        ("12.5", "hour", 187.5),
        ("3.2", "rad", 183.3464944),
        ("187,5", None, 187.5),
        ("360", None, 0.0),
        ("24:00:00", None, 0.0),
        ("-0.5", None, 359.5),
        ("−0.5", None, 359.5),
        ("-1e-16", None, 0.0),
    ],
)
def test_right_ascensions(text: str, unit: str | None, degrees: float) -> None:
    assert parse_ra_deg(text, unit) == pytest.approx(degrees, abs=1e-9 if unit != "rad" else 1e-6)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "degrees"),
    [
        ("-0.2083", -0.2083),
        ("-00 12 30", -0.20833333333333334),
        ("-00:12:30.0", -0.20833333333333334),
        ("−00:12:30", -0.20833333333333334),
        ("+41d16m09s", 41.26916666666667),
        ("41°16′09″", 41.26916666666667),
        ("-90", -90.0),
        (".5", 0.5),
    ],
)
def test_declinations(text: str, degrees: float) -> None:
    assert parse_dec_deg(text) == pytest.approx(degrees, abs=1e-9)


@pytest.mark.parametrize(
    "text", ["", "m31", "12:61:00", "12:30:60", "400", "-200", "nan", "inf", "25:00:00", "1:2:3:4"]
)
def test_what_is_no_right_ascension(text: str) -> None:
    with pytest.raises(ValueError, match=r"^is "):
        parse_ra_deg(text)


@pytest.mark.parametrize("text", ["100", "-90.1", "12h30m00s", "90:00:01"])
def test_what_is_no_declination(text: str) -> None:
    with pytest.raises(ValueError, match=r"^is "):
        parse_dec_deg(text)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 23),
    st.integers(0, 59),
    st.integers(0, 5999),
    st.sampled_from([":", " "]),
    st.sampled_from("+-"),
)
def test_sexagesimal_text_is_read_as_astropy_reads_it(h: int, m: int, s: int, separator: str, sign: str) -> None:
    text = separator.join((f"{h:02d}", f"{m:02d}", f"{s / 100:05.2f}"))
    assert parse_ra_deg(text) == pytest.approx(Angle(text, unit="hourangle").deg, abs=1e-9)
    assert parse_dec_deg(sign + text) == pytest.approx(Angle(sign + text, unit="deg").deg, abs=1e-9)
