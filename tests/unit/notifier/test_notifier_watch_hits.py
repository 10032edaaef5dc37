"""Hits of watchlists go to the channels that the list names, once, and to nobody else."""

from astrolens.contracts.records import Delivery, ImageRecord
from astrolens.contracts.watchlists import WatchHit, watch_hit_id
from astrolens.notifier import message_text
from astrolens.notifier.message_text import AlertWithImage, HitWithImage
from astrolens.platform.stores.collections import Collection

from tests.unit.notifier.delivery_bench import Bench, raised
from tests.unit.notifier.notifier_fakes import EPOCH, FakeChannel, World, image


def hit(picture: ImageRecord, *channels: str, seen_before: bool = False) -> WatchHit:
    return WatchHit(
        hit_id=watch_hit_id("mine", "my @star", picture.image_id),
        watchlist="mine",
        place="my @star",
        image_id=picture.image_id,
        separation_arcsec=1.25,
        seen_before=seen_before,
        raised_at=EPOCH,
        deliveries=tuple(Delivery(channel=each) for each in channels),
        undelivered=bool(channels),
    )


async def stored(world: World, found: WatchHit) -> WatchHit:
    (document,) = (await world.records.get(Collection.WATCH_HITS, [found.hit_id])).values()
    return WatchHit.model_validate(document)


async def test_a_hit_is_told_once_to_its_channel_and_to_no_other(world: World) -> None:
    mine, others = Bench(world, FakeChannel()), Bench(world, FakeChannel("slack #1"))
    picture = image(1)
    await world.put(picture)
    found = hit(picture, "mailto #1")
    await world.records.insert(Collection.WATCH_HITS, [found])
    for bench in (mine, others, mine, others):
        await bench.deliver(after_s=10.0)
    ((title, body, *_),) = mine.channel.sent
    assert title == "On watchlist mine: my (at)star"
    assert "1.2 arcsec from my (at)star" in body
    assert body.endswith(f"/image/{picture.image_id}")
    assert others.channel.sent == []
    assert world.outbox.published == [], "no public topic hears of it"
    told = await stored(world, found)
    assert (told.deliveries[0].state, told.undelivered) == ("delivered", False)


async def test_a_failed_message_is_tried_again(world: World) -> None:
    bench = Bench(world, FakeChannel())
    picture = image(1)
    await world.put(picture)
    found = hit(picture, "mailto #1")
    await world.records.insert(Collection.WATCH_HITS, [found])
    bench.channel.error = "refused"
    await bench.deliver()
    assert ((await stored(world, found)).deliveries[0].attempts, bench.channel.sent) == (1, [])
    bench.channel.error = None
    await bench.deliver(after_s=60.0)
    assert len(bench.channel.sent) == 1


async def test_alerts_and_hits_share_rate_and_digest(world: World) -> None:
    bench = Bench(world, FakeChannel(), per_min=2)
    pictures = [image(number) for number in range(4)]
    await raised(world, *pictures[:2])
    await world.records.insert(Collection.WATCH_HITS, [hit(each, "mailto #1", seen_before=True) for each in pictures])
    await bench.deliver()
    assert [title for title, *_ in bench.channel.sent] == [
        "Strange: spiral in sdss (p = 0.0025)",
        "1 alert, 4 images on watchlists",
    ]
    await bench.deliver(after_s=120.0)
    assert len(bench.channel.sent) == 2


async def test_a_hit_for_a_channel_that_there_is_not_ends(world: World) -> None:
    bench = Bench(world, FakeChannel())
    found = hit(image(1), "nosuch #1")
    await world.records.insert(Collection.WATCH_HITS, [found])
    assert await bench.queue.fail_removed_channels(["mailto #1"]) == 1
    ended = await stored(world, found)
    assert (ended.deliveries[0].state, ended.undelivered) == ("failed", False)


async def test_the_message_of_an_image_of_before_says_so(world: World) -> None:
    picture = image(1)
    text = message_text.single(HitWithImage(hit(picture, seen_before=True), picture), console="http://c")
    assert "The image was there before the list." in text.body
    await raised(world, picture)
    alert = await world.alert(picture)
    assert alert is not None
    assert message_text.single(AlertWithImage(alert, picture), console="http://c").title.startswith("Strange")
