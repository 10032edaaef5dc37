"""The main job on the real engines, all services in their own processes: Kafka, MongoDB's protocol, MinIO."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.bad_files import write_bad_files
from tests.e2e.conftest import feed_folder
from tests.e2e.system import BOOKS, System, running, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PICTURES = 150


@pytest.fixture
def system(tmp_path: Path, engine_settings: dict[str, str], mongodb_url: str, bucket_url: str) -> Iterator[System]:
    """A system on the stack, with a database and a bucket of its own."""
    chosen = {**engine_settings, "records_url": mongodb_url, "images_url": bucket_url}
    with running(tmp_path / "home", **chosen, false_alarms_per_1000="50") as system:
        yield system


def test_images_in_verdicts_out_and_a_kill_on_the_way(system: System, tmp_path: Path) -> None:
    pictures = feed_folder(tmp_path / "pictures", PICTURES)
    bad = write_bad_files(pictures / "bad")
    began = time.monotonic()
    with subprocess.Popen(
        [*_cli("ingest", str(pictures)), "--survey", "sdss", "--wait"], env=system.environment, text=True
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


@pytest.mark.parametrize(
    ("service", "settings", "said"),
    [
        ("notifier", {"kafka_password": "wrong-word"}, "ASTROLENS_KAFKA_USER"),
        ("notifier", {"kafka_user": "alerts", "kafka_password": "{alerts}"}, "does not let this user see the topic"),
        ("console", {"kafka_user": "alerts", "kafka_password": "{alerts}"}, "does not let this user publish"),
        ("notifier", {"s3_secret_key": "wrong-word"}, "ASTROLENS_S3_SECRET_KEY"),
        ("notifier", {"records_url": "mongodb://u:wrong-word@{mongodb}/x?authSource=admin"}, "ASTROLENS_RECORDS_URL"),
        ("notifier", {"images_url": "s3+http://127.0.0.1:9/bucket"}, "127.0.0.1:9/bucket does not answer"),
        ("notifier", {"events_url": "kafka://127.0.0.1:9"}, "127.0.0.1:9 did not answer"),
    ],
)
def test_what_cannot_work_ends_with_one_sentence_and_code_2(
    tmp_path: Path,
    stack: dict[str, str],
    engine_settings: dict[str, str],
    service: str,
    settings: dict[str, str],
    said: str,
) -> None:
    known = {
        "mongodb": engine_settings["records_url"].rpartition("@")[2].partition("/")[0],
        "alerts": stack["STACK_ALERTS_PASSWORD"],
    }
    wrong = {name: value.format(**known) for name, value in settings.items()}
    result = System(tmp_path / "home", **{**engine_settings, **wrong}).cli("serve", service, timeout_s=90)
    words = result.stdout + result.stderr
    assert result.returncode == 2, words
    (sentence,) = [line for line in words.splitlines() if line.startswith("astrolens: ")]
    assert said in sentence
    assert "Traceback" not in sentence
    assert "wrong-word" not in words
    assert known["alerts"] not in words
