from datetime import timedelta
from pathlib import Path

import pytest
from astrolens.contracts import topics
from astrolens.contracts.events import ImageIngested
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change

from tests.unit.inference.analyzer_world import NOW, World, event
from tests.unit.inference.tiny_bundle import image_id


@pytest.fixture
async def world(tmp_path: Path):
    world = World(tmp_path)
    await world.records.open()
    await world.images.open()
    yield world
    await world.images.close()
    await world.records.close()


async def test_waiting_images_are_redelivered_once(world: World) -> None:
    await world.ingest(*range(1, 601), ago_s=60)
    await world.ingest(700, ago_s=5)
    await world.ingest(800, ago_s=90)
    await world.analyzer.handle([event(800)])
    world.outbox.published.clear()
    assert await world.redelivery().redeliver(older_than=NOW - timedelta(seconds=20)) == 600
    assert {fact.key for fact in world.outbox.published} == {image_id(seed) for seed in range(1, 601)}
    assert await world.redelivery().redeliver(older_than=NOW - timedelta(seconds=20)) == 0
    document = await world.document(7)
    assert (document["offered_at"], document["pending"]) == ("2026-05-01T12:00:00.000250Z", [])
    offered = ImageIngested.model_validate_json(world.outbox.published[0].payload)
    assert await world.analyzer.handle([offered]) == []
    assert (await world.document(int(offered.image_id, 16)))["state"] == "analyzed"


async def test_an_event_that_is_pending_is_left_to_the_relay(world: World) -> None:
    await world.ingest(1, ago_s=60)
    pending = event(1).pending(topic=topics.IMAGES_INGESTED, key=image_id(1))
    push = {"pending": [pending.model_dump(mode="json")]}
    await world.records.apply(Collection.IMAGES, [Change(id=image_id(1), push=push)])
    assert await world.redelivery().redeliver(older_than=NOW) == 1
    assert world.outbox.published == []
    assert len((await world.document(1))["pending"]) == 1


async def test_an_event_lost_before_its_publication_stays_pending(world: World) -> None:
    await world.ingest(1, ago_s=60)
    world.outbox.dies = True
    with pytest.raises(RuntimeError, match="killed"):
        await world.redelivery().redeliver(older_than=NOW)
    assert [fact["topic"] for fact in (await world.document(1))["pending"]] == [topics.IMAGES_INGESTED]


async def test_the_limit_of_a_pass_is_kept_and_the_oldest_come_first(world: World) -> None:
    await world.ingest(1, ago_s=60)
    await world.ingest(2, ago_s=90)
    await world.ingest(3, ago_s=30)
    assert await world.redelivery().redeliver(older_than=NOW, limit=2) == 2
    assert [fact.key for fact in world.outbox.published] == [image_id(2), image_id(1)]


async def test_two_analyzers_do_not_redeliver_the_same_image(world: World) -> None:
    await world.ingest(1, 2, 3, ago_s=60)
    one, other = world.redelivery(), world.redelivery()
    assert await one.redeliver(older_than=NOW, limit=2) == 2
    assert await other.redeliver(older_than=NOW) == 1
    assert len(world.outbox.published) == 3


async def test_one_bad_record_does_not_keep_its_neighbours_waiting(world: World) -> None:
    await world.ingest(1, 3, ago_s=60)
    await world.ingest(2, ago_s=90)
    await world.records.apply(Collection.IMAGES, [Change(id=image_id(2), set={"cutout": None})])
    for _ in range(2):
        assert await world.redelivery().redeliver(older_than=NOW - timedelta(seconds=20)) in {2, 0}
    assert {fact.key for fact in world.outbox.published} == {image_id(1), image_id(3)}


@pytest.mark.parametrize(("after_s", "first"), [(20.0, 2), (100.0, 1)])
async def test_a_volatile_broker_has_forgotten_everything_at_the_start(
    world: World, after_s: float, first: int
) -> None:
    await world.ingest(1, ago_s=5)
    await world.ingest(2, ago_s=110)
    redelivery = world.redelivery(after_s=after_s)
    await redelivery.run_pass()
    assert len(world.outbox.published) == first
    await world.ingest(3, ago_s=5)
    await redelivery.run_pass()
    assert len(world.outbox.published) == first


async def test_a_first_pass_that_failed_is_repeated_as_the_first(world: World) -> None:
    await world.ingest(1, ago_s=5)
    redelivery = world.redelivery()
    world.outbox.dies = True
    with pytest.raises(RuntimeError, match="killed"):
        await redelivery.run_pass()
    world.outbox.dies = False
    await world.ingest(2, ago_s=5)
    await redelivery.run_pass()
    assert [fact.key for fact in world.outbox.published] == [image_id(2)]


@pytest.mark.parametrize(("after_s", "ahead_s"), [(20.0, 5), (3600.0, 120)])
async def test_what_was_published_before_the_clock_was_set_back_is_redelivered_once(
    world: World, after_s: float, ahead_s: float
) -> None:
    await world.ingest(1, ago_s=-ahead_s)
    await world.ingest(2, ago_s=-3 * 86_400)
    redelivery = world.redelivery(after_s=after_s)
    await redelivery.run_pass()
    assert {fact.key for fact in world.outbox.published} == {image_id(1), image_id(2)}
    await redelivery.run_pass()
    assert len(world.outbox.published) == 2
