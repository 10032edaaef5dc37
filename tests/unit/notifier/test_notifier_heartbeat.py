"""The public heartbeat: constant, countable, and never a reason to die."""

import asyncio
import json

import pytest
from astrolens.contracts import topics
from astrolens.contracts.alerts import HEARTBEAT_INTERVAL_S, Heartbeat
from astrolens.contracts.records import Books, Outcome
from astrolens.notifier.heartbeat import PublicHeartbeat
from astrolens.platform.errors import StoreUnavailable
from astrolens.platform.runtime.condition import Condition

from tests.unit.notifier.notifier_fakes import FakePublisher, World, image


def _heartbeat(
    world: World, publisher: FakePublisher, condition: Condition, *, every_s: float = 10.0
) -> PublicHeartbeat:
    return PublicHeartbeat(
        records=world.records,
        publisher=publisher,
        condition=condition,
        instance="notifier@test",
        every_s=every_s,
        clock=world.clock,
    )


async def test_a_beat_tells_books_and_public_alerts(world: World) -> None:
    public, blind = image(1), image(2, injected=True)
    await world.put(public, blind)
    await world.service().reconcile([public.image_id, blind.image_id])
    publisher = FakePublisher()
    heartbeat = _heartbeat(world, publisher, Condition())
    await heartbeat.beat()
    await heartbeat.beat()
    first, second = (Heartbeat.model_validate_json(event.payload) for event in publisher.published)
    assert {event.topic for event in publisher.published} == {topics.HEARTBEAT}
    assert (first.sequence, second.sequence) == (0, 1)
    assert first.event_id != second.event_id
    assert first.alerts == 1, "an injection must not show"
    assert first.books is not None
    assert first.books.analyzed == 2
    assert first.interval_s == HEARTBEAT_INTERVAL_S == 10


async def test_without_the_store_it_still_beats(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_: object) -> list[dict[tuple[str, ...], int]]:
        raise StoreUnavailable("locked")

    monkeypatch.setattr(world.records, "tallies", away)
    publisher = FakePublisher()
    await _heartbeat(world, publisher, Condition()).beat()
    told = json.loads(publisher.published[0].payload)
    assert (told["books"], told["alerts"]) == (None, None)


async def test_a_dead_broker_is_reported_once_and_outlived(world: World) -> None:
    publisher, condition = FakePublisher(), Condition()
    condition.phase = "running"
    publisher.down = True
    stopping = asyncio.Event()
    running = asyncio.create_task(_heartbeat(world, publisher, condition, every_s=0.01).run(stopping))
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
    assert sequences[0] > 0, "a lost beat leaves a gap"
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))


def test_the_books_balance() -> None:
    outcomes = {(Outcome.RECEIVED,): 2, (Outcome.ACCEPTED,): 10, (Outcome.DUPLICATE,): 3, (Outcome.REJECTED,): 1}
    books = Books.of(outcomes, {("analyzed",): 7, ("dead_lettered",): 1, ("ingested",): 2})
    assert (books.received, books.analyzed, books.dead_lettered, books.in_flight) == (16, 7, 1, 4)
