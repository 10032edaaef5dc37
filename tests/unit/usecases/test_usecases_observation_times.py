"""Times of observations: Julian dates and ISO 8601, UTC unless said otherwise, never seconds since 1970."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from astrolens.usecases.observation_times import parse_observation_time


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("58644.42", "2019-06-10T10:04:48"),
        (58644.42, "2019-06-10T10:04:48"),
        ("2458644.92", "2019-06-10T10:04:48"),
        (2458644.92, "2019-06-10T10:04:48"),
        ("2019-06-10T10:13:03", "2019-06-10T10:13:03"),
        ("2019-06-10 10:13:03Z", "2019-06-10T10:13:03"),
        ("2019-06-10T12:13:03+02:00", "2019-06-10T10:13:03"),
        ("2019/06/10 10:13:03.25", "2019-06-10T10:13:03.250000"),
        ("2019-06-10", "2019-06-10T00:00:00"),
        ("20190610", "2019-06-10T00:00:00"),
        (datetime(2019, 6, 10, 10, 13, 3), "2019-06-10T10:13:03"),  # noqa: DTZ001
        (datetime(2019, 6, 10, 12, 13, 3, tzinfo=timezone(timedelta(hours=2))), "2019-06-10T10:13:03"),
        ("-15000", "1817-10-23T00:00:00"),
    ],
)
def test_what_is_understood(value: object, expected: str) -> None:
    assert parse_observation_time(value) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_atomic_time_becomes_utc_with_its_leap_seconds() -> None:
    rubin = parse_observation_time("60902.993305483615", "tai")
    assert abs(rubin - datetime(2025, 8, 15, 23, 49, 44, 593784, tzinfo=UTC)) < timedelta(microseconds=5)
    assert parse_observation_time("2016-12-31T12:00:36", "tai") == datetime(2016, 12, 31, 12, tzinfo=UTC)
    assert parse_observation_time("2017-01-01T12:00:37", "tai") == datetime(2017, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        "1560161088",
        1560161088,
        "2019.44",
        "2019",
        "yesterday",
        "10/06/2019",
        "nan",
        "inf",
        True,
        "1e99",
        [],
        "0001-01-01",
    ],
)
def test_what_is_no_time_of_an_observation(value: object) -> None:
    with pytest.raises(ValueError, match=r"^is "):
        parse_observation_time(value)


def test_a_number_of_seconds_since_1970_is_named() -> None:
    with pytest.raises(ValueError, match="seconds since 1970"):
        parse_observation_time("1560161088.5")
