"""What the tests of service lives share."""

import pytest


@pytest.fixture(autouse=True)
def _logging_as_before(logging_as_before: None) -> None:
    """A service that runs configures the logs of the whole process."""
