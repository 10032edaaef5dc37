"""The main job in real processes: images in, verdicts and alerts out, the books in balance."""

import io
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import confluent_kafka
import fastavro
import psutil
import pytest
from astrolens.platform.runtime.services import SERVICE_NAMES

from tests.chromium import chromium
from tests.e2e.bad_files import write_bad_files
from tests.e2e.conftest import FEED_SURVEY
from tests.e2e.system import BOOKS, System, running, wait_until

pytestmark = pytest.mark.e2e

PICTURES = 300
AGAIN = 20
"""Pictures that are fed twice."""


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder of bad files, and by name the code each deserves."""
    folder = tmp_path_factory.mktemp("bad")
    return folder, write_bad_files(folder)


@pytest.fixture(scope="module")
def system(
    tmp_path_factory: pytest.TempPathFactory, pictures: Path, bad: tuple[Path, dict[str, str]]
) -> Iterator[System]:
    """A system that has been fed pictures, bad files and duplicates, with a budget that makes some anomalies sure.

    Its collector of traces cannot be reached: nothing may notice but the last test.
    """
    folder = tmp_path_factory.mktemp("mixed")
    shutil.copytree(pictures, folder / "good")
    shutil.copytree(bad[0], folder / "bad")
    shutil.copytree(pictures, folder / "again", ignore=lambda _, names: sorted(names)[AGAIN:])
    with running(
        tmp_path_factory.mktemp("e2e") / "home", false_alarms_per_1000="50", traces_url="http://127.0.0.1:9"
    ) as system:
        result = system.cli("ingest", str(folder), "--survey", FEED_SURVEY, "--wait")
        assert result.returncode == 0, f"{result.stdout}\n{result.stderr}\n{system.logs()}"
        yield system


@pytest.mark.timeout(900)
def test_the_books_balance_and_name_every_fate(system: System, bad: tuple[Path, dict[str, str]]) -> None:
    status = json.loads(system.cli("status", "--json").stdout)
    assert {name: status[name] for name in BOOKS} == {
        "received": PICTURES + AGAIN + len(bad[1]),
        "analyzed": PICTURES,
        "duplicates": AGAIN,
        "rejected": len(bad[1]),
        "dead_lettered": 0,
        "in_flight": 0,
    }
    assert sum(status["verdicts"].values()) == PICTURES
    assert len(system.images()) == PICTURES


def test_every_bad_file_has_its_reason(system: System, bad: tuple[Path, dict[str, str]]) -> None:
    body = system.http.get("/api/receipts", params={"outcome": "rejected", "limit": 100}).raise_for_status().json()
    assert {Path(item["ref"]).name: item["reason"]["code"] for item in body["items"]} == bad[1]
    assert all(len(item["reason"]["detail"]) > 10 for item in body["items"])


def test_an_image_tells_where_its_verdict_comes_from(system: System) -> None:
    image_id = next(iter(system.images()))
    record = system.http.get(f"/api/images/{image_id}").raise_for_status().json()
    analysis = record["analysis"]
    assert set(analysis["detectors"]) >= {"msp", "energy", "mahalanobis"}
    assert analysis["calibration_survey"] == FEED_SURVEY
    assert abs(sum(analysis["class_probabilities"].values()) - 1) < 1e-3
    assert len(analysis["model_digest"]) == 64
    cutout = system.http.get(f"/api/images/{image_id}/cutout")
    assert cutout.headers["content-type"] == "image/jpeg"
    assert "immutable" in cutout.headers["cache-control"]
    similar = system.http.get(f"/api/images/{image_id}/similar", params={"k": 5}).raise_for_status().json()
    assert len(similar["items"]) == 5


def test_candidates_come_strangest_first(system: System) -> None:
    result = system.cli("candidates", "--json")
    candidates = json.loads(result.stdout)
    assert candidates
    ranks = [item["rank_score"] for item in candidates]
    assert ranks == sorted(ranks, reverse=True)
    assert {item["verdict"] for item in candidates} <= {"anomaly", "near_miss"}


def test_without_a_network_the_bright_sky_is_known_and_the_rest_undetermined(system: System) -> None:
    """The console gives up after its time budget, so an answer is one within it."""
    m31 = json.loads(system.cli("crossref", "10.6847", "41.2687", "--json").stdout)
    answers = {answer["catalogue"]: answer for answer in m31["answers"]}
    assert m31["status"] == "known"
    assert (answers["openngc"]["status"], answers["openngc"]["counterparts"][0]["name"]) == ("matched", "NGC 224")
    remote = {name: answer for name, answer in answers.items() if name not in {"openngc", "skybot"}}
    assert len(remote) >= 2
    assert {answer["status"] for answer in remote.values()} == {"failed"}
    assert all(answer["detail"] for answer in remote.values())
    elsewhere = json.loads(system.cli("crossref", "150.0", "2.2", "--json").stdout)
    assert (elsewhere["status"], elsewhere["possible_discovery"]) == ("undetermined", False)


def _events_url(system: System) -> str:
    pid = system.pids()["notifier"]
    return psutil.Process(pid).environ()["ASTROLENS_EVENTS_URL"].removeprefix("kafka://")


def test_an_independent_consumer_reads_the_alerts(system: System) -> None:
    """A plain Kafka client and fastavro, nothing of ours."""
    anomalies = {key for key, item in system.images().items() if item["verdict"] == "anomaly"}
    assert anomalies, "the budget of 50 in 1,000 gives anomalies among 300 galaxies"
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": _events_url(system),
            "group.id": "an-independent-listener",
            "auto.offset.reset": "earliest",
            "topic.metadata.refresh.interval.ms": 1000,
        }
    )
    consumer.subscribe(["^astrolens\\.alerts\\..*"])
    alerts: dict[str, dict[str, Any]] = {}
    deadline = time.monotonic() + 60
    try:
        while len(alerts) < len(anomalies) and time.monotonic() < deadline:
            message = consumer.poll(1.0)
            if message is None or message.error():
                continue
            (alert,) = fastavro.reader(io.BytesIO(message.value()))
            assert isinstance(alert, dict)
            assert alert["alert_id"] not in alerts, "an alert came twice"
            assert message.topic().startswith(f"astrolens.alerts.{FEED_SURVEY}.")
            alerts[alert["alert_id"]] = alert
    finally:
        consumer.close()
    assert {alert["image_id"] for alert in alerts.values()} == anomalies
    one = next(iter(alerts.values()))
    assert {detector["name"] for detector in one["detectors"]} >= {"msp", "energy", "mahalanobis"}
    assert one["cutout"][:2] == b"\xff\xd8"


def test_a_label_is_stored_and_can_be_taken_back(system: System) -> None:
    image_id = next(iter(system.images()))
    for answer in ("interesting", None):
        answered = system.http.post("/api/labels", json={"image_ids": [image_id], "answer": answer})
        assert answered.status_code < 300, answered.text
        assert system.http.get(f"/api/images/{image_id}").json()["label"] == answer
    assert len(system.http.get(f"/api/images/{image_id}").json()["labels"]) == 2


def test_a_person_labels_in_the_console(system: System) -> None:
    """One answer by key in the triage page, in a real browser, reaches the record store."""
    before = {key for key, item in system.images().items() if item["label"]}
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(f"{system.url}/triage")
        page.wait_for_selector("canvas, img", timeout=30_000)
        page.wait_for_timeout(1_000)  # the first picture is being drawn; a person is slower still
        page.keyboard.press("2")
        labelled = wait_until(
            lambda: {key for key, item in system.images().items() if item["label"]} - before,
            timeout_s=240,
            what="the answer stored",
        )
    assert len(labelled) == 1
    record = system.http.get(f"/api/images/{labelled.pop()}").json()
    assert record["label"] == "artefact"


def test_analysing_again_gives_the_same_verdict(system: System) -> None:
    image_id, before = next(iter(system.images().items()))
    assert system.http.post(f"/api/analyze/{image_id}").status_code < 300

    def analysed() -> dict[str, Any] | None:
        record = system.http.get(f"/api/images/{image_id}").json()
        return record if record["state"] == "analyzed" else None

    record = wait_until(analysed, timeout_s=240, what="the image analysed again")
    assert (record["verdict"], record["p_value"]) == (before["verdict"], before["p_value"])


def test_doctor_finds_nothing_wrong(system: System) -> None:
    result = system.cli("doctor")
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_service_tells_its_health_and_metrics(system: System) -> None:
    import httpx

    for offset in (2, 3, 4, 5):
        base = f"http://127.0.0.1:{system.port + offset}"
        assert httpx.get(f"{base}/livez").status_code == 200
        assert httpx.get(f"{base}/readyz").status_code == 200
        assert "astrolens_" in httpx.get(f"{base}/metrics").text


def test_an_unreachable_collector_is_told_once_and_delays_no_end(system: System) -> None:
    """The last one: it stops the system."""
    wait_until(lambda: "traces are lost" in system.logs(1000), timeout_s=240, what="one line about it")
    assert system.stop() == 0
    log = system.logs(10_000)
    assert log.count("traces are lost") <= len(SERVICE_NAMES)  # once a service
    assert "did not stop in time" not in log
    assert "Failed to export" not in log
    assert "Traceback" not in log
