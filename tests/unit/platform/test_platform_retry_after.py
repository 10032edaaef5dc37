"""How long a server asks to wait."""

from datetime import UTC, datetime

import pytest
from astrolens.platform.retry_after import retry_after_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("999999", 3600.0),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_what_a_server_asks_to_wait(text: str, seconds: float | None) -> None:
    assert retry_after_s(text, now=datetime(2026, 1, 1, tzinfo=UTC)) == seconds
