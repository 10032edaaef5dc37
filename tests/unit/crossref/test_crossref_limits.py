"""How often a server is asked, and when a catalogue is believed."""

import asyncio
from datetime import datetime
from pathlib import Path

import pytest
from astrolens.contracts.base import utc_now
from astrolens.crossref.breaker import Breaker, BreakerState
from astrolens.crossref.client import statuses
from astrolens.crossref.failures import CatalogueFailed
from astrolens.crossref.limiter import SharedLimiter
from astrolens.platform.stores.sqlite.store import SqliteRecordStore

from tests.catalogues.services import FakeSimbad
from tests.unit.crossref.crossref_fakes import Clock, World, image


async def test_replicas_share_one_evenly_spaced_limit(tmp_path: Path) -> None:
    clock = Clock()
    stores = [SqliteRecordStore(tmp_path / "records.sqlite") for _ in range(3)]
    for store in stores:
        await store.open()
    turns: list[float] = []

    async def wait(seconds: float) -> None:
        if seconds > 0.05:  # the turn itself; shorter waits are between two tries to take one
            turns.append(clock.monotonic() + seconds)
        await asyncio.sleep(0)

    limiters = [SharedLimiter(store, "simbad", per_second=4.0, clock=clock, sleep=wait) for store in stores]
    await asyncio.gather(*(limiter.acquire(within_s=60) for limiter in limiters for _ in range(7)))
    for store in stores:
        await store.close()
    assert sorted(turns) == [pytest.approx(0.25 * number) for number in range(1, 21)]


async def test_a_turn_beyond_the_budget_is_not_taken_and_retry_after_holds_for_all(world: World) -> None:
    clock = world.clock
    one, other = [SharedLimiter(world.records, "h", per_second=1.0, clock=clock, sleep=clock.sleep) for _ in range(2)]
    await one.back_off(120)
    with pytest.raises(CatalogueFailed, match="in 120 s"):
        await other.acquire(within_s=10)
    clock.move(121)
    await other.acquire(within_s=10)
    clock.now = clock.now.replace(year=2020)  # the clock was set back
    await other.acquire(within_s=10)


def test_a_breaker_opens_tests_and_closes() -> None:
    clock = Clock()
    breaker = Breaker(clock=clock.monotonic)
    assert (breaker.state, breaker.needs_canaries) == (BreakerState.UNPROVEN, True)
    breaker.record_canaries_right()
    assert (breaker.state, breaker.needs_canaries) == (BreakerState.CLOSED, False)
    breaker.record_failure("one")
    assert breaker.state is BreakerState.CLOSED
    breaker.record_failure("two")
    assert (breaker.state, breaker.needs_canaries) == (BreakerState.OPEN, False)
    pauses = []
    for _ in range(8):
        pauses.append(breaker.retry_in_s)
        clock.move(breaker.retry_in_s + 0.01)
        assert (breaker.state, breaker.needs_canaries) == (BreakerState.HALF_OPEN, True)
        breaker.record_failure("again")
    assert 11 <= pauses[0] <= 15
    assert 450 <= pauses[-1] <= 600
    clock.move(700)
    assert breaker.record_canaries_right()
    clock.move(3601)
    assert breaker.needs_canaries, "canaries are asked hourly"


async def test_retry_after_is_obeyed(world: World, simbad: FakeSimbad) -> None:
    simbad.fault = "http-429"
    await world.analysed(image(1))
    await world.worker.run_pass()
    assert world.clients[0].breaker.state is BreakerState.OPEN
    asked = len(simbad.asked)
    simbad.fault = None
    await world.analysed(image(2, position=(151.0, 2.0)))
    await world.worker.run_pass()
    assert len(simbad.asked) == asked, "left alone"


async def test_an_open_breaker_costs_no_time(world: World, simbad: FakeSimbad) -> None:
    simbad.fault = "http-503"
    for number in range(30):
        await world.analysed(image(number, position=(150.0 + number, 2.0)))
        await world.worker.run_pass()
    assert sum(world.clock.waited) < 2
    assert len(world.events()) == 30


async def test_the_heartbeat_names_the_time_of_the_next_try(world: World) -> None:
    client = world.clients[0]
    assert statuses(world.clients)[client.name]["retry_at"] is None
    client.breaker.record_failure("no connection", at_once=True)
    told = statuses(world.clients)[client.name]
    assert (told["breaker"], told["reason"]) == ("open", "no connection")
    assert datetime.fromisoformat(str(told["retry_at"])) > utc_now()
