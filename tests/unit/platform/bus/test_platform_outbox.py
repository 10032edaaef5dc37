"""The outbox: what was written is published, sooner or later, and cleared."""

import asyncio
from typing import Any, cast

import pytest
from astrolens.platform.bus import Bus
from astrolens.platform.bus.outbox import RELAY_ISSUE, RELAY_S, RELAY_TASK, Outbox
from astrolens.platform.errors import BusUnavailable, PermanentError
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.runtime.periodic import PeriodicTask
from astrolens.platform.stores.collections import Collection
from astrolens.platform.telemetry.metrics import Metrics

from tests.unit.platform.platform_fakes import FakeBus, FlakyRecords, image_with_pending, pending

IMAGES = Collection.IMAGES


@pytest.fixture
def bus() -> FakeBus:
    return FakeBus()


@pytest.fixture
def condition() -> Condition:
    return Condition()


@pytest.fixture
def outbox(bus: FakeBus, records: FlakyRecords, condition: Condition) -> Outbox:
    return make(bus, records, condition)


def make(bus: Any, records: FlakyRecords, condition: Condition) -> Outbox:
    return Outbox(cast("Bus", bus), records, collections=(IMAGES,), condition=condition, metrics=Metrics("test"))


async def write(records: FlakyRecords, *numbers: int) -> list[tuple[str, list[Any]]]:
    await records.insert(IMAGES, [image_with_pending(number) for number in numbers])
    return [(f"image{number}", [pending(number)]) for number in numbers]


async def still_pending(records: FlakyRecords) -> list[str]:
    return [key for key, _ in await records.pending(IMAGES, limit=100)]


async def test_release_publishes_and_clears(outbox: Outbox, bus: FakeBus, records: FlakyRecords) -> None:
    await outbox.release(IMAGES, [*await write(records, 1, 2), ("image3", [])])
    assert bus.published == ["event1", "event2"]
    assert await still_pending(records) == []


async def test_events_of_a_crash_between_write_and_publication_are_published_at_the_next_start(
    bus: FakeBus, records: FlakyRecords, condition: Condition
) -> None:
    await write(records, 1, 2)  # and then the process dies
    assert await make(bus, records, condition).relay_once() == 2
    assert sorted(bus.published) == ["event1", "event2"]
    assert await still_pending(records) == []


async def test_a_crash_between_publication_and_clearing_publishes_again(
    bus: FakeBus, records: FlakyRecords, condition: Condition
) -> None:
    await write(records, 1)
    bus.published.append("event1")  # published, and then the process dies
    await make(bus, records, condition).relay_once()
    assert bus.published == ["event1", "event1"]
    assert await still_pending(records) == []


async def test_events_that_an_unreachable_broker_did_not_take_are_relayed(
    outbox: Outbox, bus: FakeBus, records: FlakyRecords, condition: Condition
) -> None:
    await outbox.relay_once()
    bus.unreachable = True
    await outbox.release(IMAGES, await write(records, 1))
    assert await still_pending(records) == ["image1"]
    assert "broker unreachable" in (condition.detail or "")
    bus.unreachable = False
    relay = PeriodicTask(RELAY_TASK, outbox.relay_once, interval_s=RELAY_S, condition=condition, issue=RELAY_ISSUE)
    assert await relay.run_pass()
    assert bus.published == ["event1"]
    assert await still_pending(records) == []
    assert condition.detail is None, "what a release reported, the relay has settled"


async def test_a_relay_that_fails_is_an_issue_and_then_takes_everything(
    outbox: Outbox, bus: FakeBus, records: FlakyRecords, condition: Condition, logged: list[Any]
) -> None:
    relay = PeriodicTask(RELAY_TASK, outbox.relay_once, interval_s=RELAY_S, condition=condition, issue=RELAY_ISSUE)
    assert await relay.run_pass()
    await write(records, 1)
    assert await relay.run_pass()
    bus.unreachable = True
    assert not await relay.run_pass()
    assert condition.detail == "events wait to be published: broker unreachable"
    bus.unreachable = False
    await write(records, 2)
    assert await relay.run_pass()
    assert sorted(bus.published) == ["event1", "event2"], "after a failure nothing is left to others"
    assert condition.detail is None
    assert [line["log_level"] for line in logged] == ["warning", "info", "info"]


async def test_a_store_that_cannot_clear_is_tried_again(
    outbox: Outbox, bus: FakeBus, records: FlakyRecords, condition: Condition
) -> None:
    documents = await write(records, 1)
    records.failures = 1
    await outbox.release(IMAGES, documents)
    assert condition.detail is not None
    assert await outbox.relay_once() == 1
    assert await still_pending(records) == []


async def test_the_relay_leaves_new_events_to_their_writer(outbox: Outbox, bus: FakeBus, records: FlakyRecords) -> None:
    await outbox.relay_once()  # the pass at the start
    await write(records, 1)  # by another service, which is about to publish it
    assert await outbox.relay_once() == 0
    assert await outbox.relay_once() == 1, "but not when it stays"
    assert bus.published == ["event1"]


async def test_the_relay_skips_what_is_being_released(outbox: Outbox, bus: FakeBus, records: FlakyRecords) -> None:
    bus.hold = asyncio.Event()
    releasing = asyncio.create_task(outbox.release(IMAGES, await write(records, 1)))
    await bus.entered.wait()
    assert await outbox.relay_once() == 0
    bus.hold.set()
    await releasing
    assert bus.published == ["event1"]


async def test_metrics_show_how_much_waits_and_since_when(
    bus: FakeBus, records: FlakyRecords, condition: Condition
) -> None:
    metrics, now_s = Metrics("test"), 100.0
    outbox = Outbox(
        cast("Bus", bus), records, collections=(IMAGES,), condition=condition, metrics=metrics, clock=lambda: now_s
    )

    def measured() -> tuple[float | None, float | None]:
        value = metrics.registry.get_sample_value
        labels = {"collection": "images"}
        return value("astrolens_outbox_pending", labels), value("astrolens_outbox_oldest_seconds", labels)

    await outbox.relay_once()
    assert measured() == (0, 0)
    await write(records, 1, 2)
    assert await outbox.relay_once() == 0, "they are left to whoever wrote them"
    bus.unreachable = True
    now_s += 100.0
    with pytest.raises(BusUnavailable):
        await outbox.relay_once()
    assert measured() == (2, 100)
    bus.unreachable = False
    assert await outbox.relay_once() == 2
    await outbox.relay_once()
    assert measured() == (0, 0)


async def test_many_are_relayed_in_bounded_batches(
    outbox: Outbox, bus: FakeBus, records: FlakyRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("astrolens.platform.bus.outbox.RELAY_BATCH", 4)
    await write(records, *range(10))
    assert await outbox.relay_once() == 10
    assert sorted(bus.published) == sorted(f"event{number}" for number in range(10))


async def test_an_event_that_is_refused_holds_back_no_other(
    bus: FakeBus, records: FlakyRecords, condition: Condition
) -> None:
    class RefusingBus(FakeBus):
        async def publish(self, events: Any) -> None:
            if any(event.event_id == "event2" for event in events):
                raise PermanentError("event-refused", "too large")
            await super().publish(events)

    refusing = RefusingBus()
    outbox = make(refusing, records, condition)
    await write(records, 1, 2, 3)
    assert await outbox.relay_once() == 2
    assert sorted(refusing.published) == ["event1", "event3"]
    assert await still_pending(records) == ["image2"]
    assert "too large" in (condition.detail or "")
