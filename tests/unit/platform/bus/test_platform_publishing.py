"""Publishing without a broker: what is sent, and what a broker's refusals mean."""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError, OutOfOrderSequenceNumber
from astrolens.contracts.records import PendingEvent
from astrolens.platform.errors import BusUnavailable, PermanentError

from tests.unit.platform.bus_harness import DLQ, Harness
from tests.unit.platform.platform_fakes import ingested, pending, record, unbase64

pytestmark = pytest.mark.usefixtures("logged")


async def test_publish_sends_text_and_binary_with_headers(harness: Harness) -> None:
    avro = PendingEvent(event_id="a", topic="t", key="k", payload="AAH/", binary=True, content_type="avro/binary")
    await harness.bus.publish([pending(1), avro])
    first, second = harness.published.messages
    assert first["body"] == ingested(1).model_dump_json().encode()
    assert first["key"] == b"image1"
    assert first["headers"]["event_id"] == "event1"
    assert first["headers"]["content-type"] == "application/json"
    assert first["headers"]["producer"].startswith("astrolens-analyzer/")
    assert second["body"] == b"\x00\x01\xff"
    assert second["headers"]["content-type"] == "avro/binary"


async def test_an_event_that_is_not_base64_is_refused(harness: Harness) -> None:
    with pytest.raises(PermanentError, match="not base64"):
        await harness.bus.publish([PendingEvent(event_id="a", topic="t", key="k", payload="!", binary=True)])


async def test_publishing_reports_an_unreachable_broker(harness: Harness) -> None:
    harness.published.failures = 1
    with pytest.raises(BusUnavailable, match="did not take 1 events"):
        await harness.bus.publish([pending(1)])


async def _raise_from_broker(harness: Harness, error: Exception) -> None:
    async def publish(*_: Any, **__: Any) -> None:
        raise error

    harness.bus.broker.publish = publish  # type: ignore[method-assign, assignment]
    await harness.bus.publish([pending(1)])


async def test_an_event_too_large_is_refused_for_good(harness: Harness) -> None:
    with pytest.raises(PermanentError) as caught:
        await _raise_from_broker(harness, MessageSizeTooLargeError("2 MB"))
    assert caught.value.reason.code == "event-refused"
    assert harness.failure == []


async def test_a_broken_producer_stops_the_service(harness: Harness) -> None:
    with pytest.raises(BusUnavailable, match="failed for good"):
        await _raise_from_broker(harness, OutOfOrderSequenceNumber())
    assert len(harness.failure) == 1


async def test_publishing_is_bounded(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any, **__: Any) -> "asyncio.Future[None]":
        return asyncio.get_running_loop().create_future()

    harness.bus.broker.publish = never  # type: ignore[method-assign]
    monkeypatch.setattr("astrolens.platform.bus.producer.PUBLISH_S", 0.01)
    with pytest.raises(BusUnavailable):
        await harness.bus.publish([pending(1)])


async def test_an_oversized_record_is_dead_lettered_without_its_body(harness: Harness) -> None:
    sent = harness.published

    async def publish(message: bytes, topic: str, **options: Any) -> Any:
        if len(message) > 1000:
            raise MessageSizeTooLargeError("too large")
        return await sent._publish(message, topic, **options)

    harness.bus.broker.publish = publish  # type: ignore[method-assign, assignment]
    await harness.feed(record(b"x" * 2000, 0))
    assert harness.acknowledged
    (message,) = sent.on(DLQ)
    assert message["headers"]["body"] == "in the record store"
    (letter,) = await harness.letters()
    assert unbase64(letter.body) == b"x" * 2000
