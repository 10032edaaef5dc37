"""The public heartbeat: a constant rate, a sequence, one publisher, and no failure that ends the service."""

import asyncio
import json
from typing import Any

import pytest
from astrolens.contracts import topics
from astrolens.contracts.alerts import HEARTBEAT_INTERVAL_S, Heartbeat
from astrolens.contracts.records import Outcome
from astrolens.contracts.status import Books
from astrolens.notifier.heartbeat import PublicHeartbeat
from astrolens.platform.errors import StoreUnavailable
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.runtime.periodic import PeriodicTask
from astrolens.platform.stores.leases import Lease

from tests.unit.notifier.notifier_fakes import FakePublisher, World, image


def _heartbeat(world: World, publisher: FakePublisher, *, instance: str = "notifier@test") -> PublicHeartbeat:
    lease = Lease(world.records, "heartbeat", owner=instance, clock=lambda: world.clock.now)
    return PublicHeartbeat(
        records=world.records, publisher=publisher, lease=lease, instance=instance, clock=world.clock
    )


async def test_a_heartbeat_holds_the_books_and_the_public_alerts(world: World) -> None:
    public, blind = image(1), image(2, injected=True)
    withheld = image(3, survey="ztf", extra={"programid": "2"})
    await world.put(public, blind, withheld)
    await world.service().reconcile([public.image_id, blind.image_id, withheld.image_id])
    publisher = FakePublisher()
    heartbeat = _heartbeat(world, publisher)
    await heartbeat.publish()
    await heartbeat.publish()
    first, second = (Heartbeat.model_validate_json(event.payload) for event in publisher.published)
    assert {event.topic for event in publisher.published} == {topics.HEARTBEAT}
    assert (first.sequence, second.sequence) == (0, 1)
    assert first.event_id != second.event_id
    assert first.alerts == 1, "neither an injection nor what is withheld may show"
    assert first.books is not None
    assert first.books.analyzed == 3
    assert first.interval_s == HEARTBEAT_INTERVAL_S == 10


async def test_heartbeats_go_on_without_the_record_store(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unreachable(*_: object) -> Any:
        raise StoreUnavailable("locked")

    for verb in ("tallies", "insert", "apply"):
        monkeypatch.setattr(world.records, verb, unreachable)
    publisher = FakePublisher()
    await _heartbeat(world, publisher).publish()
    heartbeat = json.loads(publisher.published[0].payload)
    assert (heartbeat["books"], heartbeat["alerts"]) == (None, None)


async def test_an_unreachable_broker_is_reported_once_and_leaves_a_gap(world: World) -> None:
    publisher, condition = FakePublisher(), Condition()
    condition.phase = "running"
    publisher.down = True
    heartbeat = _heartbeat(world, publisher)
    task = PeriodicTask("heartbeat", heartbeat.publish, interval_s=0.01, condition=condition, fixed_rate=True)
    stopping = asyncio.Event()
    running = asyncio.create_task(task.run(stopping))
    async with asyncio.timeout(20):
        while condition.state != "degraded":
            await asyncio.sleep(0.01)
        publisher.down = False
        while len(publisher.published) < 3:
            await asyncio.sleep(0.01)
        stopping.set()
        await running
    assert condition.state == "running"
    assert len(condition.last_errors) == 1
    sequences = [json.loads(event.payload)["sequence"] for event in publisher.published]
    assert sequences[0] > 0, "a lost heartbeat leaves a gap"
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))


async def test_of_two_notifiers_one_publishes_heartbeats(world: World) -> None:
    publishers = FakePublisher(), FakePublisher()
    first, second = (_heartbeat(world, each, instance=f"notifier@{n}") for n, each in enumerate(publishers))
    for _ in range(3):
        await first.publish()
        await second.publish()
    assert [len(each.published) for each in publishers] == [3, 0]
    await first.release_lease()
    await second.publish()
    await first.publish()
    assert [len(each.published) for each in publishers] == [3, 1]
    assert json.loads(publishers[1].published[0].payload)["sequence"] == 0


def test_the_books_balance() -> None:
    outcomes = {(Outcome.RECEIVED,): 2, (Outcome.ACCEPTED,): 10, (Outcome.DUPLICATE,): 3, (Outcome.REJECTED,): 1}
    books = Books.of(outcomes, {("analyzed",): 7, ("dead_lettered",): 1, ("ingested",): 2})
    assert (books.received, books.analyzed, books.dead_lettered, books.in_flight) == (16, 7, 1, 4)
