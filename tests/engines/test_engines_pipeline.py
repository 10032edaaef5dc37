"""The main job on the real engines, all services in their own processes: Kafka, MongoDB's protocol, MinIO."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.kills import Launch
from tests.e2e.bad_files import write_bad_files
from tests.e2e.conftest import FEED_SURVEY, feed_folder
from tests.e2e.system import BOOKS, System, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PICTURES = 120


@pytest.fixture
def system(launch: Launch) -> Iterator[System]:
    with launch() as system:
        yield system


def test_images_in_verdicts_out_and_a_kill_on_the_way(system: System, tmp_path: Path) -> None:
    pictures = feed_folder(tmp_path / "pictures", PICTURES)
    bad = write_bad_files(pictures / "bad")
    began = time.monotonic()
    with subprocess.Popen(
        [*_cli("ingest", str(pictures)), "--survey", FEED_SURVEY, "--wait"], env=system.environment, text=True
    ) as feeding:
        wait_until(lambda: system.status()["analyzed"] > PICTURES // 10, timeout_s=300, what="some images analysed")
        system.kill("analyzer")
        assert feeding.wait(600) == 0, system.logs()
    took_s = time.monotonic() - began
    status = json.loads(system.cli("status", "--json").stdout)
    assert {name: status[name] for name in BOOKS} == {
        "received": PICTURES + len(bad),
        "analyzed": PICTURES,
        "duplicates": 0,
        "rejected": len(bad),
        "dead_lettered": 0,
        "in_flight": 0,
    }
    print(f"{PICTURES} images in {took_s:.1f} s with a kill in between: {PICTURES / took_s:.1f} images/s")
    anomalies = {key for key, item in system.images().items() if item["verdict"] == "anomaly"}
    assert anomalies
    wait_until(
        lambda: {item["image_id"] for item in system.http.get("/api/alerts?limit=200").json()["items"]} == anomalies,
        timeout_s=60,
        what="an alert for each anomaly",
    )
    assert system.http.get(f"/api/images/{anomalies.pop()}/cutout").content[:2] == b"\xff\xd8"
    assert system.cli("doctor").returncode == 0


def _cli(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "astrolens.cli", *arguments]
