"""Kill -9 in the middle of an ingest on the real engines: the spine's crash tests."""

import pytest

from tests.chaos.kills import KillBehaviour
from tests.engines.conftest import TIMEOUT_S

pytestmark = [pytest.mark.chaos, pytest.mark.acceptance, pytest.mark.timeout(TIMEOUT_S)]


class TestRealEngines(KillBehaviour):
    pass
