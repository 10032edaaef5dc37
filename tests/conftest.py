"""Options and fixtures of all tests."""

import pytest
from hypothesis import HealthCheck, settings

# The same examples in every run, and no limit that depends on the machine's speed (the default is 200 ms an example).
settings.register_profile(
    "astrolens", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("astrolens")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden files anew instead of comparing")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))
