"""Kafka, MinIO and the MongoDB server go away, one after the other, while images flow: nothing is lost or given up."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.kills import Launch, feed, progressed
from tests.e2e.system import System, wait_until
from tests.engines.conftest import OUTAGE_S, TIMEOUT_S
from tests.engines.health import HEALTH, readiness, sentences
from tests.engines.stack_control import Stack

pytestmark = [pytest.mark.chaos, pytest.mark.acceptance, pytest.mark.timeout(TIMEOUT_S)]

USERS = {
    "kafka": set(HEALTH) - {"model-server"},
    "mongodb": set(HEALTH),
    "minio": set(HEALTH),
}
"""Who cannot work without a server. MinIO is missed last: until its return is noticed, most images flow by."""

REPORTED_WITHIN_S = 20.0
WELL_WITHIN_S = 90.0


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_each_server_goes_away_and_comes_back(
    launch: Launch, servers: Stack, folder: Path, undisturbed: dict[str, Any], kill: bool
) -> None:
    def disturb(system: System) -> None:
        for share, server in zip((0.02, 0.2, 0.4), USERS, strict=True):
            progressed(system, folder, share)
            before = system.pids()
            take_away(system, server)
            assert system.pids() == before, system.logs()

    def take_away(system: System, server: str) -> None:
        began = time.monotonic()
        in_flight = system.status()["in_flight"]
        servers.stop(server, kill=kill)
        gone = time.monotonic()
        try:
            wait_until(
                lambda: everybody_tells(system, server),
                timeout_s=REPORTED_WITHIN_S,
                what=lambda: f"{server} missed by all: {readiness(system)}",
            )
            told_s = time.monotonic() - gone
            time.sleep(max(0.0, OUTAGE_S - told_s))
            assert everybody_tells(system, server), readiness(system)
        finally:
            servers.start(server)
        back = time.monotonic()
        analyzed = system.status()["analyzed"]
        wait_until(
            lambda: not any(readiness(system).values()),
            timeout_s=WELL_WITHIN_S,
            what=lambda: f"well after {server}: {readiness(system)}\n{system.logs()}",
        )
        well_s = time.monotonic() - back
        wait_until(lambda: flows(system, analyzed), timeout_s=WELL_WITHIN_S, what=lambda: f"a flow\n{system.logs()}")
        print(
            f"{server}: stop took {gone - began:.1f} s, told by all after {told_s:.1f} s, away {back - gone:.0f} s; "
            f"{in_flight} in flight before, {analyzed} analysed after; all well {well_s:.1f} s after its return, "
            f"images flowed {time.monotonic() - back:.1f} s after"
        )

    def flows(system: System, analyzed: int) -> bool:
        status = system.status()
        return bool(status["analyzed"] > analyzed or status["in_flight"] == 0)

    def everybody_tells(system: System, server: str) -> bool:
        told = readiness(system)
        for service in USERS[server]:
            words = sentences(told, service)
            if servers.address(server) not in words:
                return False
            assert "Traceback" not in words
        return True

    with launch() as system:
        assert feed(system, folder, disturb) == undisturbed
