"""The notifier on a real Kafka protocol and a real web hook, read by clients that know nothing of AstroLens."""

import asyncio
import json
import logging
import re
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest
from astrolens.contracts import topics
from astrolens.contracts.records import AlertRecord
from astrolens.contracts.verdicts import Verdict
from astrolens.notifier.main import create_app
from astrolens.platform.runtime.service import ServiceApp
from astrolens.platform.settings import load_settings
from astrolens.platform.stores.collections import Collection
from confluent_kafka import Consumer, Message, Producer
from pydantic import SecretStr

from tests.unit.notifier.notifier_fakes import JPEG, candidate, image

SECRET = "hunter2-Tr0ub4dor"

# One of Apprise's hundred plugins imports it.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


class Hook:
    """A web hook that records messages; it refuses the first one."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.paths.append(self.path)
                if len(outer.paths) > 1:
                    outer.bodies.append(json.loads(body))
                self.send_response(200 if len(outer.paths) > 1 else 503)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    serving = threading.Thread(target=made.server.serve_forever, daemon=True)
    serving.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    serving.join(5)


@pytest.fixture
def kafka() -> Iterator[str]:
    quiet = logging.getLogger("kafka.test")
    broker = Producer({"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": 1}, logger=quiet)
    (address,) = broker.list_topics(timeout=120).brokers.values()
    yield f"{address.host}:{address.port}"
    broker.flush(5)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
async def app(tmp_path: Path, hook: Hook, kafka: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ServiceApp]:
    monkeypatch.setattr("astrolens.notifier.channel_worker.INITIAL_WAIT_S", 0.2)
    monkeypatch.setattr("astrolens.notifier.channel_worker.POLL_INTERVAL_S", 0.1)
    settings = load_settings(
        home=tmp_path,
        events_url=f"kafka://{kafka}",
        notifier_port=_free_port(),
        notify_urls=(SecretStr(f"json://127.0.0.1:{hook.port}/{SECRET}"),),
        log_level="DEBUG",
    )
    app = create_app(settings)
    async with app.running():
        yield app


async def _until(met: Callable[[], bool], *, seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not met():
            await asyncio.sleep(0.05)


def _read(kafka: str, wanted: int, *patterns: str) -> list[Message]:
    """What a plain consumer gets from topics by pattern, within a bounded wait."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": f"listener-{patterns[0]}",
            "auto.offset.reset": "earliest",
            "topic.metadata.refresh.interval.ms": 200,
        }
    )
    consumer.subscribe(list(patterns))
    found: list[Message] = []
    try:
        for _ in range(300):
            message = consumer.poll(0.2)
            if message is not None and message.error() is None:
                found.append(message)
            if len(found) >= wanted:
                break
    finally:
        consumer.close()
    return found


async def test_the_listener_in_the_manual_works_as_printed(app: ServiceApp, kafka: str) -> None:
    manual = (Path(__file__).resolve().parents[2] / "docs" / "events.md").read_text(encoding="utf-8")
    (listener,) = re.findall(r"```python\n(.*?)```", manual, flags=re.DOTALL)
    names: dict[str, Any] = {"__name__": "listener"}
    exec(compile(listener, "docs/events.md", "exec"), names)  # noqa: S102 - our own manual
    picture = image(1)
    await app.records.insert(Collection.IMAGES, [picture])
    await app.bus.publish([candidate(picture).pending(topic=topics.CANDIDATES_MATCHED, key=picture.image_id)])
    await _until(lambda: app.bus.consumers[0].progress.processed > 0)
    alerts = names["alerts"](kafka)
    alert = await asyncio.to_thread(next, alerts)
    alerts.close()
    assert (alert["alert_type"], alert["survey"], alert["object_name"]) == ("initial", "sdss", "NGC 5194")


async def test_an_analysis_becomes_a_public_alert_and_a_message_to_people(
    app: ServiceApp, hook: Hook, kafka: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    strange, blind, plain = image(1), image(2, injected=True), image(3, verdict=Verdict.ORDINARY)
    await app.records.insert(Collection.IMAGES, [strange, blind, plain])
    await app.images.put_many([(one.cutout.key, JPEG, "image/jpeg") for one in (strange, blind, plain)])
    events = [
        candidate(one).pending(topic=topics.CANDIDATES_MATCHED, key=one.image_id) for one in (strange, blind, plain)
    ]
    await app.bus.publish([*events, *events])

    await _until(lambda: bool(hook.bodies))
    found = await asyncio.to_thread(_read, kafka, 2, r"^astrolens\.alerts\..*", r"^astrolens\.alerts-json\..*")
    by_topic = {message.topic(): message for message in found}
    assert sorted(by_topic) == ["astrolens.alerts-json.sdss.spiral.v1", "astrolens.alerts.sdss.spiral.v1"]
    packet = by_topic["astrolens.alerts.sdss.spiral.v1"]
    assert packet.key() == strange.image_id.encode()
    (alert,) = list(fastavro.reader(BytesIO(packet.value())))
    as_json = json.loads(by_topic["astrolens.alerts-json.sdss.spiral.v1"].value())
    assert alert["alert_id"] == as_json["alert_id"]
    assert dict(packet.headers())["event_id"].decode() == alert["event_id"] == as_json["event_id"]
    assert alert["cutout"] == JPEG

    beat = (await asyncio.to_thread(_read, kafka, 1, topics.HEARTBEAT))[0]
    assert json.loads(beat.value())["interval_s"] == 10

    async def delivered() -> AlertRecord:
        documents = await app.records.get(Collection.ALERTS, [alert["alert_id"]])
        return AlertRecord.model_validate(documents[alert["alert_id"]])

    async with asyncio.timeout(20):
        while (record := await delivered()).undelivered:
            await asyncio.sleep(0.05)
    (delivery,) = record.deliveries
    assert (delivery.channel, delivery.state, delivery.attempts) == ("json #1", "delivered", 2)
    (message,) = hook.bodies
    assert message["title"] == "Strange: spiral in sdss (p = 0.0025)"
    assert len(message["attachments"]) == 1
    assert hook.paths == [f"/{SECRET}"] * 2

    logged = "".join(capfd.readouterr())
    assert SECRET not in logged
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert SECRET.encode() not in stored
