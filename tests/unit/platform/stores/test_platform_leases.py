"""Leases: of several owners one holds, until it releases, or stops renewing."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from astrolens.platform.errors import StoreUnavailable
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.leases import Lease

from tests.unit.platform.platform_fakes import FlakyRecords


class Clock:
    now = datetime(2026, 11, 22, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Records(FlakyRecords):
    before_apply: Callable[[], Awaitable[None]] | None = None

    async def apply(self, collection: Collection, changes: Sequence[Any]) -> set[str]:
        if (hook := self.before_apply) is not None:
            self.before_apply = None
            await hook()
        return await super().apply(collection, changes)


class Leases:
    """Leases on one store under one clock."""

    def __init__(self, store: Records) -> None:
        self.store = store
        self.clock = Clock()

    def lease(self, owner: str, name: str = "source:sdss") -> Lease:
        return Lease(self.store, name, owner=owner, lasts_s=30, clock=self.clock)


@pytest.fixture
async def leases(tmp_path: Path) -> AsyncIterator[Leases]:
    store = Records(tmp_path / "records.sqlite")
    await store.open()
    yield Leases(store)
    await store.close()


async def test_the_first_takes_it_and_the_second_is_refused(leases: Leases) -> None:
    assert await leases.lease("a").acquire() is True
    assert await leases.lease("b").acquire() is False
    assert await leases.lease("b", "source:folder").acquire() is True


async def test_its_owner_renews_it_as_long_as_it_likes(leases: Leases) -> None:
    mine, other = leases.lease("a"), leases.lease("b")
    assert await mine.acquire()
    for _ in range(5):
        leases.clock.advance(20)
        assert await mine.acquire() is True
        assert await other.acquire() is False


async def test_another_takes_over_after_its_end_and_not_before(leases: Leases) -> None:
    mine, other = leases.lease("a"), leases.lease("b")
    assert await mine.acquire()
    leases.clock.advance(30)
    assert await other.acquire() is False, "the end itself still belongs to the owner"
    leases.clock.advance(0.001)
    assert await other.acquire() is True
    assert await mine.acquire() is False, "the first owner has lost it"


async def test_an_owner_that_is_late_renews_what_nobody_took(leases: Leases) -> None:
    mine = leases.lease("a")
    assert await mine.acquire()
    leases.clock.advance(3600)
    assert await mine.acquire() is True


async def test_a_released_lease_can_be_taken_at_once(leases: Leases) -> None:
    mine, other = leases.lease("a"), leases.lease("b")
    assert await mine.acquire()
    await mine.release()
    assert await other.acquire() is True


async def test_releasing_what_another_holds_does_nothing(leases: Leases) -> None:
    mine, other = leases.lease("a"), leases.lease("b")
    await other.release()
    assert await mine.acquire()
    await other.release()
    assert await other.acquire() is False


async def test_of_two_that_take_over_at_once_one_succeeds(leases: Leases) -> None:
    assert await leases.lease("a").acquire()
    leases.clock.advance(31)
    faster = leases.lease("c")

    async def overtake() -> None:
        assert await faster.acquire() is True

    # Between what the slower one reads and what it writes, another takes the lease over.
    leases.store.before_apply = overtake
    assert await leases.lease("b").acquire() is False


async def test_nobody_can_tell_while_the_store_is_unreachable(leases: Leases) -> None:
    mine = leases.lease("a")
    assert await mine.acquire()
    leases.store.failures = 1
    with pytest.raises(StoreUnavailable):
        await mine.acquire()
    assert await mine.acquire() is True


def test_two_renewals_may_fail_before_it_ends(leases: Leases) -> None:
    assert leases.lease("a").renew_every_s == 10


async def test_a_lease_taken_before_the_clock_was_set_back_holds_nobody_up(leases: Leases) -> None:
    assert await leases.lease("a").acquire() is True
    leases.clock.advance(-45)
    assert await leases.lease("b").acquire() is False, "clocks of instances differ by some seconds"
    leases.clock.advance(-3600)
    assert await leases.lease("b").acquire() is True
    assert await leases.lease("a").acquire() is False
