"""Several ingestors beside each other on one store: the same images, every receipt settled once, the books balance."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from astrolens.contracts.records import Outcome
from astrolens.contracts.status import Books
from astrolens.ingestor.arrivals import Arrival, Settlement
from astrolens.ingestor.observer import NullObserver
from astrolens.ingestor.ports import Fetched
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import original_key

from tests.unit.ingestor.ingestor_fakes import Ingest, arrival, by_url, ingest_at


class Counting(NullObserver):
    """Counts settlements by receipt."""

    def __init__(self) -> None:
        self.settlements: Counter[str] = Counter()

    def settled(self, settlements: Sequence[Settlement], now: datetime) -> None:
        self.settlements.update(one.arrival.receipt.receipt_id for one in settlements)


def _arrivals() -> list[Arrival]:
    """60 receipts: 36 images, 12 of them twice, 8 rejected and 4 that no decoder can handle."""
    images = [b"hash:%016x:%d" % (n // 2, n) for n in range(36)]
    bad = [b"bad:truncated" for _ in range(4)] + [b"bad:bomb-%d" % n for n in range(4)]
    contents = [*images, *images[:12], *bad, *(b"break:%d" % n for n in range(4))]
    return [arrival(data, f"{n}", after_ms=n) for n, data in enumerate(contents)]


async def _submit(ingest: Ingest, arrivals: Sequence[Arrival]) -> None:
    await ingest.images.put_many([(original_key(one.receipt.sha256 or ""), one.data, "x/y") for one in arrivals])
    await ingest.records.insert(Collection.RECEIPTS, [one.receipt for one in arrivals])


async def _books(ingest: Ingest) -> Books:
    outcomes, states = await ingest.records.tallies([(Collection.RECEIPTS, "outcome"), (Collection.IMAGES, "state")])
    return Books.of(outcomes, states)


@pytest.mark.parametrize("seed", range(3))
async def test_overlapping_receipts_in_two_ingestors_are_settled_once(tmp_path: Path, seed: int) -> None:
    arrivals = _arrivals()
    chosen = random.Random(seed)
    observer = Counting()
    async with (
        ingest_at(tmp_path, observer=observer, radius=2) as one,
        ingest_at(tmp_path, observer=observer, radius=2) as other,
    ):
        await _submit(one, arrivals)

        async def process(ingest: Ingest) -> None:
            mine = chosen.sample(arrivals, 50)
            for start in range(0, len(mine), 10):
                await ingest.service.process([Arrival(each.receipt) for each in mine[start : start + 10]])

        await asyncio.gather(process(one), process(other), process(other))
        await one.service.process([Arrival(each.receipt) for each in arrivals])
        assert await one.outcomes() == {"accepted": 36, "duplicate": 12, "rejected": 8, "dead_lettered": 4}
        assert observer.settlements == Counter(each.receipt.receipt_id for each in arrivals)
        images = {image["image_id"]: image for image in await one.all(Collection.IMAGES)}
        assert set(images) == {each.image_id for each in arrivals[:36]}
        receipts = await one.all(Collection.RECEIPTS)
        owners = {
            receipt["image_id"]: receipt["receipt_id"] for receipt in receipts if receipt["outcome"] == "accepted"
        }
        assert owners == {name: image["receipt_id"] for name, image in images.items()}
        published = [event.key for ingest in (one, other) for event in ingest.outbox.published]
        assert sorted(published) == sorted(images), "whoever inserted an image announces it, once"
        books = await _books(one)
        assert (books.received, books.in_flight) == (60, 36)
        links = {(name, link["image_id"]) for name, image in images.items() for link in image["near_duplicates"]}
        for n in range(0, 36, 2):
            a, b = arrivals[n].image_id, arrivals[n + 1].image_id
            assert {(a, b), (b, a)} & links, "at least one of two alike images links the other"
        assert not [name for name, link in links if name == link]


async def test_alike_images_that_two_ingestors_insert_at_once_are_linked(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as one, ingest_at(tmp_path) as other:
        for n in range(20):
            pair = [arrival(b"hash:%016x:%d" % (n * 0x10101, side), f"{n}-{side}") for side in range(2)]
            await asyncio.gather(one.service.admit(pair[:1]), other.service.admit(pair[1:]))
            found = await one.records.get(Collection.IMAGES, [each.image_id for each in pair])
            links = {name: {link["image_id"] for link in image["near_duplicates"]} for name, image in found.items()}
            first, second = (each.image_id for each in pair)
            assert second in links[first] or first in links[second]


async def test_a_url_that_two_ingestors_fetch_at_once_makes_one_image(tmp_path: Path) -> None:
    receipt = by_url("https://a/sky")
    async with ingest_at(tmp_path) as one, ingest_at(tmp_path) as other:
        await one.records.insert(Collection.RECEIPTS, [receipt.receipt])
        both = asyncio.Barrier(2)

        def answering(data: bytes) -> Any:
            async def get(url: str) -> Fetched:
                await both.wait()
                return Fetched(data=data, media_type="image/png", url=url)

            return get

        one.fetcher.get = answering(b"first answer")  # type: ignore[method-assign]
        other.fetcher.get = answering(b"another answer")  # type: ignore[method-assign]
        settled = await asyncio.gather(one.service.process([receipt]), other.service.process([receipt]))
        assert sum((Counter(each) for each in settled), Counter()) == Counter({Outcome.ACCEPTED: 1})
        [image] = await one.all(Collection.IMAGES)
        assert (await one.receipt(receipt.receipt.receipt_id))["sha256"] == image["original"]["sha256"]
        assert (await _books(one)).in_flight == 1
