"""The time of an observation as archives write it: ISO 8601, or a number, which is a Julian date and never Unix."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal

FIRST_OBSERVATION: Final = datetime(1800, 1, 1, tzinfo=UTC)
LAST_OBSERVATION: Final = datetime(2200, 1, 1, tzinfo=UTC)
"""Bounds of the time of an observation: beyond them it is a slip, and its neighbours cannot be computed in years 1 or
9999."""

TimeScale = Literal["utc", "tai", "tt", "tdb", "tcb", "tcg"]
SCALES: Final[dict[str, TimeScale]] = {
    **dict.fromkeys(("utc", "ut", "ut1", "z"), "utc"),
    **dict.fromkeys(("tt", "tdt", "et"), "tt"),
    "tai": "tai",
    "tdb": "tdb",
    "tcb": "tcb",
    "tcg": "tcg",
}
"""By the words of tables. UT1 is within a second of UTC."""
MJD_ORIGIN: Final = 2_400_000.5
"""The Julian date of an MJD of 0."""

_MJD_EPOCH: Final = datetime(1858, 11, 17, tzinfo=UTC)
_JD_OF_MJD_0: Final = Decimal("2400000.5")
_YEARS: Final = range(FIRST_OBSERVATION.year, LAST_OBSERVATION.year)
_SCALE_BEHIND: Final = re.compile(r"^(?P<time>.*\d)\s*\(?(?P<scale>UTC|UT1?|TAI|TT|TDB|TCB|TCG)\)?$", re.IGNORECASE)
_LEAP_SECOND: Final = re.compile(r"^(.*[T ]23:59:)60(.*)$")
_COMPACT_DATE: Final = re.compile(r"^\d{8}$")
_MICROSECONDS_PER_DAY: Final = 86_400_000_000


def parse_observation_time(value: Any, scale: TimeScale = "utc", origin_jd: float | None = None) -> datetime:
    """Read the time of an observation.

    A number is a modified Julian date, or a Julian date above 2,400,000 (FITS standard 4.0, section 9: UTC unless
    something else is said). Text without a zone is UTC.

    Args:
        value: Text, a number, or a datetime.
        scale: The scale of numbers and of text without a zone.
        origin_jd: The Julian date that numbers are days from, None where nothing is said.

    Returns:
        An aware time in UTC.

    Raises:
        ValueError: It is no time of an observation; the message is a clause that continues the name of the field.
    """
    if isinstance(value, datetime):
        moment = value.replace(tzinfo=UTC) if value.tzinfo is None else _in_utc(value)
    else:
        moment = _of_text(str(value).strip(), scale, origin_jd)
    if not FIRST_OBSERVATION <= moment < LAST_OBSERVATION:
        raise ValueError(
            f"is {str(value)[:40]!r}: {moment.year} is no year of an observation, give one from 1800 to 2199"
        )
    return moment


def _of_text(text: str, scale: TimeScale, origin_jd: float | None) -> datetime:
    if found := _SCALE_BEHIND.match(text):
        text, scale = found["time"], SCALES[found["scale"].lower()]
    if found := _LEAP_SECOND.match(text):
        return _of_text(found[1] + "59" + found[2], scale, origin_jd) + timedelta(seconds=1)
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = None
    if number is None or _COMPACT_DATE.match(text):
        try:
            moment = datetime.fromisoformat(text.replace("/", "-"))
        except ValueError:
            raise ValueError(
                f"is {text[:40]!r}, which is no time: write ISO 8601 (2019-06-10T10:04:48) or an MJD or JD"
            ) from None
        return _in_utc(moment) if moment.tzinfo is not None else _to_utc(moment.replace(tzinfo=UTC), scale)
    if not number.is_finite():
        raise ValueError(f"is {text[:40]!r}, which is no time")
    if origin_jd is not None:
        mjd = number + Decimal(repr(origin_jd)) - _JD_OF_MJD_0
    else:
        mjd = number - _JD_OF_MJD_0 if number > 2_400_000 else number
    if origin_jd is None and number == mjd and int(number) in _YEARS:
        raise ValueError(f"is {text[:40]!r}: this is a year, or an MJD of 1863: write ISO 8601, or a Julian date")
    if not -30_000 < mjd < 130_000:
        raise ValueError(
            f"is {text[:40]!r}, which is neither an MJD nor a JD: numbers of seconds since 1970 are not understood, "
            "write ISO 8601"
        )
    # Decimal to the end: a double of a Julian date is good to 40 microseconds only.
    return _to_utc(_MJD_EPOCH + timedelta(microseconds=round(mjd * _MICROSECONDS_PER_DAY)), scale)


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"is {moment.isoformat()}, which lies outside the years 1 to 9999 in UTC") from None


def _to_utc(moment: datetime, scale: TimeScale) -> datetime:
    if scale == "utc":
        return moment
    try:
        from astropy.time import Time  # noqa: PLC0415 - half a second, and only times in other scales need it
    except ImportError:
        raise ValueError(f"is in {scale.upper()}, which needs the package astropy to become UTC") from None
    converted: datetime = Time(moment.replace(tzinfo=None), scale=scale).utc.to_datetime()
    return converted.replace(tzinfo=UTC)
