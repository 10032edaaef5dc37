"""Periodic work: it comes again whatever a pass does, and it ends at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from astrolens.platform.errors import ConfigurationError, StoreUnavailable
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.runtime.periodic import PeriodicTask
from astrolens.platform.runtime.service import ServiceApp
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.sqlite.store import SqliteRecordStore

from tests.unit.platform.platform_fakes import settings

SOON_S = 0.001
NEVER_S = 3600.0


class Passes:
    """A pass that can be counted, made to fail, and waited for."""

    def __init__(self) -> None:
        self.count = 0
        self.failure: Exception | None = None
        self._came = asyncio.Condition()

    async def __call__(self) -> None:
        self.count += 1
        async with self._came:
            self._came.notify_all()
        if self.failure is not None:
            raise self.failure

    async def reach(self, count: int) -> None:
        async with asyncio.timeout(10), self._came:
            await self._came.wait_for(lambda: self.count >= count)


class FakeLease:
    """A lease that is free or not; remembers how often it was asked for."""

    renew_every_s = SOON_S

    def __init__(self, *, free: bool = True) -> None:
        self.free = free
        self.failure: Exception | None = None
        self.acquired = 0
        self.released = 0

    async def acquire(self) -> bool:
        self.acquired += 1
        if self.failure is not None:
            raise self.failure
        return self.free

    async def release(self) -> None:
        self.released += 1
        if self.failure is not None:
            raise self.failure


class FlakyHeartbeats(SqliteRecordStore):
    """A record store that takes no heartbeats until `failure` is None."""

    beats = 0
    failure: Exception | None = StoreUnavailable("locked")

    async def upsert(self, collection: Collection, documents: Sequence[Any]) -> None:
        self.beats += collection is Collection.SERVICES
        if self.failure is not None:
            raise self.failure
        await super().upsert(collection, documents)


@pytest.fixture
def passes() -> Passes:
    return Passes()


@pytest.fixture
def condition() -> Condition:
    return Condition()


@asynccontextmanager
async def running(
    work: Callable[[], Awaitable[object]], condition: Condition, **options: Any
) -> AsyncIterator[asyncio.Event]:
    task = PeriodicTask("sweep", work, condition=condition, **options)
    stopping = asyncio.Event()
    run = asyncio.create_task(task.run(stopping))
    with structlog.testing.capture_logs():
        yield stopping
        stopping.set()
        await asyncio.wait_for(run, 10)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(SOON_S)


async def test_the_first_pass_comes_at_once_and_the_next_after_the_interval(
    passes: Passes, condition: Condition
) -> None:
    async with running(passes, condition, interval_s=NEVER_S):
        await passes.reach(1)
        await asyncio.sleep(0.02)
        assert passes.count == 1
    async with running(passes, condition, interval_s=SOON_S):
        await passes.reach(5)
    assert condition.detail is None


async def test_a_pass_that_fails_is_an_issue_until_one_succeeds(passes: Passes, condition: Condition) -> None:
    passes.failure = StoreUnavailable("locked")
    async with running(passes, condition, interval_s=SOON_S, issue="arrivals wait"):
        await passes.reach(3)
        assert condition.detail == "arrivals wait: locked"
        assert condition.last_errors == ("arrivals wait: locked",), "once an outage"
        passes.failure = None
        await passes.reach(passes.count + 2)
        assert condition.detail is None


async def test_an_unexpected_exception_is_an_issue_too(passes: Passes, condition: Condition) -> None:
    passes.failure = ZeroDivisionError("division by zero")
    async with running(passes, condition, interval_s=SOON_S):
        await passes.reach(2)
        assert condition.detail == "sweep: ZeroDivisionError: division by zero"
        passes.failure = None
        await passes.reach(passes.count + 2)
        assert condition.detail is None


@pytest.mark.parametrize(
    ("failure", "traced"), [(StoreUnavailable("locked"), False), (ZeroDivisionError("division by zero"), True)]
)
async def test_a_failure_is_logged_once_and_with_its_trace_where_it_is_unexpected(
    passes: Passes, condition: Condition, failure: Exception, traced: bool
) -> None:
    passes.failure = failure
    task = PeriodicTask("sweep", passes, interval_s=SOON_S, condition=condition)
    with structlog.testing.capture_logs() as lines:
        assert await task.run_pass() is False
        assert await task.run_pass() is False
        passes.failure = None
        assert await task.run_pass() is True
    assert [line["event"] for line in lines] == ["periodic work failed", "periodic work succeeds again"]
    assert (lines[0]["exc_info"] is failure) is traced


async def test_after_a_failure_the_next_pass_does_not_wait_for_the_whole_interval(
    passes: Passes, condition: Condition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("astrolens.platform.runtime.periodic._RETRY_S", SOON_S)
    passes.failure = StoreUnavailable("locked")
    async with running(passes, condition, interval_s=NEVER_S):
        await passes.reach(3)


async def test_a_wrong_setting_ends_it(passes: Passes, condition: Condition) -> None:
    passes.failure = ConfigurationError("ASTROLENS_FOLDER_PATH is not set")
    task = PeriodicTask("sweep", passes, interval_s=SOON_S, condition=condition)
    with pytest.raises(ConfigurationError, match="FOLDER_PATH"):
        await asyncio.wait_for(task.run(asyncio.Event()), 10)
    assert passes.count == 1


async def test_a_wake_begins_the_next_pass_at_once(passes: Passes, condition: Condition) -> None:
    wake = asyncio.Event()
    async with running(passes, condition, interval_s=NEVER_S, wake=wake):
        await passes.reach(1)
        for count in (2, 3):
            wake.set()
            await passes.reach(count)
        assert passes.count == 3


async def test_a_wake_during_a_pass_begins_another_one(condition: Condition) -> None:
    wake, entered, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
    count = 0

    async def work() -> None:
        nonlocal count
        count += 1
        entered.set()
        await go_on.wait()

    async with running(work, condition, interval_s=NEVER_S, wake=wake):
        await entered.wait()
        wake.set()
        go_on.set()
        await until(lambda: count == 2)


async def test_a_wake_after_a_failure_waits_for_the_retry(
    passes: Passes, condition: Condition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("astrolens.platform.runtime.periodic._RETRY_S", 0.05)
    passes.failure = StoreUnavailable("locked")
    wake, began = asyncio.Event(), asyncio.get_running_loop().time()
    async with running(passes, condition, interval_s=NEVER_S, wake=wake):
        await passes.reach(1)
        wake.set()
        await passes.reach(2)
        assert asyncio.get_running_loop().time() - began >= 0.05
        wake.set()
        passes.failure = None
        await passes.reach(3)


async def test_at_a_fixed_rate_the_time_of_a_pass_is_part_of_the_interval(
    condition: Condition, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    clock = 1000.0

    async def sleep(_: asyncio.Event, seconds: float) -> bool:
        nonlocal clock
        slept.append(seconds)
        clock += max(seconds, 0.0)
        return False

    stopping = asyncio.Event()
    durations = [3.0, 0.0, 25.0, 1.0]

    async def work() -> None:
        nonlocal clock
        clock += durations.pop(0)
        if not durations:
            stopping.set()

    monkeypatch.setattr("astrolens.platform.runtime.periodic.sleep_unless", sleep)
    task = PeriodicTask("heartbeat", work, interval_s=10, condition=condition, fixed_rate=True)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: clock)
    try:
        await task.run(stopping)
    finally:
        monkeypatch.undo()
    assert slept == [7.0, 10.0, -15.0, 9.0], "one pass at once after a long one, and the missed ones are left out"


async def test_only_the_holder_of_the_lease_works(passes: Passes, condition: Condition) -> None:
    lease = FakeLease(free=False)
    async with running(passes, condition, interval_s=SOON_S, lease=lease):
        await until(lambda: lease.acquired >= 3)
        assert passes.count == 0
        assert condition.detail is None, "that another instance works is no issue"
        lease.free = True
        await passes.reach(2)
    assert lease.released == 1


async def test_the_lease_is_renewed_during_a_long_pass_and_between_passes(condition: Condition) -> None:
    lease, go_on = FakeLease(), asyncio.Event()

    async with running(go_on.wait, condition, interval_s=NEVER_S, lease=lease):
        await until(lambda: lease.acquired >= 3)
        go_on.set()
        before = lease.acquired
        await until(lambda: lease.acquired >= before + 3)
    assert lease.released == 1


async def test_a_lease_that_cannot_be_asked_for_is_an_issue(passes: Passes, condition: Condition) -> None:
    lease = FakeLease()
    lease.failure = StoreUnavailable("locked")
    async with running(passes, condition, interval_s=SOON_S, lease=lease):
        await until(lambda: lease.acquired >= 2)
        assert (passes.count, condition.detail) == (0, "sweep: locked")
        lease.failure = None
        await passes.reach(1)
        lease.failure = StoreUnavailable("locked again")
    assert lease.released == 1, "and one that cannot be released does not fail the end"


async def test_a_cancelled_pass_releases_its_lease(condition: Condition) -> None:
    lease, entered = FakeLease(), asyncio.Event()

    async def work() -> None:
        entered.set()
        await asyncio.Event().wait()

    task = PeriodicTask("sweep", work, interval_s=SOON_S, condition=condition, lease=lease)  # type: ignore[arg-type]
    run = asyncio.create_task(task.run(asyncio.Event()))
    await entered.wait()
    run.cancel()
    await asyncio.wait((run,), timeout=120)
    assert run.cancelled()
    assert lease.released == 1


@pytest.mark.parametrize("with_wake", [False, True])
async def test_a_stop_ends_the_wait_at_once(passes: Passes, condition: Condition, with_wake: bool) -> None:
    async with running(passes, condition, interval_s=NEVER_S, wake=asyncio.Event() if with_wake else None) as stopping:
        await passes.reach(1)
        stopping.set()
    assert passes.count == 1


async def test_nothing_runs_after_a_stop(passes: Passes, condition: Condition) -> None:
    stopping = asyncio.Event()
    stopping.set()
    await PeriodicTask("sweep", passes, interval_s=SOON_S, condition=condition).run(stopping)
    assert passes.count == 0


def build(home: Path) -> ServiceApp:
    return ServiceApp(settings(home), service="analyzer", with_bus=False)


async def test_a_service_runs_periodic_work_and_shows_what_fails(tmp_path: Path, passes: Passes) -> None:
    app = build(tmp_path)
    passes.failure = StoreUnavailable("locked")
    app.every("sweep", passes, interval_s=SOON_S, issue="arrivals wait")
    async with app.running():
        await passes.reach(2)
        assert (app.condition.state, app.condition.detail) == ("degraded", "arrivals wait: locked")
        passes.failure = None
        await passes.reach(passes.count + 2)
        assert app.condition.state == "running"


async def test_a_wrong_setting_in_periodic_work_ends_the_service(tmp_path: Path, passes: Passes) -> None:
    app = build(tmp_path)
    passes.failure = ConfigurationError("ASTROLENS_FOLDER_PATH is not set")
    app.every("sweep", passes, interval_s=SOON_S)
    assert await asyncio.wait_for(app.serve(), 10) == 2


async def test_a_heartbeat_that_cannot_be_written_is_an_issue_and_the_next_one_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("astrolens.platform.runtime.service.HEARTBEAT_INTERVAL_S", SOON_S)
    store = FlakyHeartbeats(tmp_path / "records.sqlite")
    app = ServiceApp(settings(tmp_path), service="analyzer", with_bus=False, records=store)
    async with app.running():
        await until(lambda: store.beats >= 2)
        assert app.condition.detail == "the heartbeat cannot be written: locked"
        store.failure = None
        await until(lambda: app.condition.detail is None)


async def test_of_two_processes_one_does_what_is_leased(tmp_path: Path, passes: Passes) -> None:
    first, second = build(tmp_path), build(tmp_path)
    assert first.owner != second.owner
    other = Passes()
    first.every("sweep", passes, interval_s=NEVER_S, lease=first.lease("sweep"))
    second.every("sweep", other, interval_s=SOON_S, lease=second.lease("sweep"))
    async with AsyncExitStack() as stack:
        async with first.running():
            await passes.reach(1)
            await stack.enter_async_context(second.running())
            await asyncio.sleep(0.02)
            assert other.count == 0
        await other.reach(1)
