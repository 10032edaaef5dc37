"""The bus against a real Kafka protocol: acknowledgement, redelivery, dead letters, graceful stop, health over HTTP."""

import asyncio
import json
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest
from astrolens.contracts import topics
from astrolens.contracts.events import ImageIngested
from astrolens.contracts.records import PendingEvent
from astrolens.platform.bus import Bus, Refusal, create_bus
from astrolens.platform.bus.outbox import RELAY_INTERVAL_S, RELAY_TASK, Outbox
from astrolens.platform.errors import BusUnavailable, ConfigurationError, TransientError
from astrolens.platform.runtime.periodic import PeriodicTask
from astrolens.platform.runtime.service import ServiceApp, run
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.sqlite.store import SqliteRecordStore

from tests.integration.embedded_broker import SHORT_RETRY, running_broker, settings
from tests.unit.platform.platform_fakes import body, image_with_pending, ingested

confluent_kafka = pytest.importorskip("confluent_kafka")


@pytest.fixture(scope="module")
def servers() -> Iterator[str]:
    with running_broker() as address:
        yield address


class Seen:
    """A handler that remembers, and behaves as a test says."""

    def __init__(self, behaviour: Callable[[Sequence[ImageIngested]], Any] | None = None) -> None:
        self.events: list[str] = []
        self.calls = 0
        self._behaviour = behaviour

    async def __call__(self, events: Sequence[ImageIngested]) -> Sequence[Refusal]:
        self.calls += 1
        if self._behaviour is not None:
            result = self._behaviour(events)
            if asyncio.iscoroutine(result):
                await result
        self.events += [event.event_id for event in events]
        return ()

    async def until(self, *wanted: str, timeout_s: float = 15.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not set(wanted) <= set(self.events):
                await asyncio.sleep(0.01)


def events(topic: str, *numbers: int) -> list[PendingEvent]:
    return [ingested(number).pending(topic=topic, key=f"image{number}") for number in numbers]


def produce(servers: str, topic: str, *messages: tuple[bytes, list[tuple[str, bytes]]]) -> None:
    """As a stranger would, all into one partition, so that they share a batch."""
    producer = confluent_kafka.Producer({"bootstrap.servers": servers, "log_level": 0})
    for value, headers in messages:
        producer.produce(topic, value, key=b"key", headers=headers, partition=0)
    assert producer.flush(10) == 0


def read(servers: str, topic: str, count: int) -> list[Any]:
    """With an independent client, from the beginning."""
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": servers, "group.id": "independent", "enable.auto.commit": False, "log_level": 0}
    )
    consumer.assign([confluent_kafka.TopicPartition(topic, number, 0) for number in range(4)])
    found = [message for message in consumer.consume(count, timeout=10) if message.error() is None]
    consumer.close()
    return found


async def started(bus: Bus, topic: str, handler: Any, **options: Any) -> Bus:
    bus.consume(topic, ImageIngested, handler, **options)
    await bus.start()
    return bus


