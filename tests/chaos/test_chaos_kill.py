"""Kill -9 in the middle of an ingest: afterwards the records are those of an undisturbed run."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import feed_folder
from tests.e2e.system import BOOKS, System, running, wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.e2e, pytest.mark.timeout(900)]

PICTURES = 400
SETTINGS = {"false_alarms_per_1000": "50"}
SERVICES = ("ingestor", "analyzer", "model-server", "notifier", "console")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return feed_folder(tmp_path_factory.mktemp("chaos-feed") / "pictures", PICTURES)


def final_state(system: System) -> dict[str, Any]:
    """Everything that must be the same whatever happened on the way."""
    # The notifier may still be at its last batch when the last image is analysed.
    anomalies = {key for key, item in system.images().items() if item["verdict"] == "anomaly"}

    def alerts() -> dict[str, str] | None:
        found: dict[str, str] = {}
        after = None
        while True:
            page = system.http.get("/api/alerts", params={"limit": 200, **({"after": after} if after else {})}).json()
            for item in page["items"]:
                assert item["alert_id"] not in found
                found[item["alert_id"]] = item["image_id"]
            after = page["next"]
            if after is None:
                break
        return found if set(found.values()) == anomalies else None

    by_id = wait_until(alerts, timeout_s=60, what="one alert an anomaly")
    status = system.status()
    return {
        "images": {key: (item["verdict"], item["p_value"], item["class"]) for key, item in system.images().items()},
        "alerts": by_id,
        "books": {name: status[name] for name in BOOKS},
    }


def feed(system: System, folder: Path, disturb: Callable[[System], None] | None = None) -> dict[str, Any]:
    """Feed the folder, disturb in the middle, wait until all is settled."""
    with subprocess.Popen(
        [sys.executable, "-m", "astrolens.cli", "ingest", str(folder), "--survey", "sdss", "--wait"],
        env=system.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as ingest:
        if disturb is not None:
            disturb(system)
        output, _ = ingest.communicate(timeout=600)
    assert ingest.returncode == 0, f"{output}\n{system.logs()}"
    system.wait_settled(PICTURES)
    return final_state(system)


@pytest.fixture(scope="module")
def undisturbed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with running(tmp_path_factory.mktemp("calm") / "home", **SETTINGS) as system:
        return feed(system, folder)


def progressed(system: System, count: int) -> None:
    wait_until(lambda: system.status()["analyzed"] >= count, timeout_s=120, what=f"{count} analysed", every_s=0.05)


def test_killing_every_service_in_turn(folder: Path, undisturbed: dict[str, Any], tmp_path: Path) -> None:
    def disturb(system: System) -> None:
        for number, service in enumerate(SERVICES):
            progressed(system, 10 + 40 * number)
            system.kill(service)
            # Wait until it is back, so that each service dies amid work and not while another one is away.
            wait_until(lambda s=service: s in system.pids(), timeout_s=60, what=f"{service} back")
            time.sleep(0.5)

    with running(tmp_path / "home", **SETTINGS) as system:
        assert feed(system, folder, disturb) == undisturbed


def test_killing_everything_at_once(folder: Path, undisturbed: dict[str, Any], tmp_path: Path) -> None:
    def disturb(system: System) -> None:
        progressed(system, 60)
        system.kill_all()
        system.start()

    with running(tmp_path / "home", **SETTINGS) as system:
        assert feed(system, folder, disturb) == undisturbed
