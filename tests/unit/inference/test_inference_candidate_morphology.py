"""Which images are measured, once each, and what their records say."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from astrolens.contracts.morphology import Morphology, MorphologyQuality
from astrolens.contracts.records import ImageRecord
from astrolens.inference import candidate_morphology
from astrolens.inference.candidate_morphology import CandidateMorphology
from astrolens.inference.morphology_process import MeasurementStalled, MeasurementUnavailable
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, Order, Query

from tests.unit.inference.analyzer_world import NOW, World, event
from tests.unit.inference.tiny_bundle import image_id


class FakeMeasurement:
    """Measures everything as 0.5; raises what it is told to, for as many pictures."""

    def __init__(self) -> None:
        self.measured = 0
        self.errors: list[Exception] = []
        self.idle = 0

    async def measure(self, jpeg: bytes) -> Morphology:
        if self.errors:
            raise self.errors.pop(0)
        self.measured += 1
        return Morphology(
            method="statmorph", version=1, quality=MorphologyQuality.GOOD, asymmetry=len(jpeg) / 100, ring_score=0.5
        )

    async def close_if_idle(self) -> None:
        self.idle += 1


class Night(World):
    """A world whose candidates are measured."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.measurement = FakeMeasurement()
        self.morphology = CandidateMorphology(
            records=self.records, images=self.images, measurement=self.measurement, clock=lambda: self.now
        )

    async def analyze(self, *seeds: int, verdict: str = "anomaly", ago: timedelta = timedelta()) -> None:
        await self.analyzer.handle([event(seed) for seed in seeds])
        at = (self.now - ago).isoformat().replace("+00:00", "Z")
        values = {"verdict": verdict, "analyzed_at": at}
        await self.records.apply(Collection.IMAGES, [Change(id=image_id(seed), set=values) for seed in seeds])

    async def quality(self, seed: int) -> str | None:
        return ((await self.document(seed)).get("morphology") or {}).get("quality")


@pytest.fixture
async def night(tmp_path: Path) -> AsyncIterator[Night]:
    made = Night(tmp_path)
    await made.records.open()
    await made.images.open()
    yield made
    await made.images.close()
    await made.records.close()


async def test_candidates_are_measured_once_and_ordinary_images_never(night: Night) -> None:
    await night.ingest(1, 2, 3, 4)
    await night.analyze(1)
    await night.analyze(2, verdict="near_miss")
    await night.analyze(3, verdict="ordinary")
    assert await night.morphology.run_pass() == 2
    assert [await night.quality(seed) for seed in (1, 2, 3, 4)] == ["good", "good", None, None]
    assert await night.morphology.run_pass() == 0
    assert (night.measurement.measured, night.measurement.idle) == (2, 1)
    record = ImageRecord.model_validate(await night.document(1))
    assert record.morphology is not None
    assert record.morphology.measured_at == NOW
    assert record.state == "analyzed"


async def test_a_pass_is_bounded_and_the_newest_come_first(night: Night) -> None:
    seeds = range(1, 21)
    await night.ingest(*seeds)
    for seed in seeds:
        await night.analyze(seed, ago=timedelta(seconds=seed))
    assert await night.morphology.run_pass() == 16
    assert [await night.quality(seed) for seed in (1, 16, 17)] == ["good", "good", None]
    assert await night.morphology.run_pass() == 4


async def test_a_pass_that_lasts_long_leaves_the_rest_to_the_next(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidate_morphology, "_PASS_S", -1.0)
    await night.ingest(1, 2, 3)
    await night.analyze(1, 2, 3)
    assert [await night.morphology.run_pass() for _ in range(4)] == [1, 1, 1, 0]
    assert [await night.quality(seed) for seed in (1, 2, 3)] == ["good", "good", "good"]


async def test_what_comes_later_is_found_and_what_was_missed_within_the_hour(night: Night) -> None:
    assert await night.morphology.run_pass() == 0
    await night.ingest(1, 2)
    await night.analyze(1, ago=timedelta(minutes=4))
    await night.analyze(2, ago=timedelta(hours=3))
    assert await night.morphology.run_pass() == 1
    assert await night.morphology.run_pass() == 0
    night.now += timedelta(minutes=61)
    assert await night.morphology.run_pass() == 1


async def test_of_two_analyzers_one_writes(night: Night) -> None:
    await night.ingest(1)
    await night.analyze(1)
    other = CandidateMorphology(
        records=night.records, images=night.images, measurement=night.measurement, clock=lambda: NOW
    )
    waiting = await other._search.newest(16)
    assert await night.morphology.run_pass() == 1
    late = Morphology(method="none", version=1, quality=MorphologyQuality.FAILED)
    assert await other._record(waiting[0]["image_id"], late) == 0
    assert await night.quality(1) == "good"


async def test_a_missing_or_changed_cutout_is_recorded_with_its_reason_and_not_asked_for_again(night: Night) -> None:
    await night.ingest(1, 2, 3)
    await night.analyze(1, 2, 3)
    await night.images.delete([(await night.document(1))["cutout"]["key"]])
    await night.records.apply(Collection.IMAGES, [Change(id=image_id(2), set={"cutout.sha256": "other"})])
    assert await night.morphology.run_pass() == 3
    details = [(await night.document(seed))["morphology"]["detail"] for seed in (1, 2, 3)]
    assert "has no cutout" in details[0]
    assert "is not the one that was ingested" in details[1]
    assert details[2] is None
    assert await night.morphology.run_pass() == 0


async def test_a_stalled_measurement_is_tried_three_times_and_then_recorded(night: Night) -> None:
    await night.ingest(1)
    await night.analyze(1)
    night.measurement.errors = [MeasurementStalled("not done in 120 s")] * 3
    for _ in range(2):
        with pytest.raises(MeasurementStalled):
            await night.morphology.run_pass()
    assert await night.morphology.run_pass() == 1
    found = (await night.document(1))["morphology"]
    assert (found["quality"], found["detail"]) == ("failed", "3 attempts failed, the last: not done in 120 s")


async def test_where_nothing_measures_no_image_is_blamed(night: Night) -> None:
    await night.ingest(1)
    await night.analyze(1)
    night.measurement.errors = [MeasurementUnavailable("no process")] * 5
    for _ in range(5):
        with pytest.raises(MeasurementUnavailable):
            await night.morphology.run_pass()
    assert await night.quality(1) is None
    assert await night.morphology.run_pass() == 1


async def test_images_are_sorted_by_their_morphology(night: Night) -> None:
    for seed, size in ((1, 10), (2, 30), (3, 20)):
        await night.ingest(seed, cutout=b"x" * size)
    await night.ingest(4)
    await night.analyze(1, 2, 3)
    await night.analyze(4, verdict="ordinary")
    await night.morphology.run_pass()
    query = Query(order=Order("morphology.asymmetry", descending=True), fields=("image_id",))
    found = (await night.records.find(Collection.IMAGES, query)).documents
    assert [each["image_id"] for each in found] == [image_id(seed) for seed in (2, 3, 1)]
