"""Of several ingestors one feeds from a source; another continues when it stops, dies, or loses its lease."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from astrolens.contracts.records import Observation
from astrolens.contracts.status import SourceStatus
from astrolens.ingestor.backpressure import Backpressure
from astrolens.ingestor.metrics import IngestMetrics
from astrolens.ingestor.observer import PrometheusObserver
from astrolens.ingestor.source_feeder import SourceFeeder
from astrolens.ingestor.source_lease import SourceLease
from astrolens.ingestor.sources.base import SourceCursor, SourceImage, SourceReport
from astrolens.platform.errors import StoreUnavailable
from astrolens.platform.retry import RetryPolicy
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.leases import LEASE_S, Lease
from astrolens.platform.telemetry.metrics import Metrics

from tests.unit.ingestor.ingestor_fakes import EPOCH, Ingest, ingest_at


class Sky:
    """The images of a survey: as many as were released so far."""

    def __init__(self) -> None:
        self.released = 0
        self._more = asyncio.Event()

    def release(self, images: int) -> None:
        self.released += images
        self._more.set()
        self._more = asyncio.Event()

    async def wait(self, number: int) -> None:
        while number >= self.released:
            await self._more.wait()


class Numbers:
    """Yields the images of the sky behind its cursor."""

    name = "numbers"
    batch = "b"

    def __init__(self, sky: Sky) -> None:
        self.sky = sky
        self.report = SourceReport()
        self.starts: list[int] = []

    def check(self) -> None:
        self.report.set("idle")

    async def images(self, cursor: SourceCursor | None) -> AsyncGenerator[SourceImage, None]:
        number = int((cursor or {}).get("next", 0))
        self.starts.append(number)
        self.report.set("running", f"from {number} on")
        while True:
            await self.sky.wait(number)
            yield SourceImage(str(number), Observation(), data=b"sky %d" % number, cursor={"next": number + 1})
            number += 1


class Cuttable:
    """A record store that one ingestor cannot reach while it is cut off."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.is_cut = False

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._inner, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            if self.is_cut:
                raise StoreUnavailable("cut off")
            return await verb(*args, **kwargs)

        return call


class Instance:
    """One ingestor with one source."""

    def __init__(self, name: str, ingest: Ingest, sky: Sky, clock: Callable[[], datetime]) -> None:
        self.records = Cuttable(ingest.records)
        ingest.service._records = self.records
        self.source = Numbers(sky)
        self.statuses: list[SourceStatus] = []
        self.lost: list[str] = []
        lease = Lease(self.records, "source:numbers", owner=name, clock=clock)
        self.feeder = SourceFeeder(
            source=self.source,
            service=ingest.service,
            records=self.records,  # type: ignore[arg-type]
            lease=SourceLease(lease, source="numbers", check_interval_s=0.01, clock=clock),
            backpressure=Backpressure(records=ingest.records, max_in_flight=10_000, check_interval_s=0.0),
            on_status=self.statuses.append,
            on_lease_lost=self.lost.append,
            clock=clock,
            retry_policy=RetryPolicy(initial_wait_s=0.02, max_wait_s=0.05),
            status_interval_s=0.01,
        )
        self.stopping = asyncio.Event()
        self.task = asyncio.create_task(self.feeder.run(self.stopping))

    async def stop(self) -> None:
        self.stopping.set()
        await asyncio.wait_for(self.task, 10)


class Pair:
    """Two ingestors on one store, with a clock that only the test moves."""

    def __init__(self, one: Ingest, other: Ingest) -> None:
        self.now = EPOCH
        self.sky = Sky()
        self.ingest = one
        self._other = other
        self._instances: list[Instance] = []

    def start(self) -> Instance:
        place = len(self._instances)
        ingest = (self.ingest, self._other)[place]
        self._instances.append(Instance(f"ingestor-{place}", ingest, self.sky, lambda: self.now))
        return self._instances[-1]

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(20):
            while not await condition():
                await asyncio.sleep(0.005)

    async def accepted(self, count: int) -> None:
        async def reached() -> bool:
            return (await self.ingest.outcomes()).get("accepted", 0) >= count

        await self.until(reached)

    async def status(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.ingest.records.get(Collection.SOURCES, ["numbers"])).get("numbers", {})
        return found

    async def assert_complete(self, count: int) -> None:
        """Nothing is missed and nothing is counted twice."""
        assert await self.ingest.outcomes() == {"accepted": count}
        receipts = await self.ingest.all(Collection.RECEIPTS)
        assert sorted(int(receipt["ref"]) for receipt in receipts) == list(range(count))
        assert len(await self.ingest.all(Collection.IMAGES)) == count

    async def end(self) -> None:
        for instance in self._instances:
            instance.records.is_cut = False
            await instance.stop()


@asynccontextmanager
async def _pair(home: Path) -> AsyncGenerator[Pair, None]:
    async with ingest_at(home) as one, ingest_at(home) as other:
        pair = Pair(one, other)
        try:
            yield pair
        finally:
            await pair.end()


