"""Every arrival is settled once, whatever happens in between."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from astrolens.contracts import topics
from astrolens.contracts.events import ImageIngested
from astrolens.contracts.records import ImageRecord, Outcome
from astrolens.ingestor import service as service_module
from astrolens.ingestor.arrivals import Arrival
from astrolens.ingestor.receipt_sweeper import ReceiptSweeper
from astrolens.platform.errors import ModelUnavailable, PermanentError, StoreUnavailable, TransientError
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import cutout_key, original_key

from tests.unit.ingestor.ingestor_fakes import Fuse, Ingest, arrival, by_url, ingest_at

ARRIVALS = [
    arrival(b"hash:00000000ffffffff:one", "one", after_ms=1),
    arrival(b"hash:00000000fffffffc:alike", "alike", after_ms=2),
    arrival(b"hash:00000000ffffffff:one", "one again", after_ms=3),
    arrival(b"hash:123456789abcdef0:other", "other", after_ms=4),
    arrival(b"bad:truncated", "broken", after_ms=5),
    arrival(b"break:us", "our fault", after_ms=6),
]


async def test_an_accepted_image_has_its_record_its_cutout_and_its_event(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        one = arrival(b"sky", "one")
        assert await ingest.service.admit([one]) == {Outcome.ACCEPTED: 1}
        [document] = await ingest.all(Collection.IMAGES)
        record = ImageRecord.model_validate(document)
        assert record.receipt_id == one.receipt.receipt_id
        assert record.observation == one.receipt.observation
        assert record.pending == ()
        assert record.original.media_type == "image/png"
        assert await ingest.images.get(cutout_key(record.image_id)) == b"cutout of sky"
        assert await ingest.images.get(original_key(record.original.sha256)) == b"sky"
        [event] = ingest.outbox.published
        assert (event.topic, event.key) == (topics.IMAGES_INGESTED, record.image_id)
        assert ImageIngested.model_validate_json(event.payload).cutout_sha256 == record.cutout.sha256
        receipt = await ingest.receipt(one.receipt.receipt_id)
        assert (receipt["outcome"], receipt["image_id"]) == ("accepted", record.image_id)
        assert receipt["settled_at"] is not None


async def test_every_outcome_in_one_batch(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        await ingest.service.admit(ARRIVALS)
        assert await ingest.outcomes() == {"accepted": 3, "duplicate": 1, "rejected": 1, "dead_lettered": 1}
        broken = await ingest.receipt(ARRIVALS[4].receipt.receipt_id)
        assert broken["reason"] == {"code": "truncated", "detail": "It is not usable."}
        fault = await ingest.receipt(ARRIVALS[5].receipt.receipt_id)
        assert fault["reason"] == {"code": "decoder-failed", "detail": "RuntimeError: a fault of ours"}
        duplicate = await ingest.receipt(ARRIVALS[2].receipt.receipt_id)
        assert (duplicate["outcome"], duplicate["image_id"]) == ("duplicate", ARRIVALS[0].image_id)
        images = {image["image_id"]: image for image in await ingest.all(Collection.IMAGES)}
        assert images[ARRIVALS[1].image_id]["near_duplicates"] == [{"image_id": ARRIVALS[0].image_id, "distance": 2}]
        assert images[ARRIVALS[0].image_id]["near_duplicates"] == []
        assert ingest.decoder.decoded == 5


async def test_a_replayed_receipt_is_accepted_and_decoded_only_once(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        one = arrival(b"sky", "one")
        await ingest.service.admit([one])
        assert await ingest.service.admit([one]) == {}
        assert await ingest.service.process([one]) == {}
        assert await ingest.service.admit([arrival(b"sky", "two")]) == {Outcome.DUPLICATE: 1}
        assert ingest.decoder.decoded == 1
        assert await ingest.outcomes() == {"accepted": 1, "duplicate": 1}


async def test_the_same_bytes_in_two_batches_at_once_make_one_image(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        await asyncio.gather(*(ingest.service.admit([arrival(b"sky", f"{n}")]) for n in range(6)))
        assert await ingest.outcomes() == {"accepted": 1, "duplicate": 5}
        assert len(ingest.outbox.published) == 1


async def test_what_another_caller_has_in_hand_is_left_to_it(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        one = arrival(b"sky", "one")
        results = await asyncio.gather(*(ingest.service.admit([one]) for _ in range(4)))
        assert sorted(map(len, results)) == [0, 0, 0, 1]
        assert ingest.decoder.decoded == 1


async def test_a_lost_original_is_dead_lettered(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        one = arrival(b"sky", "one")
        await ingest.records.insert(Collection.RECEIPTS, [one.receipt])
        await ingest.service.process([Arrival(one.receipt)])
        assert (await ingest.receipt(one.receipt.receipt_id))["reason"]["code"] == "original-missing"


async def test_an_absent_sandbox_settles_nothing(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        ingest.decoder.error = ModelUnavailable("away")
        with pytest.raises(TransientError):
            await ingest.service.admit(ARRIVALS)
        assert await ingest.outcomes() == {"received": len(ARRIVALS)}
        ingest.decoder.error = None
        await ingest.service.admit(ARRIVALS)
        assert await ingest.outcomes() == {"accepted": 3, "duplicate": 1, "rejected": 1, "dead_lettered": 1}


async def test_a_permanent_error_keeps_its_own_reason(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        one = arrival(b"permanent:x", "one")
        await ingest.service.admit([one])
        assert (await ingest.receipt(one.receipt.receipt_id))["reason"] == {
            "code": "cursed",
            "detail": "It always fails.",
        }


async def test_urls_are_fetched_once_and_failures_are_told_apart(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        away = StoreUnavailable("no answer")
        ingest.fetcher.replies = {
            "https://a/sky": [away, b"sky"],
            "https://a/gone": PermanentError("http-404", "The server has no such page."),
            "https://a/down": away,
        }
        arrivals = [by_url(url) for url in ingest.fetcher.replies]
        await ingest.records.insert(Collection.RECEIPTS, [one.receipt for one in arrivals])
        await ingest.service.process(arrivals)
        receipts = {receipt["ref"]: receipt for receipt in await ingest.all(Collection.RECEIPTS)}
        assert receipts["https://a/sky"]["outcome"] == "accepted"
        assert receipts["https://a/sky"]["size_bytes"] == 3
        assert receipts["https://a/gone"]["outcome"] == "rejected"
        assert receipts["https://a/gone"]["reason"]["code"] == "http-404"
        assert receipts["https://a/down"]["outcome"] == "dead_lettered"
        assert receipts["https://a/down"]["reason"] == {"code": "unreachable", "detail": "After 3 attempts: no answer"}
        assert ingest.fetcher.asked.count("https://a/down") == 3


async def test_originals_are_in_memory_only_as_far_as_they_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "_MAX_BATCH_BYTES", 100)
    together: list[int] = []
    async with ingest_at(tmp_path) as ingest:
        arrivals = [arrival(bytes([n]) * size, f"{n}", after_ms=n) for n, size in enumerate([40, 50, 20, 300, 60, 40])]
        await ingest.images.put_many([(original_key(one.receipt.sha256 or ""), one.data, "") for one in arrivals])
        await ingest.records.insert(Collection.RECEIPTS, [one.receipt for one in arrivals])
        get_many = ingest.images.get_many

        async def counting(keys: Any) -> dict[str, bytes]:
            found = await get_many(keys)
            together.append(sum(map(len, found.values())))
            return found

        monkeypatch.setattr(ingest.images, "get_many", counting)
        await ingest.service.process([Arrival(one.receipt) for one in arrivals])
        assert together == [90, 20, 300, 100]
        assert await ingest.outcomes() == {"accepted": 6}


async def test_many_slow_urls_end_at_the_deadline_and_wait_for_the_sweep(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        arrivals = [by_url(f"https://a/{n}") for n in range(20)]

        async def never(url: str) -> Any:
            await asyncio.sleep(60)

        ingest.fetcher.get = never  # type: ignore[method-assign]
        ingest.service._downloader.deadline_s = 0.1
        await ingest.records.insert(Collection.RECEIPTS, [one.receipt for one in arrivals])
        assert await ingest.service.process(arrivals) == {}
        assert await ingest.outcomes() == {"received": 20}


async def _picture(ingest: Ingest) -> dict[str, Any]:
    """All that must be the same after any crash: everything but the times."""
    timeless = {"ingested_at", "offered_at", "settled_at", "received_at"}
    return {
        collection.value: sorted(
            ({key: value for key, value in document.items() if key not in timeless} for document in documents),
            key=str,
        )
        for collection in (Collection.RECEIPTS, Collection.IMAGES)
        for documents in [await ingest.all(collection)]
    }


async def _undisturbed(home: Path) -> tuple[dict[str, Any], set[str], int]:
    fuse = Fuse()
    async with ingest_at(home, fuse=fuse) as ingest:
        await ingest.service.admit(ARRIVALS)
        return await _picture(ingest), {event.event_id for event in ingest.outbox.published}, fuse.writes


WRITES = 7
"""Originals, receipts, cutouts, images, links, settlements, release: one bulk write each."""


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", range(1, WRITES + 1))
async def test_a_crash_at_any_write_is_repaired_by_doing_it_again(tmp_path: Path, step: int, moment: str) -> None:
    expected, events, writes = await _undisturbed(tmp_path / "undisturbed")
    assert writes == WRITES
    home = tmp_path / "crashed"
    published: set[str] = set()
    async with ingest_at(home, fuse=Fuse(step, moment)) as ingest:
        with pytest.raises(StoreUnavailable):
            await ingest.service.admit(ARRIVALS)
        published |= {event.event_id for event in ingest.outbox.published}
    async with ingest_at(home) as ingest:
        await ingest.outbox.relay()
        await ReceiptSweeper(records=ingest.records, service=ingest.service, after_s=0).sweep()
        await ingest.service.admit(ARRIVALS)
        assert await _picture(ingest) == expected
        assert published | {event.event_id for event in ingest.outbox.published} == events
        assert await ingest.records.pending(Collection.IMAGES, limit=10) == []


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", range(1, 7))
async def test_a_crash_while_fetching_never_makes_two_images_of_one_receipt(
    tmp_path: Path, step: int, moment: str
) -> None:
    one = by_url("https://a/sky")
    async with ingest_at(tmp_path, fuse=Fuse(step, moment)) as ingest:
        ingest.fetcher.replies = {"https://a/sky": b"first answer"}
        await ingest.records.insert(Collection.RECEIPTS, [one.receipt])
        with pytest.raises(StoreUnavailable):
            await ingest.service.process([one])
    async with ingest_at(tmp_path) as ingest:
        ingest.fetcher.replies = {"https://a/sky": b"another answer"}
        await ReceiptSweeper(records=ingest.records, service=ingest.service, after_s=0).sweep()
        assert len(await ingest.all(Collection.IMAGES)) == 1
        assert await ingest.outcomes() == {"accepted": 1}


async def test_an_image_whose_decoders_stalled_waits_alone_for_the_next_sweep(tmp_path: Path) -> None:
    """It is neither rejected nor does it hold up its neighbours."""
    async with ingest_at(tmp_path) as ingest:
        await ingest.service.admit([arrival(b"stall:", "frozen"), arrival(b"sky", "one")])
        assert await ingest.outcomes() == {"received": 1, "accepted": 1}