async def test_bad_records_are_dead_lettered_whole_and_the_others_are_handled(
    servers: str, tmp_path: Path, records: SqliteRecordStore
) -> None:
    topic = "astrolens.bad.mixed.v1"
    good = [("content-type", b"application/json")]
    poison = ingested(3).model_dump_json().encode()
    produce(
        servers,
        topic,
        (body(0), good),
        (b"\x89PNG not json", good),
        (b'{"event_id": 5}', good),
        (body(1), [("note", b"\xff\xfe")]),
        (body(2), good),
        (poison, good),
        (body(4), good),
    )

    def refuse_poison(batch: Sequence[ImageIngested]) -> None:
        if any(event.event_id == "event3" for event in batch):
            raise ZeroDivisionError("poison")

    settled: list[str] = []

    async def settle(refusal: Refusal) -> None:
        settled.append(refusal.event.event_id)

    seen = Seen(refuse_poison)
    bus = create_bus(settings(tmp_path, servers), service="mixed", records=records)
    await started(bus, topic, seen, on_refused=settle)
    await seen.until("event0", "event2", "event4")
    found = await asyncio.to_thread(read, servers, f"{topic}.dlq", 4)
    await bus.stop()
    assert sorted(seen.events) == ["event0", "event2", "event4"]
    assert {message.value() for message in found} == {b"\x89PNG not json", b'{"event_id": 5}', body(1), poison}
    headers = {message.value(): dict(message.headers()) for message in found}
    assert headers[body(1)]["error_type"] == b"unreadable-header"
    assert headers[body(1)]["origin_topic"] == topic.encode()
    assert json.loads(headers[body(1)]["origin_headers"]) == [["note", "//4="]]
    assert settled == ["event3"]
    assert await records.tally(Collection.DEAD_LETTERS, "state") == {("open",): 4}

    again = Seen()
    second = await started(create_bus(settings(tmp_path, servers), service="mixed", records=records), topic, again)
    await second.publish(events(topic, 9))
    await again.until("event9")
    await second.stop()
    assert again.events == ["event9"], "everything before was acknowledged"


async def test_what_is_not_acknowledged_is_read_again(servers: str, tmp_path: Path, records: SqliteRecordStore) -> None:
    topic = "astrolens.nacked.v1"
    away: set[str] = {"store"}

    def behaviour(_: Sequence[ImageIngested]) -> None:
        if away:
            raise TransientError("store unreachable")

    seen = Seen(behaviour)
    bus = create_bus(settings(tmp_path, servers), service="nacked", records=records, retry_policy=SHORT_RETRY)
    await started(bus, topic, seen)
    await bus.publish(events(topic, *range(20)))
    while seen.calls < 30:
        await asyncio.sleep(0.01)
    assert bus.condition.last_errors == ("store unreachable",)
    assert seen.events == []
    away.clear()
    await seen.until(*(f"event{number}" for number in range(20)))
    async with asyncio.timeout(60):
        while bus.condition.detail is not None:
            await asyncio.sleep(0.01)
    await bus.stop()
    assert len(seen.events) == len(set(seen.events)) == 20
    assert await records.tally(Collection.DEAD_LETTERS, "state") == {}


async def test_a_graceful_stop_finishes_and_acknowledges_the_present_batch(
    servers: str, tmp_path: Path, records: SqliteRecordStore
) -> None:
    topic = "astrolens.stopped.v1"
    begun = asyncio.Event()

    async def slowly(_: Sequence[ImageIngested]) -> None:
        begun.set()
        await asyncio.sleep(0.5)

    seen = Seen(slowly)
    bus = await started(create_bus(settings(tmp_path, servers), service="stopped", records=records), topic, seen)
    await bus.publish(events(topic, 1))
    await begun.wait()
    await bus.stop_consuming()
    assert seen.events == ["event1"]
    await bus.publish(events(topic, 2))  # publishing still works
    await bus.stop()

    again = Seen()
    second = await started(create_bus(settings(tmp_path, servers), service="stopped", records=records), topic, again)
    await again.until("event2")
    await second.stop()
    assert again.events == ["event2"]


async def test_duplicates_and_events_of_a_dead_process_arrive(
    servers: str, tmp_path: Path, records: SqliteRecordStore
) -> None:
    # A process wrote two documents, published one of the events, and died before it could clear either.
    await records.insert(Collection.IMAGES, [image_with_pending(1), image_with_pending(2)])
    seen = Seen()
    bus = await started(
        create_bus(settings(tmp_path, servers), service="reborn", records=records), topics.IMAGES_INGESTED, seen
    )
    await bus.publish(events(topics.IMAGES_INGESTED, 1))
    stopping = asyncio.Event()
    outbox = Outbox(bus, records, collections=(Collection.IMAGES,))
    relay = PeriodicTask(RELAY_TASK, outbox.relay_once, interval_s=RELAY_INTERVAL_S, condition=bus.condition)
    relaying = asyncio.create_task(relay.run(stopping))
    await seen.until("event1", "event2")
    while await records.pending(Collection.IMAGES, limit=10):
        await asyncio.sleep(0.01)
    stopping.set()
    await relaying
    await bus.stop()
    assert set(seen.events) == {"event1", "event2"}


