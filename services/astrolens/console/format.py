"""Numbers and times as people read them."""

from datetime import UTC, datetime
from math import isfinite, log10
from typing import Final

NO_VALUE: Final = "–"
"""Stands where there is no number."""

_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_DAY_S: Final = 86_400


def count(value: float | None) -> str:
    """12,345."""
    return NO_VALUE if value is None else f"{value:,.0f}"


def figure(value: float | None, digits: int = 3) -> str:
    """A number with a few significant digits, and no exponent where it can be read without."""
    if value is None or not isfinite(value):
        return NO_VALUE
    size = abs(value)
    if size == 0:
        return "0"
    if size >= 1e6 or size < 1e-4:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    if size >= 1000:
        return f"{value:,.0f}"
    places = max(0, digits - 1 - int(log10(size) // 1))
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def duration(seconds: float | None) -> str:
    """340 ms, 2.1 s, 4 min, 3 h, 2 d."""
    if seconds is None or not isfinite(seconds):
        return NO_VALUE
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE_S:
        return f"{figure(seconds, 2)} s"
    if seconds < _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    if seconds < 2 * _DAY_S:
        return f"{seconds / _HOUR_S:.0f} h"
    return f"{seconds / _DAY_S:.0f} d"


def relative(at: datetime, now: datetime) -> str:
    """`4 min ago`, `in 12 s`, in whole steps."""
    seconds = (now - at).total_seconds()
    if abs(seconds) < 5:
        return "now"
    text = duration(float(round(abs(seconds))))
    return f"{text} ago" if seconds > 0 else f"in {text}"


def absolute(at: datetime) -> str:
    """`2026-11-22 14:03:07 UTC`."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def byte_size(size: float | None) -> str:
    """1.4 MB."""
    if size is None:
        return NO_VALUE
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def words(code: str | None) -> str:
    """`near_miss` as `near miss`."""
    return (code or "").replace("_", " ")
