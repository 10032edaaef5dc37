"""The header `Retry-After`: how long a server asks to wait."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

MAX_RETRY_AFTER_S: Final = 3600.0
"""No server is believed that asks for more, seconds."""


def retry_after_s(text: str | None, *, now: datetime | None = None) -> float | None:
    """Seconds to wait, at most an hour, by a header's text (RFC 9110, 10.2.3); None where it does not say."""
    value = (text or "").strip()
    if not value:
        return None
    if value.isascii() and value.isdigit():
        seconds = float(value)
    else:
        try:
            at = parsedate_to_datetime(value)
        except ValueError:
            return None
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        seconds = (at - (now or datetime.now(UTC))).total_seconds()
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)
