"""One trace follows one image through every process, from the upload to the published alert."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import confluent_kafka
import psutil
import pytest
from astrolens.contracts import topics
from astrolens.science.simulation import simulate

from tests.e2e.collector import Collector, Seen, collecting
from tests.e2e.system import System, running, wait_until

pytestmark = pytest.mark.e2e

MODEL = "astrolens.rpc.v1.Inference/AnalyzeMany"
ODD = 1
"""Which picture of the simulated sky below is an anomaly, beyond doubt: two galaxies that merge."""
IMAGE = "astrolens.image_id"
CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[System, Collector]]:
    """A system with a generous budget of false alarms, and the collector of its traces."""
    home = tmp_path_factory.mktemp("traced") / "home"
    with collecting() as (collector, url), running(home, false_alarms_per_1000="100", traces_url=url) as system:
        yield system, collector


def upload(system: System, number: int, **headers: str) -> str:
    """Upload one picture, wait for its end, and return its image id."""
    sky = simulate(11, number, oddity_rate=1.0)
    known = set(system.images())
    answer = system.http.post(
        "/api/images", files={"file": (f"{number}.jpg", sky.jpeg)}, data={"survey": sky.survey}, headers=headers
    )
    assert answer.status_code == 202, answer.text
    system.wait_settled(len(known) + 1)
    (image,) = set(system.images()) - known
    return image


def whole(collector: Collector, image: str, *, spans: int) -> list[Seen]:
    """The trace of an image, once that many spans of it came: every process exports by itself."""

    def complete() -> list[Seen] | None:
        ends = [span for span in collector.spans(service="astrolens-notifier") if span.attributes.get(IMAGE) == image]
        found = collector.spans(trace_id=ends[0].trace_id) if ends else []
        return found if len(found) >= spans else None

    found = wait_until(complete, timeout_s=240, what="every span exported")
    assert isinstance(found, list)
    return found


@pytest.fixture(scope="module")
def alerted(traced: tuple[System, Collector]) -> tuple[str, list[Seen]]:
    """An image that raised an alert, and its whole trace."""
    system, collector = traced
    image = upload(system, ODD)
    assert system.images()[image]["verdict"] == "anomaly"
    return image, whole(collector, image, spans=14)


@pytest.mark.timeout(900)
def test_one_trace_leads_from_the_upload_to_the_alert(alerted: tuple[str, list[Seen]]) -> None:
    image, spans = alerted
    by_id = {span.span_id: span for span in spans}

    def path(span: Seen) -> list[tuple[str, str, str]]:
        """Service, name and kind from the root to a span."""
        above = path(by_id[span.parent_id]) if span.parent_id else []
        return [*above, (span.service.removeprefix("astrolens-"), span.name, span.kind)]

    def on(topic: str) -> str:
        return f"process {topic}"

    arrival = [("console", "POST /api/images", "server")]
    ingest = [*arrival, ("ingestor", on(topics.IMAGES_SUBMITTED), "consumer")]
    analysis = [*ingest, ("analyzer", on(topics.IMAGES_INGESTED), "consumer")]
    matching = [*analysis, ("crossref", on(topics.IMAGES_ANALYZED), "consumer")]
    alerting = [*matching, ("notifier", on(topics.CANDIDATES_MATCHED), "consumer")]
    call = [*analysis, ("analyzer", MODEL, "client")]
    alert, twin = sorted(span.name for span in spans if span.name.startswith("send astrolens.alerts"))
    assert sorted(path(span) for span in spans) == sorted(
        [
            arrival,
            [*arrival, ("console", f"send {topics.IMAGES_SUBMITTED}", "producer")],
            ingest,
            [*ingest, ("ingestor", "decode", "internal")],
            [*ingest, ("ingestor", f"send {topics.IMAGES_INGESTED}", "producer")],
            analysis,
            call,
            [*call, ("model-server", MODEL, "server")],
            [*analysis, ("analyzer", f"send {topics.IMAGES_ANALYZED}", "producer")],
            matching,
            [*matching, ("crossref", f"send {topics.CANDIDATES_MATCHED}", "producer")],
            alerting,
            [*alerting, ("notifier", alert, "producer")],
            [*alerting, ("notifier", twin, "producer")],
        ]
    )
    assert not any(span.failed for span in spans)
    processed = {span.name: span.attributes for span in spans if span.kind == "consumer"}
    assert {attributes[IMAGE] for attributes in processed.values()} == {image}
    assert processed[on(topics.IMAGES_SUBMITTED)]["astrolens.outcome"] == "accepted"
    assert processed[on(topics.IMAGES_INGESTED)]["astrolens.verdict"] == "anomaly"
    assert processed[on(topics.CANDIDATES_MATCHED)]["astrolens.alert_type"] == "initial"
    assert {attributes["messaging.system"] for attributes in processed.values()} == {"kafka"}


@pytest.mark.timeout(900)
def test_a_listener_finds_the_trace_in_a_header_of_the_alert(
    traced: tuple[System, Collector], alerted: tuple[str, list[Seen]]
) -> None:
    system, _ = traced
    _, spans = alerted
    (alert,) = [span for span in spans if span.kind == "producer" and span.name.startswith("send astrolens.alerts.")]
    topic = alert.name.removeprefix("send ")
    servers = psutil.Process(system.pids()["notifier"]).environ()["ASTROLENS_EVENTS_URL"].removeprefix("kafka://")
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": servers, "group.id": "a-listener", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    try:
        message = None
        deadline = time.monotonic() + 60
        while (message is None or message.error()) and time.monotonic() < deadline:
            message = consumer.poll(1.0)
    finally:
        consumer.close()
    assert message is not None
    headers = dict(message.headers() or [])
    assert headers["traceparent"].split(b"-")[1].decode() == alert.trace_id
    assert alert.trace_id.encode() not in (message.value() or b"")


def test_a_callers_trace_is_continued(traced: tuple[System, Collector]) -> None:
    system, collector = traced
    image = upload(system, 3, traceparent=CALLER)
    spans = whole(collector, image, spans=10)
    root = next(span for span in spans if span.name == "POST /api/images")
    assert f"{root.trace_id}-{root.parent_id}" == CALLER[3:-3]


@pytest.mark.timeout(900)
def test_images_that_are_analysed_together_share_a_linked_batch(
    traced: tuple[System, Collector], tmp_path: Path
) -> None:
    system, collector = traced
    before = len(system.images())
    for number in range(20, 44):
        (tmp_path / f"{number}.jpg").write_bytes(simulate(11, number, oddity_rate=0.0).jpeg)
    assert system.cli("ingest", str(tmp_path), "--survey", "simulated-sdss", "--wait").returncode == 0
    system.wait_settled(before + 24)

    def roots() -> list[Seen] | None:
        found = [span for span in collector.spans(name="POST /api/images") if not span.parent_id]
        return found if len(found) >= 1 + 24 else None

    arrivals = wait_until(roots, timeout_s=240, what="every arrival")
    assert len({span.trace_id for span in arrivals}) == 1 + 24  # a trace each, however they came

    def members(batch: Seen) -> list[Seen]:
        return [span for span in collector.spans(kind="consumer") if (span.trace_id, span.span_id) in batch.links]

    def batched() -> Seen | None:
        for batch in collector.spans(name=f"process batch {topics.IMAGES_INGESTED}"):
            if len(members(batch)) == len(batch.links) and len(collector.spans(trace_id=batch.trace_id)) == 3:
                return batch
        return None

    batch = wait_until(batched, timeout_s=240, what="a whole batch")
    assert isinstance(batch, Seen)
    assert len(batch.links) == batch.attributes["messaging.batch.message_count"] > 1
    assert {span.name for span in members(batch)} == {f"process {topics.IMAGES_INGESTED}"}
    assert all(span.links == ((batch.trace_id, batch.span_id),) for span in members(batch))
    call = collector.one(name=MODEL, kind="client", trace_id=batch.trace_id)
    served = collector.one(name=MODEL, kind="server", trace_id=batch.trace_id)
    assert (call.parent_id, served.parent_id) == (batch.span_id, call.span_id)
    assert set(call.links) == set(batch.links)
    assert served.attributes["astrolens.batch_size"] == len(batch.links)


def test_logs_name_the_trace(traced: tuple[System, Collector]) -> None:
    system, collector = traced
    lines = [json.loads(line) for line in (system.home / "logs" / "notifier.log").read_text().splitlines()]
    (alert, *_) = [line for line in lines if line["event"] == "alert"]
    assert collector.spans(trace_id=alert["trace_id"])