async def test_a_missing_broker_is_reported_within_the_bound(tmp_path: Path, records: SqliteRecordStore) -> None:
    bus = create_bus(settings(tmp_path, "127.0.0.1:9"), service="lost", records=records)
    with pytest.raises(BusUnavailable, match=r"127\.0\.0\.1:9 did not answer"):
        await bus.connect(timeout_s=0.3)
    with pytest.raises(BusUnavailable):
        await bus.publish(events("astrolens.lost.v1", 1))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_a_service_lives_is_ready_and_goes_red_when_its_handler_is_stuck(servers: str, tmp_path: Path) -> None:
    port = free_port()
    release = asyncio.Event()

    async def stuck(_: Sequence[ImageIngested]) -> None:
        await release.wait()

    seen = Seen(stuck)
    topic = "astrolens.stuck.v1"
    app = ServiceApp(settings(tmp_path, servers), service="analyzer", port=port, outbox=(Collection.IMAGES,))
    app.bus.consume(topic, ImageIngested, seen)
    app.liveness._stuck_after_s = 0.3
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        async with app.running():
            assert (await client.get("/livez")).status_code == 200
            assert (await client.get("/readyz")).json()["problems"] == {}
            assert (await client.get("/readyz")).status_code == 200
            await app.bus.publish(events(topic, 1))
            async with asyncio.timeout(10):
                while (response := await client.get("/livez")).status_code == 200:
                    await asyncio.sleep(0.05)
            assert "1 records wait" in response.json()["reason"]
            release.set()
            await seen.until("event1")
            assert (await client.get("/livez")).status_code == 200
            assert f'astrolens_received_total{{stage="{topic}"}} 1.0' in (await client.get("/metrics")).text
        with pytest.raises(httpx.ConnectError):
            await client.get("/livez")


async def test_a_handler_that_never_ends_does_not_keep_the_service_from_ending(servers: str, tmp_path: Path) -> None:
    topic = "astrolens.endless.v1"
    begun = asyncio.Event()

    async def endless(_: Sequence[ImageIngested]) -> None:
        begun.set()
        await asyncio.Event().wait()

    app = ServiceApp(settings(tmp_path, servers, shutdown_grace_s=1.0), service="endless")
    app.bus.consume(topic, ImageIngested, Seen(endless))
    async with app.running():
        await app.bus.publish(events(topic, 1))
        await begun.wait()
        stopping_at = monotonic()
    assert monotonic() - stopping_at > 0.5, "it had its share of the grace period; that the service ended is the test"


def test_a_taken_port_is_one_sentence_and_exit_code_2(
    servers: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code = run(lambda: ServiceApp(settings(tmp_path, servers), service="model-server", port=port))
    assert code == 2
    assert capsys.readouterr().err == (
        f"astrolens: port {port} on 127.0.0.1 is taken by another program; set ASTROLENS_MODEL_SERVER_PORT\n"
    )


def test_a_service_without_its_broker_fails_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("astrolens.platform.bus.bus.START_TIMEOUT_S", 0.2)
    code = run(lambda: ServiceApp(settings(tmp_path, "127.0.0.1:9"), service="notifier"))
    assert code == 2
    assert "did not answer" in capsys.readouterr().err.splitlines()[-1]


def test_an_invalid_address_is_a_wrong_setting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lambda: ServiceApp(settings(tmp_path, "host:port"), service="notifier")) == 2
    assert "is not an address (host:port)" in capsys.readouterr().err
    with pytest.raises(ConfigurationError):
        _ = settings(tmp_path, "").bootstrap_servers
