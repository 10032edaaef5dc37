"""The sweep processes what waits too long; a receipt that cannot be read is dead-lettered and its neighbours go on."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from astrolens.contracts.events import ImageSubmitted
from astrolens.contracts.records import Outcome
from astrolens.contracts.status import Books
from astrolens.ingestor.arrivals import Arrival
from astrolens.ingestor.backpressure import Backpressure
from astrolens.ingestor.handlers import SubmittedImages
from astrolens.ingestor.metrics import IngestMetrics
from astrolens.ingestor.observer import PrometheusObserver
from astrolens.ingestor.receipt_sweeper import ReceiptSweeper
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.runtime.periodic import PeriodicTask
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import original_key
from astrolens.platform.stores.leases import Lease
from astrolens.platform.telemetry.metrics import Metrics

from tests.unit.ingestor.ingestor_fakes import Ingest, arrival, ingest_at

DAMAGES: dict[str, tuple[Any, str]] = {
    "source": (..., "source: Field required"),
    "observation": ("no observation", "observation: Input should be"),
    "observation.survey": (7, "observation.survey: Input should be a valid string"),
    "received_at": (..., "received_at: Field required"),
    "received_at ": ("yesterday", "received_at: Input should be a valid datetime"),
    "size_bytes": ("large", "size_bytes: Input should be a valid integer"),
    "pending": (["nonsense"], "pending.0: Input should be"),
    "batch": (None, "batch: Input should be a valid string"),
}
"""A field, what it is replaced by (... where it is deleted), and what the reason says."""


def _damaged(one: Arrival, field: str) -> dict[str, Any]:
    document: dict[str, Any] = one.receipt.model_dump(mode="json")
    value = DAMAGES[field][0]
    *parents, last = field.strip().split(".")
    place = document
    for parent in parents:
        place = place[parent]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return document


async def _wait_for_sweep(ingest: Ingest, *arrivals: Arrival, damaged: dict[str, str] | None = None) -> None:
    """Arrivals whose originals and receipts are there, and whose event was lost; some receipts are damaged."""
    await ingest.images.put_many([(original_key(one.receipt.sha256 or ""), one.data, "x/y") for one in arrivals])
    documents = [
        _damaged(one, field) if (field := (damaged or {}).get(one.receipt.ref)) else one.receipt for one in arrivals
    ]
    await ingest.records.insert(Collection.RECEIPTS, documents)


async def _books(ingest: Ingest) -> Books:
    outcomes, states = await ingest.records.tallies([(Collection.RECEIPTS, "outcome"), (Collection.IMAGES, "state")])
    return Books.of(outcomes, states)


async def test_the_first_pass_takes_what_waited_at_the_start_and_later_ones_what_waits_too_long(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        old, young, late = (
            arrival(name.encode(), name, after_ms=ms) for name, ms in [("o", 0), ("y", 9000), ("l", 10000)]
        )
        await _wait_for_sweep(ingest, old)
        now = [young.receipt.received_at]
        sweeper = ReceiptSweeper(records=ingest.records, service=ingest.service, after_s=30, clock=lambda: now[0])
        await _wait_for_sweep(ingest, young, late)
        now[0] = late.receipt.received_at
        assert await sweeper.sweep() == 1, "what came after the start may still be processed by its event"
        now[0] = young.receipt.received_at + timedelta(seconds=30.5)
        assert await sweeper.sweep() == 1
        now[0] += timedelta(seconds=1)
        assert await sweeper.sweep() == 1
        assert await ingest.outcomes() == {"accepted": 3}


async def test_a_takeover_long_after_the_start_sweeps_all_that_waits_too_long(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        one = arrival(b"sky", "one")
        now = [one.receipt.received_at - timedelta(hours=1)]
        sweeper = ReceiptSweeper(records=ingest.records, service=ingest.service, after_s=30, clock=lambda: now[0])
        await _wait_for_sweep(ingest, one)
        now[0] += timedelta(hours=2)
        assert [await sweeper.sweep(), await sweeper.sweep()] == [0, 1]


async def test_a_start_sweeps_what_was_booked_before_the_clock_was_set_back(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        arrivals = [arrival(name.encode(), name, after_ms=ms) for name, ms in [("a", 0), ("b", 5000), ("c", 10**8)]]
        await _wait_for_sweep(ingest, *arrivals)
        now = arrivals[0].receipt.received_at - timedelta(hours=2)
        sweeper = ReceiptSweeper(records=ingest.records, service=ingest.service, after_s=3600, clock=lambda: now)
        assert await sweeper.sweep() == 3
        assert await ingest.outcomes() == {"accepted": 3}


async def test_a_clock_that_is_set_back_while_running_leaves_nothing_in_flight(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        one, two = arrival(b"one", "one"), arrival(b"two", "two", after_ms=1)
        now = [one.receipt.received_at]
        sweeper = ReceiptSweeper(records=ingest.records, service=ingest.service, after_s=3600, clock=lambda: now[0])
        assert await sweeper.sweep() == 0
        await _wait_for_sweep(ingest, one)
        now[0] -= timedelta(seconds=30)
        assert await sweeper.sweep() == 0, "clocks of instances differ by some seconds"
        now[0] -= timedelta(hours=1)
        await _wait_for_sweep(ingest, two)
        assert await sweeper.sweep() == 2


async def test_the_sweep_goes_through_all_pages(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        await _wait_for_sweep(ingest, *(arrival(f"sky {n}".encode(), f"{n}", after_ms=n) for n in range(150)))
        sweeper = ReceiptSweeper(records=ingest.records, service=ingest.service, after_s=0)
        assert await sweeper.sweep() == 150
        assert await ingest.outcomes() == {"accepted": 150}


async def test_of_two_ingestors_one_sweeps(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        passes = {"a": 0, "b": 0}
        both = [asyncio.Event(), asyncio.Event()]

        def task(name: str) -> PeriodicTask:
            async def sweep() -> None:
                passes[name] += 1

            lease = Lease(ingest.records, "ingestor:sweep", owner=name)
            return PeriodicTask("sweep", sweep, interval_s=0.005, condition=Condition(), lease=lease)

        first = asyncio.create_task(task("a").run(both[0]))
        async with asyncio.timeout(10):
            while passes["a"] < 2:
                await asyncio.sleep(0.005)
            second = asyncio.create_task(task("b").run(both[1]))
            while passes["a"] < 5:
                await asyncio.sleep(0.005)
            assert passes["b"] == 0
            both[0].set()
            await first
            while passes["b"] < 2:
                await asyncio.sleep(0.005)
            both[1].set()
            await second


@pytest.mark.parametrize("field", sorted(DAMAGES))
async def test_a_receipt_that_cannot_be_read_is_dead_lettered_and_its_neighbours_go_on(
    tmp_path: Path, field: str
) -> None:
    metrics = IngestMetrics(Metrics("ingestor"))
    async with ingest_at(tmp_path, observer=PrometheusObserver(metrics)) as ingest:
        before, bad, after = (arrival(name.encode(), name, after_ms=n) for n, name in enumerate(("one", "bad", "two")))
        await _wait_for_sweep(ingest, before, bad, after, damaged={"bad": field})
        sweeper = ReceiptSweeper(records=ingest.records, service=ingest.service, after_s=0)
        assert await sweeper.sweep() == 3
        assert await ingest.outcomes() == {"accepted": 2, "dead_lettered": 1}
        document = await ingest.receipt(bad.receipt.receipt_id)
        assert document["reason"]["code"] == "unreadable-record"
        assert DAMAGES[field][1] in document["reason"]["detail"]
        assert document["settled_at"] is not None
        assert await sweeper.sweep() == 0, "it is dead-lettered once"
        assert (await _books(ingest)).dead_lettered == 1
        assert (await _books(ingest)).in_flight == 2
    sample = metrics.shared.registry.get_sample_value
    assert sample("astrolens_refused_total", {"reason": "unreadable-record"}) == 1
    assert sample("astrolens_settled_total", {"stage": "ingest", "outcome": "dead_lettered"}) == 1


async def test_an_event_of_a_receipt_that_cannot_be_read_does_not_fail_its_batch(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        good, bad = arrival(b"good", "good"), arrival(b"bad", "bad")
        await _wait_for_sweep(ingest, good, bad, damaged={"bad": "source"})
        pressure = Backpressure(records=ingest.records, max_in_flight=100, check_interval_s=0.0)
        handler = SubmittedImages(records=ingest.records, service=ingest.service, backpressure=pressure)
        events = [ImageSubmitted.of(one.receipt.receipt_id, service="console") for one in (bad, good)]
        for _ in range(2):
            assert await handler.handle(events) == []
            assert await ingest.outcomes() == {"accepted": 1, "dead_lettered": 1}


@pytest.mark.parametrize("outcome", [None, 5, "lost"])
async def test_a_receipt_without_an_outcome_is_settled_when_its_event_comes(tmp_path: Path, outcome: Any) -> None:
    async with ingest_at(tmp_path) as ingest:
        one = arrival(b"sky", "one")
        document = {**one.receipt.model_dump(mode="json"), "outcome": outcome}
        await ingest.records.insert(Collection.RECEIPTS, [document])
        stored = await ingest.records.get(Collection.RECEIPTS, [one.receipt.receipt_id])
        assert await ingest.service.unsettled(stored) == []
        assert await ingest.outcomes() == {"dead_lettered": 1}
        assert "outcome: Input should be" in (await ingest.receipt(one.receipt.receipt_id))["reason"]["detail"]


async def test_a_settled_receipt_stays_as_it_is_whatever_is_wrong_with_it(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        one = arrival(b"sky", "one")
        document = {**_damaged(one, "source"), "outcome": Outcome.ACCEPTED.value}
        await ingest.records.insert(Collection.RECEIPTS, [document])
        assert await ingest.service.admit([one]) == {}
        assert await ingest.receipt(one.receipt.receipt_id) == document


async def test_a_source_that_yields_an_arrival_with_an_unreadable_receipt_settles_it(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        one, two = arrival(b"sky", "one"), arrival(b"more sky", "two")
        await ingest.records.insert(Collection.RECEIPTS, [_damaged(one, "batch")])
        assert await ingest.service.admit([one, two]) == {Outcome.ACCEPTED: 1}
        assert await ingest.outcomes() == {"accepted": 1, "dead_lettered": 1}
