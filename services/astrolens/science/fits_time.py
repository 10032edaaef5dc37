"""When an image was taken, from its FITS header (FITS standard 4.0, section 9): the begin of the exposure, in UTC."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from astrolens.science.fits_header import Cards

_DATES = ("DATE-OBS", "DATE-BEG", "DATE_OBS", "DATE-AVG")
_TIMES = ("TIME-OBS", "UTC-OBS", "UT", "UTC", "TIME-BEG")
"""The time of day where `DATE-OBS` has the day only."""
_SECONDS = "UTC"
"""As a number it is the seconds of the day (ESO); up to 24 they might be hours, and are not read."""
_A_DAY_OF_HOURS, _A_DAY_OF_SECONDS = 24.0, 86_401.0
_MJDS = ("MJD-OBS", "MJD-BEG", "MJD", "EXPSTART", "MJD_OBS", "MJD-AVG")
_JDS = ("JD", "JD-OBS", "JD_OBS")
_MJD_ZERO = datetime(1858, 11, 17, tzinfo=UTC)
_JD_OF_MJD_ZERO = 2_400_000.5
_YEARS = range(1800, 2200)
_UTC_SCALES = frozenset({"", "UTC", "UT", "UT1", "GMT", "Z"})
"""UT1 differs from UTC by less than a second."""
_OTHER_SCALES = {"TAI": "tai", "TT": "tt", "TDT": "tt", "ET": "tt", "TDB": "tdb", "TCG": "tcg", "TCB": "tcb"}
_ISO = re.compile(r"([+-]?\d{4,5})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d(?:\.\d*)?))?)?Z?$")
_OLD = re.compile(r"(\d\d)/(\d\d)/(\d\d)$")
"""Day, month and year of the twentieth century: how dates were written before 1999."""
_CLOCK = re.compile(r"(\d\d?):(\d\d)(?::(\d\d(?:\.\d*)?))?$")


def exposure_start(headers: Iterable[Cards]) -> tuple[datetime, str, list[str]] | None:
    """When the exposure began.

    Args:
        headers: Of the image and of the file, in the order in which they are asked.

    Returns:
        The time in UTC; the keyword with its time scale; notes. None where no header tells.
    """
    notes: list[str] = []
    for cards in headers:
        scale = (cards.text("TIMESYS") or "UTC").upper()
        for keyword, moment in _moments(cards, notes):
            converted = _as_utc(moment, scale)
            if converted is None:
                notes.append(f"{keyword} is in the time scale {scale[:20]}, which is not read.")
            elif converted.year not in _YEARS:
                notes.append(f"{keyword} lies in the year {converted.year}, which is no time of observation.")
            else:
                return converted, f"{keyword} ({scale})", notes
    return None


def unread_times(headers: Iterable[Cards]) -> list[str]:
    """Notes on dates in the headers that cannot be read."""
    return [
        f"{keyword} is {cards.text(keyword)[:30]!r}, which is no date."
        for cards in headers
        for keyword in _DATES
        if cards.text(keyword) and _date(cards.text(keyword)) is None
    ]


def _moments(cards: Cards, notes: list[str]) -> Iterator[tuple[str, datetime]]:
    for keyword in _DATES:
        found = _date(cards.text(keyword))
        if found is None:
            continue
        moment, has_time = found
        if not has_time:
            clock = next((offset for name in _TIMES if (offset := _clock(cards.text(name))) is not None), None)
            exact = next(_mjds(cards), None)
            seconds = cards.number(_SECONDS) or 0.0
            if clock is not None:
                moment += clock
            elif exact is not None and abs(exact[1] - moment) < timedelta(days=2):
                yield exact
            elif _A_DAY_OF_HOURS < seconds < _A_DAY_OF_SECONDS:
                moment += timedelta(seconds=seconds)
            else:
                notes.append(f"{keyword} has the day only.")
        yield keyword, moment
    yield from _mjds(cards)


def _mjds(cards: Cards) -> Iterator[tuple[str, datetime]]:
    for keywords, zero in ((_MJDS, 0.0), (_JDS, _JD_OF_MJD_ZERO)):
        for keyword in keywords:
            number = cards.number(keyword)
            # 1858 stands for "unknown".
            if number is not None and 0 < number - zero < 200_000:
                yield keyword, _MJD_ZERO + timedelta(days=number - zero)


def _date(text: str) -> tuple[datetime, bool] | None:
    """A date of the FITS standard, and whether it has a time of day."""
    try:
        if old := _OLD.match(text):
            day, month, year = (int(part) for part in old.groups())
            return datetime(1900 + year, month, day, tzinfo=UTC), False
        if not (iso := _ISO.match(text)):
            return None
        year, month, day, hour, minute = (int(part or 0) for part in iso.groups()[:5])
        moment = datetime(year, month, day, hour, minute, tzinfo=UTC) + timedelta(seconds=float(iso[6] or 0))
    except (ValueError, OverflowError):
        return None
    return moment, iso[4] is not None


def _clock(text: str) -> timedelta | None:
    if not (clock := _CLOCK.match(text)):
        return None
    return timedelta(hours=int(clock[1]), minutes=int(clock[2]), seconds=float(clock[3] or 0))


def _as_utc(moment: datetime, scale: str) -> datetime | None:
    if scale in _UTC_SCALES:
        return moment
    if scale == "GPS":
        scale, moment = "TAI", moment + timedelta(seconds=19)
    if scale not in _OTHER_SCALES or moment.year not in _YEARS:
        return None
    from astropy.time import Time  # noqa: PLC0415 - few headers need it

    # Before 1960 there was no UTC to turn into.
    if moment.year < 1960:
        return moment
    converted: datetime = Time(moment.replace(tzinfo=None), scale=_OTHER_SCALES[scale]).utc.to_datetime(timezone=UTC)
    return converted
