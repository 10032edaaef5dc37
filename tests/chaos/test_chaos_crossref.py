"""Kill -9 of the crossref service in the middle of a batch, a restart, two replicas: the short form."""

from pathlib import Path

import pytest

from tests.chaos.crossref_kills import run

pytestmark = [pytest.mark.chaos, pytest.mark.e2e, pytest.mark.timeout(300)]


async def test_nothing_is_asked_twice_beyond_its_cache_and_alerts_stay_single(tmp_path: Path) -> None:
    pytest.importorskip("confluent_kafka")
    found = await run(48, 2, tmp_path)
    assert found["problems"] == []
    assert len(found["killed"]) == 2
    again = found["asked again, not in the cache at a kill"]["simbad"]
    assert again > 0, "the kills hit questions whose answers were on their way"
