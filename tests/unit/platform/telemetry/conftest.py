"""What is logged while traces are made."""

from collections.abc import Iterator
from typing import Any

import pytest
import structlog


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        yield lines
