"""The bus without a broker: FastStream's own path from a batch of raw records to commit or seek."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError
from astrolens.contracts import topics
from astrolens.contracts.events import Event, ImageAnalyzed, ImageIngested, LabelRecorded
from astrolens.contracts.records import Reason
from astrolens.platform.bus import Bus, Refusal, TooManyDeadLetters, create_bus
from astrolens.platform.bus.dead_letters import CircuitBreaker
from astrolens.platform.bus.subscription import Subscription
from astrolens.platform.errors import AstroLensError, BusUnavailable, ConfigurationError, PermanentError, TransientError
from astrolens.platform.retry import RetryPolicy
from astrolens.platform.time_limits import POLL_INTERVAL_S
from faststream import AckPolicy
from prometheus_client.exposition import generate_latest

from tests.unit.platform.bus_harness import DLQ, Harness
from tests.unit.platform.platform_fakes import (
    TOPIC,
    FlakyRecords,
    body,
    original_headers,
    record,
    settings,
    unbase64,
)

pytestmark = pytest.mark.usefixtures("logged")


def fail_on(*poison: str, error: Exception) -> Callable[[Sequence[ImageIngested]], Sequence[Refusal]]:
    def behaviour(events: Sequence[ImageIngested]) -> Sequence[Refusal]:
        if any(event.event_id in poison for event in events):
            raise error
        return ()

    return behaviour


async def test_every_subscriber_redelivers_on_error_and_reads_from_the_beginning(harness: Harness) -> None:
    async def nothing(_: Sequence[Event]) -> Sequence[Refusal]:
        return ()

    harness.bus.consume(topics.IMAGES_ANALYZED, ImageAnalyzed, nothing, group="astrolens-analyzer-other")
    subscribers: list[Any] = list(harness.bus.broker.subscribers)
    assert len(subscribers) == 2
    for subscriber in subscribers:
        assert subscriber.ack_policy is AckPolicy.NACK_ON_ERROR
        arguments = subscriber._connection_args
        assert arguments["enable_auto_commit"] is False
        assert arguments["auto_offset_reset"] == "earliest"
        assert arguments["max_poll_interval_ms"] == POLL_INTERVAL_S * 1000
        assert arguments["heartbeat_interval_ms"] < arguments["session_timeout_ms"] < POLL_INTERVAL_S * 1000
    assert harness.bus.broker._connection_kwargs["enable_idempotence"] is True


async def test_consumers_start_side_by_side(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(_: Sequence[Event]) -> Sequence[Refusal]:
        return ()

    async def connect(_: Bus) -> None:
        return

    harness.bus.consume(topics.IMAGES_ANALYZED, ImageAnalyzed, nothing, group="astrolens-analyzer-other")
    together = asyncio.Barrier(2)

    async def start(_: Subscription) -> None:
        await together.wait()

    monkeypatch.setattr(Bus, "connect", connect)
    monkeypatch.setattr(Subscription, "start", start)
    async with asyncio.timeout(30):
        await harness.bus.start()

    async def refuse(_: Subscription) -> None:
        raise KafkaConnectionError("nobody answers")

    monkeypatch.setattr(Subscription, "start", refuse)
    with pytest.raises(BusUnavailable, match="consuming could not begin"):
        await harness.bus.start()


async def test_the_halves_of_a_batch_together_do_not_outlast_its_limit(
    tmp_path: Path, records: FlakyRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("astrolens.platform.bus.consumer.BATCH_RETRY_S", 0.0)
    harness = Harness(tmp_path, records, retry_policy=RetryPolicy(initial_wait_s=0.001, timeout_s=0.0))
    harness.behaviour = fail_on("event0", error=ValueError("bad"))
    await harness.feed(*(record(body(n), n) for n in range(8)))
    assert len(harness.batches) == 1, "no call begins after the limit"
    assert not harness.acknowledged
    assert harness.failure == []
    assert "took longer than 0 s" in str(harness.bus.condition.detail)


async def test_a_good_batch_is_handled_at_once_and_committed(harness: Harness) -> None:
    await harness.feed(*(record(body(n), n) for n in range(5)))
    assert harness.batches == [[f"event{n}" for n in range(5)]]
    assert harness.acknowledged
    assert harness.consumer.progress.processed == 5
    text = generate_latest(harness.metrics.registry).decode()
    assert f'astrolens_received_total{{stage="{TOPIC}"}} 5.0' in text
    assert f'astrolens_settled_total{{outcome="done",stage="{TOPIC}"}} 5.0' in text


@pytest.mark.parametrize(
    ("bad", "error_type"),
    [
        (record(b"{not json", 1), "invalid-json"),
        (record(None, 1), "invalid-json"),
        (record(b"\xff\xfe\x00", 1), "invalid-json"),
        (record(b'{"event_id": "x"}', 1), "wrong-schema"),
        (record(b"[1, 2]", 1), "wrong-schema"),
        (record(body(1), 1, headers=[("note", b"\xff\xfe")]), "unreadable-header"),
    ],
)
async def test_an_unreadable_record_is_dead_lettered_whole_and_its_neighbours_are_handled(
    harness: Harness, bad: Any, error_type: str
) -> None:
    await harness.feed(record(body(0), 0), bad, record(body(2), 2))
    assert harness.batches == [["event0", "event2"]]
    assert harness.acknowledged
    (letter,) = await harness.letters()
    assert (letter.topic, letter.partition, letter.offset) == (TOPIC, 0, 1)
    assert (letter.error_type, letter.service, letter.state) == (error_type, "analyzer", "open")
    assert unbase64(letter.body) == (bad.value or b"")
    assert letter.key is not None
    assert unbase64(letter.key) == b"key"
    (message,) = harness.published.on(DLQ)
    assert message["body"] == (bad.value or b"")
    assert message["key"] == b"key"
    assert message["headers"]["origin_topic"] == TOPIC
    assert message["headers"]["origin_offset"] == "1"
    assert message["headers"]["error_type"] == error_type
    assert original_headers(message["headers"]["origin_headers"]) == list(bad.headers)
    assert harness.settled == [], "nobody knows which image it was about"


async def test_a_batch_of_unreadable_records_never_calls_the_handler(harness: Harness) -> None:
    await harness.feed(record(b"?", 0), record(b"!", 1))
    assert harness.batches == []
    assert len(await harness.letters()) == 2
    assert harness.acknowledged


async def test_a_refused_event_is_dead_lettered_and_settled(harness: Harness) -> None:
    reason = Reason(code="cutout-missing", detail="no cutout")
    harness.behaviour = lambda events: [Refusal(event, reason) for event in events if event.event_id == "event1"]
    await harness.feed(*(record(body(n), n) for n in range(3)))
    (letter,) = await harness.letters()
    assert (letter.offset, letter.error_type, letter.error) == (1, "cutout-missing", "no cutout")
    assert [(refusal.event.event_id, refusal.reason) for refusal in harness.settled] == [("event1", reason)]
    assert harness.acknowledged


async def test_a_record_that_fails_the_handler_is_isolated(harness: Harness) -> None:
    harness.behaviour = fail_on("event3", error=ZeroDivisionError("division by zero"))
    await harness.feed(*(record(body(n), n) for n in range(8)))
    handled = {name for batch in harness.batches if "event3" not in batch for name in batch}
    assert handled == {f"event{n}" for n in range(8)} - {"event3"}
    (letter,) = await harness.letters()
    assert letter.offset == 3
    assert letter.error == "ZeroDivisionError: division by zero"
    assert harness.settled[0].reason.code == "handler-failed"
    assert len(harness.batches) <= 8, "halving needs about log2(n) calls, not n"
    assert harness.acknowledged


async def test_a_permanent_error_keeps_its_reason(harness: Harness) -> None:
    harness.behaviour = fail_on("event0", error=PermanentError("object-missing", "gone"))
    await harness.feed(record(body(0), 0))
    (letter,) = await harness.letters()
    assert (letter.error_type, letter.error) == ("object-missing", "gone")


@pytest.mark.parametrize("error", [TransientError("store unreachable"), ConnectionError("reset"), TimeoutError()])
async def test_a_transient_error_is_tried_again_in_place(harness: Harness, error: Exception) -> None:
    degraded: list[str | None] = []

    def behaviour(_: Sequence[ImageIngested]) -> Sequence[Refusal]:
        degraded.append(harness.bus.condition.detail)
        if len(harness.batches) < 3:
            raise error
        return ()

    harness.behaviour = behaviour
    await harness.feed(record(body(0), 0), record(body(1), 1))
    assert harness.batches == [["event0", "event1"]] * 3
    assert degraded[0] is None
    assert degraded[1], "the console says what is waited for"
    assert harness.bus.condition.detail is None
    assert await harness.letters() == []
    assert harness.acknowledged


async def test_when_the_retries_end_the_whole_batch_is_read_again(harness: Harness) -> None:
    harness.behaviour = fail_on("event0", error=TransientError("store unreachable"))
    await harness.feed(record(body(0), 7), record(body(1), 4, partition=1), record(body(2), 5, partition=1))
    assert not harness.acknowledged
    assert harness.kafka.seeks == {TopicPartition(TOPIC, 0): 7, TopicPartition(TOPIC, 1): 4}
    assert await harness.letters() == []
    assert harness.bus.condition.detail == "store unreachable"
    assert harness.failure == []


async def test_a_handler_that_hangs_is_cancelled(tmp_path: Path, records: FlakyRecords) -> None:
    harness = Harness(tmp_path, records)
    harness.consumer._handler_timeout_s = 0.01

    async def hang(_: Sequence[ImageIngested]) -> Sequence[Refusal]:
        await asyncio.sleep(60)
        return ()

    harness.consumer._handler = hang
    await harness.feed(record(body(0), 0))
    assert not harness.acknowledged
    assert "took longer than 0.01 s" in (harness.bus.condition.detail or "")


@pytest.mark.parametrize("failures", [1, 10_000])
async def test_what_cannot_be_stored_is_read_again(harness: Harness, failures: int) -> None:
    harness.records.failures = failures
    await harness.feed(record(b"rubbish", 0), record(body(1), 1))
    kept = failures == 1
    assert harness.acknowledged is kept
    harness.records.failures = 0
    assert len(await harness.letters()) == (1 if kept else 0)
    assert len(harness.published.on(DLQ)) == (1 if kept else 0), "published only after it was kept"


@pytest.mark.parametrize("failures", [1, 10_000])
async def test_a_dead_letter_that_cannot_be_published_is_read_again(harness: Harness, failures: int) -> None:
    harness.published.failures = failures
    await harness.feed(record(b"rubbish", 0))
    assert harness.acknowledged is (failures == 1)
    assert len(await harness.letters()) == 1, "kept once, although tried again"


async def test_the_same_record_twice_is_one_dead_letter(harness: Harness) -> None:
    await harness.feed(record(b"rubbish", 0))
    await harness.feed(record(b"rubbish", 0))
    assert len(await harness.letters()) == 1


async def test_settling_that_fails_does_not_block_the_topic(tmp_path: Path, records: FlakyRecords) -> None:
    async def broken(_: Refusal) -> None:
        raise KeyError("image")

    harness = Harness(tmp_path, records, on_refused=broken)
    harness.behaviour = fail_on("event0", error=ValueError("bad"))
    await harness.feed(record(body(0), 0), record(body(1), 1))
    assert harness.acknowledged
    assert any("not settled" in error for error in harness.bus.condition.last_errors)


async def test_settling_is_tried_again_when_the_store_does_not_answer(tmp_path: Path, records: FlakyRecords) -> None:
    attempts: list[Refusal] = []

    async def flaky(refusal: Refusal) -> None:
        attempts.append(refusal)
        if len(attempts) == 1:
            raise TransientError("store unreachable")

    harness = Harness(tmp_path, records, on_refused=flaky)
    harness.behaviour = fail_on("event0", error=ValueError("bad"))
    await harness.feed(record(body(0), 0))
    assert len(attempts) == 2
    assert harness.acknowledged


async def test_the_breaker_stops_a_service_that_dead_letters_everything(tmp_path: Path, records: FlakyRecords) -> None:
    harness = Harness(tmp_path, records, breaker=CircuitBreaker(service="analyzer", limit=3, window=10))
    harness.behaviour = fail_on(*(f"event{n}" for n in range(64)), error=RuntimeError("our bug"))
    await harness.feed(*(record(body(n), n) for n in range(64)))
    assert not harness.acknowledged
    (failure,) = harness.failure
    assert isinstance(failure, TooManyDeadLetters)
    assert str(failure).startswith("analyzer stopped: 3 of the last 3 records could not be used")
    assert len(await harness.letters()) == 3
    assert harness.subscriber.running is False, "it must not read the same batch again at once"


async def test_the_breaker_counts_a_dead_letter_once_however_often_it_is_tried(
    tmp_path: Path, records: FlakyRecords
) -> None:
    attempts: list[Refusal] = []

    async def flaky(refusal: Refusal) -> None:
        attempts.append(refusal)
        if len(attempts) < 8:
            raise TransientError("store unreachable")

    harness = Harness(
        tmp_path,
        records,
        breaker=CircuitBreaker(service="analyzer", limit=1, window=10),
        retry_policy=RetryPolicy(initial_wait_s=0.001, max_wait_s=0.001, timeout_s=30.0),
        on_refused=flaky,
    )
    harness.behaviour = fail_on("event0", error=ValueError("bad"))
    await harness.feed(record(body(0), 0))
    assert len(attempts) == 8
    assert harness.failure == []
    assert harness.acknowledged
    assert 'astrolens_dead_letters_total{error="handler-failed",stage="astrolens.images.ingested.v1"} 1.0' in (
        generate_latest(harness.metrics.registry).decode()
    )
    await harness.feed(record(b"rubbish", 1))
    assert isinstance(harness.failure[0], TooManyDeadLetters), "another one is one too many"


async def test_the_breaker_counts_only_the_last_records(tmp_path: Path, records: FlakyRecords) -> None:
    harness = Harness(tmp_path, records, breaker=CircuitBreaker(service="analyzer", limit=2, window=10))
    for round_ in range(5):
        await harness.feed(record(b"rubbish", 100 * round_))
        await harness.feed(*(record(body(n), 100 * round_ + n) for n in range(1, 10)))
    assert harness.failure == []
    assert len(await harness.letters()) == 5


async def test_a_bug_of_the_bus_stops_the_service_instead_of_spinning(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise KeyError("bug")

    monkeypatch.setattr(harness.bus.dead_letters, "put", broken)
    await harness.feed(record(b"rubbish", 0))
    assert not harness.acknowledged
    assert "KeyError" in str(harness.failure[0])
    assert harness.subscriber.running is False


async def test_records_that_never_reach_the_handler_are_settled(harness: Harness) -> None:
    async def broken(_: Any) -> Any:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    for call in harness.subscriber.calls:
        call.parser = broken
    await harness.feed(record(body(0), 0), record(b"rubbish", 1))
    assert harness.batches == [["event0"]]
    assert len(await harness.letters()) == 1


async def test_unreadable_records_of_another_subscriber_are_dead_lettered(harness: Harness) -> None:
    await harness.bus.settle_unreadable([record(b"?", 0, topic="elsewhere")], ValueError("no parser"))
    (letter,) = await harness.letters()
    assert (letter.topic, letter.error) == ("elsewhere", "ValueError: no parser")


async def test_a_stop_ends_the_wait_and_the_batch_is_read_again(tmp_path: Path, records: FlakyRecords) -> None:
    harness = Harness(tmp_path, records, retry_policy=RetryPolicy(initial_wait_s=30, max_wait_s=30, timeout_s=240))
    harness.behaviour = fail_on("event0", error=TransientError("store unreachable"))
    feeding = asyncio.create_task(harness.feed(record(body(0), 0)))
    while not harness.batches:
        await asyncio.sleep(0)
    await asyncio.wait_for(harness.bus.stop_consuming(), 60)
    await asyncio.wait_for(feeding, 60)
    assert not harness.acknowledged


async def test_lag_counts_what_waits(harness: Harness) -> None:
    harness.kafka.waiting = 7
    assert await harness.bus.lag() == {TOPIC: 7}


def test_the_embedded_url_needs_the_supervisor(tmp_path: Path, records: FlakyRecords) -> None:
    from astrolens.platform.settings import Settings

    with pytest.raises(ConfigurationError, match="astrolens up"):
        create_bus(Settings(_env_file=None, home=tmp_path), service="analyzer", records=records)


def test_bus_has_one_group_a_service(tmp_path: Path, records: FlakyRecords) -> None:
    bus: Bus = create_bus(settings(tmp_path), service="notifier", records=records)

    async def nothing(_: Sequence[Event]) -> Sequence[Refusal]:
        return ()

    bus.consume(TOPIC, ImageIngested, nothing)
    bus.consume(topics.IMAGES_ANALYZED, ImageAnalyzed, nothing, group="astrolens-other")
    subscribers: list[Any] = list(bus.broker.subscribers)
    groups = {subscriber.topic_names[0]: subscriber.group_id for subscriber in subscribers}
    with pytest.raises(AstroLensError, match="astrolens-other is taken by another topic"):
        bus.consume(topics.LABELS_RECORDED, LabelRecorded, nothing, group="astrolens-other")
    assert groups == {TOPIC: "astrolens-notifier", topics.IMAGES_ANALYZED: "astrolens-other"}
