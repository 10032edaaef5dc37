"""`images.submitted` settles receipts, and skips what is settled."""

from pathlib import Path

from astrolens.contracts.events import ImageSubmitted
from astrolens.contracts.records import Outcome, Reason
from astrolens.ingestor.arrivals import Arrival
from astrolens.ingestor.backpressure import Backpressure
from astrolens.ingestor.handlers import SubmittedImages
from astrolens.platform.bus import Refusal
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import original_key
from astrolens.platform.stores.records import Change

from tests.unit.ingestor.ingestor_fakes import Ingest, arrival, by_url, ingest_at


def _event(one: Arrival) -> ImageSubmitted:
    return ImageSubmitted.of(one.receipt.receipt_id, service="console")


async def _submit(ingest: Ingest, *arrivals: Arrival) -> None:
    for one in arrivals:
        if one.data is not None:
            await ingest.images.put(original_key(one.receipt.sha256 or ""), one.data, media_type="x/y")
    await ingest.records.insert(Collection.RECEIPTS, [one.receipt for one in arrivals])


def _handler(ingest: Ingest, limit: int = 100) -> SubmittedImages:
    backpressure = Backpressure(records=ingest.records, max_in_flight=limit, check_interval_s=0.01)
    return SubmittedImages(
        records=ingest.records, service=ingest.service, backpressure=backpressure, backpressure_timeout_s=0.05
    )


async def test_receipts_are_settled_in_the_order_of_their_arrival(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        first, second = arrival(b"sky", "first", after_ms=1), arrival(b"sky", "second", after_ms=2)
        await _submit(ingest, first, second)
        assert await _handler(ingest).handle([_event(second), _event(first), _event(first)]) == []
        assert (await ingest.receipt(first.receipt.receipt_id))["outcome"] == "accepted"
        assert (await ingest.receipt(second.receipt.receipt_id))["outcome"] == "duplicate"
        assert await _handler(ingest).handle([_event(second), _event(first)]) == []
        assert ingest.decoder.decoded == 1


async def test_an_event_without_a_receipt_is_refused(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        known, unknown = arrival(b"sky", "known"), arrival(b"x", "unknown")
        await _submit(ingest, known)
        [refusal] = await _handler(ingest).handle([_event(unknown), _event(known)])
        assert (refusal.event, refusal.reason.code) == (_event_like(refusal, unknown), "receipt-unknown")
        assert await ingest.outcomes() == {"accepted": 1}
        await _handler(ingest).refused(refusal)


def _event_like(refusal: Refusal, one: Arrival) -> ImageSubmitted:
    assert isinstance(refusal.event, ImageSubmitted)
    assert refusal.event.receipt_id == one.receipt.receipt_id
    return refusal.event


async def test_a_dead_lettered_event_settles_its_receipt_once(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        one, two = arrival(b"sky", "one"), arrival(b"more sky", "two")
        await _submit(ingest, one, two)
        await _handler(ingest).handle([_event(two)])
        for each in (one, two):
            await _handler(ingest).refused(Refusal(_event(each), Reason(code="cursed", detail="It always fails.")))
        assert await ingest.outcomes() == {"accepted": 1, "dead_lettered": 1}
        assert (await ingest.receipt(one.receipt.receipt_id))["reason"]["code"] == "cursed"


async def test_a_settled_receipt_no_longer_announces_itself(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        one = arrival(b"sky", "one")
        event = _event(one).pending(topic="t", key="k")
        await _submit(ingest, Arrival(one.receipt.model_copy(update={"pending": (event,)}), one.data))
        await _handler(ingest).handle([_event(one)])
        assert await ingest.records.pending(Collection.RECEIPTS, limit=10) == []


async def test_a_url_is_fetched_from_where_the_observation_says(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        one = by_url("https://a/sky")
        named = one.receipt.model_copy(
            update={
                "ref": "my galaxy",
                "observation": one.receipt.observation.model_copy(update={"url": "https://a/b"}),
            }
        )
        ingest.fetcher.replies = {"https://a/b": b"sky"}
        await _submit(ingest, Arrival(named))
        await _handler(ingest).handle([_event(one)])
        assert await ingest.outcomes() == {"accepted": 1}


async def test_a_full_pipeline_slows_but_never_stops(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        arrivals = [arrival(f"sky {n}".encode(), f"{n}") for n in range(3)]
        await ingest.service.admit(arrivals[:2])
        await _submit(ingest, arrivals[2])
        assert await _handler(ingest, limit=2).handle([_event(arrivals[2])]) == []
        assert await ingest.outcomes() == {Outcome.ACCEPTED.value: 3}
        await ingest.records.apply(Collection.IMAGES, [Change(id=arrivals[0].image_id, set={"state": "analyzed"})])
