"""The sweep: analyses whose event got lost are found again, and nothing is told twice."""

import asyncio
from datetime import timedelta

import pytest
from astrolens.contracts.verdicts import Verdict
from astrolens.notifier import sweep as module
from astrolens.notifier.sweep import Sweep
from astrolens.platform.errors import StoreUnavailable
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Query

from tests.unit.notifier.notifier_fakes import EPOCH, World, image


def _sweep(world: World, *, every_s: float = 3600.0) -> Sweep:
    return Sweep(records=world.records, alerts=world.service(), every_s=every_s, clock=lambda: world.clock.now)


async def test_a_lost_event_costs_no_alert(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAGE", 2)
    strange = [image(number, analyzed_at=EPOCH + timedelta(seconds=number)) for number in range(5)]
    await world.put(*strange, image(9, verdict=Verdict.ORDINARY), image(10, verdict=Verdict.NEAR_MISS))
    for _ in range(2):
        await _sweep(world).once()
    assert sorted(packet.image_id for packet in world.outbox.packets()) == sorted(one.image_id for one in strange)


async def test_a_lost_event_costs_no_retraction(world: World) -> None:
    await world.put(image(1), image(2))
    await _sweep(world).once()
    world.outbox.clear()
    world.clock.now += timedelta(days=30)
    await world.put(image(1, verdict=Verdict.ORDINARY, model="b"))
    await _sweep(world).once()
    assert [packet.alert_type for packet in world.outbox.packets()] == ["retraction"]


async def test_only_what_is_recent_is_swept_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = _sweep(world)
    old, recent, late = (image(n, analyzed_at=EPOCH + timedelta(hours=n)) for n in range(3))
    await world.put(old)
    world.clock.now = EPOCH + timedelta(hours=1)
    await sweep.once()
    await world.put(recent, late)
    looked_at: list[str] = []
    real = world.records.find

    async def find(collection: Collection, query: Query) -> object:
        page = await real(collection, query)
        looked_at.extend(document["image_id"] for document in page.documents)
        return page

    monkeypatch.setattr(world.records, "find", find)
    await sweep.once()
    assert looked_at == [recent.image_id, late.image_id]


async def test_a_sweep_that_was_cut_off_begins_again_where_it_did(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = image(1)
    await world.put(picture)
    sweep = _sweep(world, every_s=0.01)
    real, failures = world.records.find, 0

    async def find(collection: Collection, query: Query) -> object:
        nonlocal failures
        if failures < 2:
            failures += 1
            raise StoreUnavailable("locked")
        return await real(collection, query)

    monkeypatch.setattr(world.records, "find", find)
    stopping = asyncio.Event()
    running = asyncio.create_task(sweep.run(stopping))
    async with asyncio.timeout(20):
        while not world.outbox.published:
            await asyncio.sleep(0.01)
        stopping.set()
        await running
    assert await world.alert(picture) is not None


async def test_one_unreadable_record_does_not_stop_a_sweep(world: World) -> None:
    bad, good = image(1), image(2, analyzed_at=EPOCH + timedelta(seconds=1))
    await world.put(good)
    await world.records.insert(Collection.IMAGES, [{**bad.model_dump(mode="json"), "original": None}])
    await _sweep(world).once()
    assert await world.alert(good) is not None
