"""The outbox: what was written is published, sooner or later, and cleared."""

import asyncio
import base64
from collections.abc import Sequence
from typing import Any, cast

import pytest
from astrolens.contracts.records import PendingEvent
from astrolens.platform.bus import Bus
from astrolens.platform.bus import outbox as outbox_module
from astrolens.platform.bus.outbox import RELAY_INTERVAL_S, RELAY_ISSUE, RELAY_TASK, Outbox
from astrolens.platform.errors import BusUnavailable, PermanentError, StoreUnavailable
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.runtime.periodic import PeriodicTask
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Query
from astrolens.platform.telemetry.metrics import Metrics

from tests.unit.platform.platform_fakes import TOPIC, FakeBus, FlakyRecords, image_with_pending, pending

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
    relay = PeriodicTask(
        RELAY_TASK, outbox.relay_once, interval_s=RELAY_INTERVAL_S, condition=condition, issue=RELAY_ISSUE
    )
    assert await relay.run_pass()
    assert bus.published == ["event1"]
    assert await still_pending(records) == []
    assert condition.detail is None, "what a release reported, the relay has settled"


async def test_a_relay_that_fails_is_an_issue_and_then_takes_everything(
    outbox: Outbox, bus: FakeBus, records: FlakyRecords, condition: Condition, logged: list[Any]
) -> None:
    relay = PeriodicTask(
        RELAY_TASK, outbox.relay_once, interval_s=RELAY_INTERVAL_S, condition=condition, issue=RELAY_ISSUE
    )
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


class PartialBus(FakeBus):
    """Never accepts `refused` events; does not answer for topics in `unusable`."""

    def __init__(self, *, refused: tuple[str, ...] = (), unusable: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.refused = refused
        self.unusable = unusable
        self.tried: list[str] = []

    async def publish(self, events: Sequence[PendingEvent]) -> None:
        self.tried += {event.topic for event in events}
        if any(event.topic in self.unusable for event in events):
            raise BusUnavailable("no such topic")
        if any(event.event_id in self.refused for event in events):
            raise PermanentError("event-refused", "too large")
        await super().publish(events)


async def write_to(topic: str, records: FlakyRecords, *numbers: int) -> list[tuple[str, list[PendingEvent]]]:
    documents = [
        image_with_pending(number).model_copy(
            update={"pending": (pending(number).model_copy(update={"topic": topic}),)}
        )
        for number in numbers
    ]
    await records.insert(IMAGES, documents)
    return [(document.image_id, list(document.pending)) for document in documents]


async def test_an_event_that_is_never_accepted_is_dead_lettered_and_holds_back_no_other(
    records: FlakyRecords, condition: Condition
) -> None:
    bus = PartialBus(refused=("event2",))
    await write(records, 1, 2, 3)
    assert await make(bus, records, condition).relay_once() == 3
    assert sorted(bus.published) == ["event1", "event3"]
    assert await still_pending(records) == []
    (letter,) = (await records.find(Collection.DEAD_LETTERS, Query())).documents
    assert (letter["topic"], letter["error_type"], letter["error"]) == (TOPIC, "event-refused", "too large")
    assert base64.b64decode(letter["body"]).decode() == pending(2).payload
    assert condition.detail is None
    assert "too large" in condition.last_errors[-1]


async def test_a_release_dead_letters_what_is_never_accepted(records: FlakyRecords, condition: Condition) -> None:
    bus = PartialBus(refused=("event2",))
    await make(bus, records, condition).release(IMAGES, await write(records, 1, 2, 3))
    assert sorted(bus.published) == ["event1", "event3"]
    assert await still_pending(records) == []
    assert len((await records.find(Collection.DEAD_LETTERS, Query())).documents) == 1


async def test_an_event_stays_until_its_dead_letter_is_stored(records: FlakyRecords, condition: Condition) -> None:
    outbox = make(PartialBus(refused=("event1",)), records, condition)
    await write(records, 1)
    records.failures = 1
    with pytest.raises(StoreUnavailable):
        await outbox.relay_once()
    assert await still_pending(records) == ["image1"]
    assert await outbox.relay_once() == 1


async def test_a_topic_that_fails_holds_back_no_other(records: FlakyRecords, condition: Condition) -> None:
    now_s = 100.0
    bus = PartialBus(unusable=("missing",))
    outbox = Outbox(cast("Bus", bus), records, collections=(IMAGES,), condition=condition, clock=lambda: now_s)
    await write_to("missing", records, 1, 2)
    await write(records, 3)
    with pytest.raises(BusUnavailable, match=r"1 topics do not take events \(missing\): no such topic"):
        await outbox.relay_once()
    assert bus.published == ["event3"]
    assert await still_pending(records) == ["image1", "image2"]
    bus.tried.clear()
    with pytest.raises(BusUnavailable, match="missing"):
        await outbox.relay_once()
    await outbox.release(IMAGES, await write_to("missing", records, 4))
    assert bus.tried == [], "it is not tried again at once: each try costs the wait of a publication"
    await outbox.release(IMAGES, await write(records, 5))
    assert bus.published == ["event3", "event5"]
    bus.unusable = ()
    now_s += outbox_module.MAX_WAIT_S
    assert await outbox.relay_once() == 2
    assert await outbox.relay_once() == 1, "the one that was written meanwhile"
    assert await still_pending(records) == []


async def test_the_relay_pages_past_what_does_not_go(
    records: FlakyRecords, condition: Condition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "RELAY_BATCH", 2)
    monkeypatch.setattr(outbox_module, "PAGES_PER_PASS", 3)
    bus = PartialBus(unusable=("missing",))
    outbox = make(bus, records, condition)
    await write_to("missing", records, *range(20))
    await write(records, *range(20, 25))
    for _ in range(12):
        with pytest.raises(BusUnavailable):
            await outbox.relay_once()
        if len(bus.published) == 5:
            break
    assert sorted(bus.published) == [f"event{number}" for number in range(20, 25)]
    assert len(await still_pending(records)) == 20


async def test_an_event_on_two_topics_waits_for_the_one_that_fails(records: FlakyRecords, condition: Condition) -> None:
    both = (pending(1), pending(1).model_copy(update={"topic": "missing"}))
    await records.insert(IMAGES, [image_with_pending(1).model_copy(update={"pending": both})])
    bus = PartialBus(unusable=("missing",))
    outbox = make(bus, records, condition)
    with pytest.raises(BusUnavailable):
        await outbox.relay_once()
    assert await still_pending(records) == ["image1"], "the alerts of older versions have one id on two topics"
