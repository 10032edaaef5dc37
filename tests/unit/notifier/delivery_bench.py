"""A channel worker on real stores, with a fake channel and a timer that the test sets."""

from collections.abc import Sequence

from astrolens.contracts.records import Delivery, ImageRecord
from astrolens.notifier.channel_worker import ChannelWorker
from astrolens.notifier.delivery_queue import DeliveryQueue
from astrolens.platform.runtime.condition import Condition

from tests.unit.notifier.notifier_fakes import FakeChannel, World


class Bench:
    """A channel worker with a timer that the test sets."""

    def __init__(self, world: World, channel: FakeChannel, *, per_min: int = 6) -> None:
        self.world = world
        self.channel = channel
        self.now = 1000.0
        self.condition = Condition()
        self.condition.phase = "running"
        self.queue = DeliveryQueue(
            records=world.records, images=world.images, unreadable=world.unreadable, clock=world.clock
        )
        self.worker = ChannelWorker(
            channel=channel,
            queue=self.queue,
            per_min=per_min,
            console="http://localhost:8080",
            condition=self.condition,
            metrics=world.metrics,
            timer=lambda: self.now,
        )

    async def deliver(self, *, after_s: float = 0.0) -> None:
        self.now += after_s
        await self.worker.deliver()

    async def delivery(self, picture: ImageRecord) -> Delivery:
        record = await self.world.alert(picture)
        assert record is not None
        (found,) = record.deliveries
        assert record.undelivered == (found.state == "waiting")
        return found


async def raised(world: World, *pictures: ImageRecord, channels: Sequence[str] = ("mailto #1",)) -> None:
    await world.put(*pictures)
    await world.service(*channels).reconcile([picture.image_id for picture in pictures])
