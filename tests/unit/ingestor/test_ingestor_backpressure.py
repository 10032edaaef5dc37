"""Sources pause while enough images are on their way, or while the disk is nearly full."""

from pathlib import Path

from astrolens.contracts.records import Outcome
from astrolens.ingestor.backpressure import Backpressure, images_in_flight, images_to_analyze
from astrolens.platform.disk import DiskSpace
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change

from tests.unit.ingestor.ingestor_fakes import Ingest, arrival, ingest_at


async def _analyzed(ingest: Ingest, *images: str) -> None:
    await ingest.records.apply(Collection.IMAGES, [Change(id=image, set={"state": "analyzed"}) for image in images])


async def test_in_flight_is_what_came_in_and_did_not_end(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        arrivals = [arrival(f"sky {n}".encode(), f"{n}") for n in range(5)]
        await ingest.service.admit([*arrivals, arrival(b"bad:broken", "bad"), arrival(b"sky 0", "again")])
        await ingest.records.insert(Collection.RECEIPTS, [arrival(b"later", "later").receipt])
        assert await images_in_flight(ingest.records) == 6
        assert await images_to_analyze(ingest.records) == 5
        await _analyzed(ingest, arrivals[0].image_id, arrivals[1].image_id)
        assert await images_in_flight(ingest.records) == 4
        assert await images_to_analyze(ingest.records) == 3


async def test_the_gate_closes_at_the_limit_and_opens_again(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        backpressure = Backpressure(records=ingest.records, max_in_flight=2, check_interval_s=0.0)
        assert await backpressure.reason_to_pause() is None
        arrivals = [arrival(f"sky {n}".encode(), f"{n}") for n in range(2)]
        assert await ingest.service.admit(arrivals) == {Outcome.ACCEPTED: 2}
        reasons: list[str] = []
        assert not await backpressure.wait(timeout_s=0.05, on_pause=reasons.append)
        assert reasons[-1] == "2 images are on their way, the limit is 2"
        await _analyzed(ingest, arrivals[0].image_id)
        assert await backpressure.wait(timeout_s=5.0)


async def test_the_gate_closes_when_the_disk_is_nearly_full(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        free, times = [100.0], iter(range(100))
        backpressure = Backpressure(
            records=ingest.records,
            max_in_flight=10,
            disk=DiskSpace([tmp_path], min_free_mib=512, free_mib=lambda _: free[0], monotonic=lambda: next(times)),
            check_interval_s=0.0,
        )
        reason = await backpressure.reason_to_pause()
        assert reason is not None
        assert reason.startswith(f"the disk of {tmp_path} is nearly full: 100 MiB are free, 512 are wanted")
        free[0] = 600.0
        assert await backpressure.reason_to_pause() is None


async def test_looks_are_spaced(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        now, looks = [0.0], [0]

        async def count(_records: object) -> int:
            looks[0] += 1
            return 0

        backpressure = Backpressure(
            records=ingest.records, max_in_flight=1, count=count, check_interval_s=1.0, monotonic=lambda: now[0]
        )
        for _ in range(10):
            await backpressure.reason_to_pause()
        assert looks == [1]
        now[0] = 1.5
        await backpressure.reason_to_pause()
        assert looks == [2]
