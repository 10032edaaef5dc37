"""Images are linked to those that look alike and were there before, whichever ingestor inserted them."""

from pathlib import Path

import pytest
from astrolens.ingestor.arrivals import Arrival
from astrolens.ingestor.near_duplicates import MAX_LINKS
from astrolens.ingestor.receipt_sweeper import ReceiptSweeper
from astrolens.platform.errors import StoreUnavailable
from astrolens.platform.stores.collections import Collection

from tests.unit.ingestor.ingestor_fakes import Fuse, Ingest, arrival, ingest_at

LINKS_WRITE = 5
"""Originals, receipts, cutouts, images, links."""


def _alike(bits: int, ref: str, *, after_ms: int = 0) -> Arrival:
    """An arrival whose hash has these bits set."""
    return arrival(f"hash:{bits:016x}:{ref}".encode(), ref, after_ms=after_ms)


async def _links(ingest: Ingest, one: Arrival) -> list[tuple[str, int]]:
    [image] = (await ingest.records.get(Collection.IMAGES, [one.image_id])).values()
    return [(link["image_id"], link["distance"]) for link in image["near_duplicates"]]


async def test_an_image_is_linked_to_earlier_ones_of_its_own_batch_and_not_to_itself(tmp_path: Path) -> None:
    batch = [_alike(bits, f"{bits}", after_ms=bits) for bits in (0b0, 0b1, 0b111)]
    async with ingest_at(tmp_path, radius=2) as ingest:
        await ingest.service.admit(batch)
        assert await _links(ingest, batch[0]) == []
        assert await _links(ingest, batch[1]) == [(batch[0].image_id, 1)]
        assert await _links(ingest, batch[2]) == [(batch[1].image_id, 2)], "three bits from the first"


async def test_the_nearest_are_kept_and_the_older_first_among_equals(tmp_path: Path) -> None:
    far = [_alike(0b11 << 2 * n, f"far {n}") for n in range(12)]
    near = [_alike(1 << n, f"near {n}") for n in range(4)]
    async with ingest_at(tmp_path, radius=2) as ingest:
        for one in (*far, *near):
            await ingest.service.admit([one])
        last = _alike(0, "last")
        await ingest.service.admit([last])
        expected = [(one.image_id, 1) for one in near] + [(one.image_id, 2) for one in far]
        assert await _links(ingest, last) == expected[:MAX_LINKS]


async def test_later_ones_of_a_batch_do_not_crowd_out_earlier_ones(tmp_path: Path) -> None:
    first = _alike(0b11, "first")
    batch = [_alike(0, f"{n}", after_ms=n) for n in range(MAX_LINKS + 5)]
    async with ingest_at(tmp_path, radius=2) as ingest:
        await ingest.service.admit([first])
        await ingest.service.admit(batch)
        assert await _links(ingest, batch[0]) == [(first.image_id, 2)]
        assert await _links(ingest, batch[-1]) == [(one.image_id, 0) for one in batch[:MAX_LINKS]]


async def test_a_restart_needs_nothing_to_be_restored(tmp_path: Path) -> None:
    batch = [_alike(0b0, "one", after_ms=1), _alike(0b1, "two", after_ms=2)]
    async with ingest_at(tmp_path) as ingest:
        await ingest.service.admit(batch)
    async with ingest_at(tmp_path) as ingest:
        late = _alike(0b0, "late")
        await ingest.service.admit([late])
        assert await _links(ingest, late) == [(batch[0].image_id, 0), (batch[1].image_id, 1)]


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_crash_between_image_and_links_is_repaired_by_the_sweep(tmp_path: Path, moment: str) -> None:
    batch = [_alike(0b0, "one", after_ms=1), _alike(0b1, "two", after_ms=2)]
    async with ingest_at(tmp_path, fuse=Fuse(LINKS_WRITE, moment)) as ingest:
        with pytest.raises(StoreUnavailable):
            await ingest.service.admit(batch)
        assert await _links(ingest, batch[1]) == ([] if moment == "before" else [(batch[0].image_id, 1)])
    async with ingest_at(tmp_path) as ingest:
        await ReceiptSweeper(records=ingest.records, service=ingest.service, after_s=0).sweep()
        assert await _links(ingest, batch[0]) == []
        assert await _links(ingest, batch[1]) == [(batch[0].image_id, 1)]
        assert await ingest.outcomes() == {"accepted": 2}


async def test_without_alike_images_nothing_more_is_written(tmp_path: Path) -> None:
    fuse = Fuse()
    async with ingest_at(tmp_path, fuse=fuse, radius=2) as ingest:
        await ingest.service.admit([_alike(0, "one", after_ms=1), _alike(0xFF, "two", after_ms=2)])
        assert fuse.writes == LINKS_WRITE - 1 + 2, "settlements and release, but no links"
