"""Candidates whose event was lost are found, once."""

import asyncio
from datetime import timedelta

import pytest
from astrolens.contracts.verdicts import Verdict
from astrolens.crossref import sweep
from astrolens.crossref.sweep import Sweep
from astrolens.platform.stores.collections import Collection

from tests.unit.crossref.crossref_fakes import EPOCH, World, image


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "PAUSE_S", 0.0)
    monkeypatch.setattr(sweep, "PAGE", 2)
    monkeypatch.setattr(sweep, "MAX_DOCUMENTS", 2)


async def test_lost_candidates_are_found_over_several_passes_and_a_restart(world: World) -> None:
    pictures = [
        image(number, position=None, verdict=verdict, analyzed_at=EPOCH + timedelta(seconds=number))
        for number, verdict in enumerate([Verdict.ANOMALY] * 5 + [Verdict.NEAR_MISS] * 3 + [Verdict.ORDINARY])
    ]
    await world.records.upsert(Collection.IMAGES, pictures)
    world.clock.move(60)
    passes = 0
    unfinished = asyncio.Event()
    unfinished.set()
    while unfinished.is_set():
        unfinished.clear()
        again = Sweep(
            records=world.records,
            candidates=world.candidates,
            objects=world.objects,
            stopping=asyncio.Event(),
            unfinished=unfinished,
            clock=world.clock,
        )
        await again.run_pass()
        passes += 1
    assert passes == 3
    assert {event.image_id for event in world.events()} == {picture.image_id for picture in pictures[:-1]}
    await again.run_pass()
    assert len(world.events()) == 8


async def test_an_archive_of_before_is_left_alone(world: World) -> None:
    old = image(1, position=None, analyzed_at=EPOCH - timedelta(days=2))
    await world.records.upsert(Collection.IMAGES, [old])
    await Sweep(
        records=world.records,
        candidates=world.candidates,
        objects=world.objects,
        stopping=asyncio.Event(),
        unfinished=asyncio.Event(),
        clock=world.clock,
    ).run_pass()
    assert world.events() == []


async def test_a_place_whose_event_was_lost_is_found_long_after_the_analysis(world: World) -> None:
    pictures = [image(number, position=None) for number in range(5)]
    await world.analysed(*pictures)
    world.clock.move(30 * 86_400)
    await world.records.upsert(Collection.IMAGES, [image(4), image(3, observed_at=EPOCH, position=None)])
    for _ in range(4):
        await Sweep(
            records=world.records,
            candidates=world.candidates,
            objects=world.objects,
            stopping=asyncio.Event(),
            unfinished=asyncio.Event(),
            clock=world.clock,
        ).run_pass()
    assert (await world.record(pictures[4])).next_try_at == world.clock.now
    assert (await world.record(pictures[3])).observed_at == EPOCH
    assert (await world.record(pictures[0])).next_try_at is None
    assert await world.worker.run_pass() == 2
    assert world.events()[-1].image_id in {pictures[3].image_id, pictures[4].image_id}
