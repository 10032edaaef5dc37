"""The queue of deliveries: every state is in the alert's record, and concurrent changes keep each other's."""

import asyncio

import pytest
from astrolens.contracts.verdicts import Verdict
from astrolens.notifier import delivery_queue

from tests.unit.notifier.delivery_bench import Bench, raised
from tests.unit.notifier.notifier_fakes import FakeChannel, World, image


async def test_a_retraction_during_the_delivery_is_not_marked_as_delivered(world: World) -> None:
    bench = Bench(world, FakeChannel())
    picture = image(1)
    await raised(world, picture)
    waiting = await bench.queue.waiting_for("mailto #1")
    await world.put(image(1, model="b", verdict=Verdict.ORDINARY))
    await world.service("mailto #1").reconcile([picture.image_id])
    alerts = [each.alert for each in waiting]
    assert await bench.queue.record_attempt(alerts, "mailto #1", error=None) == []
    assert (await bench.delivery(picture)).state == "waiting"
    await bench.deliver()
    assert bench.channel.sent[0][0].startswith("Retracted")


async def test_deliveries_to_a_removed_channel_are_ended(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_queue, "WRITE_SIZE", 2)
    monkeypatch.setattr(delivery_queue, "WRITE_PAUSE_S", 0.0)
    bench = Bench(world, FakeChannel())
    both = [image(number) for number in range(5)]
    only_old = [image(number) for number in range(5, 8)]
    await raised(world, *both, channels=("mailto #1", "slack #7"))
    await raised(world, *only_old, channels=("slack #7",))
    assert await bench.queue.fail_removed_channels(["mailto #1"]) == 8
    for picture in both:
        record = await world.alert(picture)
        assert record is not None
        assert [one.state for one in record.deliveries] == ["waiting", "failed"]
        assert record.undelivered
    assert (await bench.delivery(only_old[0])).error == "the channel is no longer in the settings"
    assert await bench.queue.fail_removed_channels(["mailto #1"]) == 0


async def test_concurrent_workers_do_not_overwrite_each_other(world: World) -> None:
    channels = [FakeChannel(name=f"slack #{number}") for number in range(4)]
    pictures = [image(number) for number in range(3)]
    await raised(world, *pictures, channels=tuple(channel.name for channel in channels))
    shared = Bench(world, channels[0]).queue
    benches = [Bench(world, channel) for channel in channels]
    for bench in benches:
        bench.worker._queue = shared
    await asyncio.gather(*(bench.deliver() for bench in benches))
    for picture in pictures:
        record = await world.alert(picture)
        assert record is not None
        assert {one.state for one in record.deliveries} == {"delivered"}
        assert not record.undelivered