async def _passes(pair: Pair, instance: Instance, count: int = 5) -> None:
    """Wait until an instance has tried for its lease a few times more."""
    seen = [0]
    acquire = instance.feeder._lease._lease.acquire

    async def counting() -> bool:
        held = await acquire()
        seen[0] += 1
        return held

    instance.feeder._lease._lease.acquire = counting  # type: ignore[method-assign]

    async def enough() -> bool:
        return seen[0] >= count

    await pair.until(enough)
    instance.feeder._lease._lease.acquire = acquire  # type: ignore[method-assign]


async def test_one_feeds_and_the_other_stands_by(tmp_path: Path) -> None:
    async with _pair(tmp_path) as pair:
        one = pair.start()
        pair.sky.release(10)
        await pair.accepted(10)
        other = pair.start()
        await _passes(pair, other)
        pair.sky.release(10)
        await pair.accepted(20)
        assert (one.source.starts, other.source.starts) == ([0], [])
        assert other.statuses == [], "who does not hold the lease shows nothing"
        assert (await pair.status())["state"] == "running"
        await pair.assert_complete(20)


async def test_who_stops_gives_the_source_to_the_other_at_once(tmp_path: Path) -> None:
    async with _pair(tmp_path) as pair:
        one = pair.start()
        pair.sky.release(7)
        await pair.accepted(7)
        other = pair.start()
        await one.stop()
        assert (await pair.status())["state"] in {"off", "running"}
        pair.sky.release(5)
        await pair.accepted(12)
        assert pair.now == EPOCH, "no lease had to end"
        assert other.source.starts == [7]
        await pair.assert_complete(12)

        async def running() -> bool:
            return (await pair.status())["detail"] == "from 7 on"

        await pair.until(running)


async def test_when_one_dies_the_other_continues_behind_its_cursor_after_the_lease(tmp_path: Path) -> None:
    async with _pair(tmp_path) as pair:
        one = pair.start()
        pair.sky.release(10)
        await pair.accepted(10)
        other = pair.start()
        one.records.is_cut = True
        pair.sky.release(10)
        pair.now += timedelta(seconds=LEASE_S - 1)
        await _passes(pair, other)
        assert other.source.starts == [], "the lease has not ended"
        pair.now += timedelta(seconds=2)
        await pair.accepted(20)
        assert len(other.source.starts) == 1
        assert 0 < other.source.starts[0] <= 10, "the cursor of its last batch may not have been written"
        await pair.assert_complete(20)


async def test_who_was_cut_off_stops_feeding_and_stands_by(tmp_path: Path) -> None:
    async with _pair(tmp_path) as pair:
        one = pair.start()
        pair.sky.release(10)
        await pair.accepted(10)
        other = pair.start()
        one.records.is_cut = True

        async def lost() -> bool:
            return one.lost == ["numbers"]

        pair.now += timedelta(seconds=LEASE_S * 2 / 3)
        await pair.until(lost)
        written = len(one.statuses)
        pair.now += timedelta(seconds=LEASE_S)
        pair.sky.release(10)
        await pair.accepted(20)
        one.records.is_cut = False
        await _passes(pair, one)
        pair.sky.release(10)
        await pair.accepted(30)
        assert len(one.statuses) == written
        assert one.source.starts[0] == 0
        assert max(one.source.starts) <= 10, "it fed no more after the other had taken over"
        assert (await pair.status())["detail"].startswith("from ")
        await pair.assert_complete(30)
        assert other.lost == []


async def _held() -> bool:
    """What an ingestor believes that has not noticed the end of its lease."""
    return True


async def test_both_feeding_for_a_while_count_nothing_twice(tmp_path: Path) -> None:
    """A lease is advice: an ingestor that stood still may feed beside its successor."""
    async with _pair(tmp_path) as pair:
        one = pair.start()
        pair.sky.release(40)
        await pair.accepted(40)
        one.feeder._lease._lease.acquire = _held  # type: ignore[method-assign]
        pair.now += timedelta(seconds=LEASE_S + 1)
        other = pair.start()

        async def feeding() -> bool:
            return other.source.starts != []

        await pair.until(feeding)
        pair.sky.release(60)
        await pair.accepted(100)
        await one.stop()
        await other.stop()
        await pair.assert_complete(100)


@pytest.mark.parametrize("state", ["running", "unreachable"])
def test_a_source_whose_lease_was_lost_is_in_no_state(state: str) -> None:
    metrics = IngestMetrics(Metrics("ingestor"))
    observer = PrometheusObserver(metrics)
    observer.source(SourceStatus(source="sdss", state=state, updated_at=EPOCH))  # type: ignore[arg-type]
    sample = metrics.shared.registry.get_sample_value
    assert sample("astrolens_source_state", {"source": "sdss", "state": state}) == 1
    observer.source_lease_lost("sdss")
    assert sample("astrolens_source_state", {"source": "sdss", "state": state}) == 0
