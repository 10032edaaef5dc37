"""A candidate beside the bundle in use: what is compared, what is dropped, what a crash costs, what is refused."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from astrolens.contracts.models import ModelState, ShadowRecord
from astrolens.inference.engine import ItemResult
from astrolens.inference.model_metrics import ModelMetrics
from astrolens.inference.shadow import BUSY_ABOVE, MAX_QUEUED, ShadowRunner
from astrolens.inference.shadow_comparison import Judgement, compared, rank_correlation
from astrolens.platform.settings import load_settings
from astrolens.platform.signing import load_signer
from astrolens.platform.stores.collections import Collection
from astrolens.platform.telemetry.metrics import Metrics
from astrolens.science.bundle import MODEL, Bundle
from astrolens.usecases.model_promotion import ModelPromotions, record_settings_bundle
from astrolens.usecases.model_registry import ModelRegistry

from tests.behaviour.model_registry import PASSED
from tests.made_records import RecordingBus
from tests.unit.inference.survey_world import START, SurveyWorld
from tests.unit.inference.test_inference_model_swap import items
from tests.unit.inference.test_inference_second_pass import lenient, shifted, stricter, under_budget

WANTED = 40


class World:
    """A server with a lenient bundle, and a candidate that calls everything an anomaly."""

    def __init__(self, folder: Path, champion: Bundle | None = None) -> None:
        self.folder = folder
        self.stores = SurveyWorld(folder, champion or lenient(folder))
        self.settings = load_settings(home=folder / "home", shadow_images=WANTED, sources=("none",))
        self.waiting = 0
        self.metrics = ModelMetrics(Metrics("model-server"))
        self.registry = ModelRegistry(records=self.stores.records, images=self.stores.images)
        self.runner = self.new_runner()

    def new_runner(self) -> ShadowRunner:
        return ShadowRunner(
            records=self.stores.records,
            images=self.stores.images,
            settings=self.settings,
            metrics=self.metrics,
            serving=lambda: self.stores.model.bundle.digest,
            queued=lambda: self.waiting,
            clock=self.stores.clock,
        )

    def measured(self, name: str, **labels: str) -> float | None:
        """The value of a metric."""
        return self.metrics.shared.registry.get_sample_value(f"astrolens_{name}", labels)

    async def open(self) -> None:
        await self.stores.open()
        bundle = self.stores.model.bundle
        await self.registry.record_installed(digest=bundle.digest, name="tiny", version="0", created_at=START)
        await record_settings_bundle(self.stores.records, bundle.digest, at=START)

    async def publish(self, gates: dict[str, Any] | None = None, candidate: Bundle | None = None) -> str:
        bundle = candidate or stricter(self.folder)
        signer = load_signer(self.settings.model_signing_key, create=True)
        record = await self.registry.publish(
            bundle.path, signer=signer, created_by="run", gates=PASSED if gates is None else gates
        )
        return record.digest

    def analyze(self, *seeds: int) -> None:
        asked = items(*seeds)
        self.runner.submit(asked, self.stores.model.engine.analyze(asked))

    async def record(self, digest: str) -> ShadowRecord | None:
        document = (await self.stores.records.get(Collection.SHADOWS, [digest])).get(digest)
        return None if document is None else ShadowRecord.model_validate(document)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    await world.open()
    yield world
    world.runner.close()
    await world.stores.close()


async def test_a_candidate_whose_gates_passed_is_compared_on_the_stream(world: World) -> None:
    world.analyze(1)  # without a candidate nothing is kept
    digest = await world.publish()
    await world.runner.run_pass()
    state = await world.registry.get(digest)
    assert (state.state, state.history[-1].by) == (ModelState.SHADOW, "model-server")
    assert (world.measured("shadow_wanted"), world.measured("shadow_compared")) == (WANTED, 0)
    for first in range(0, WANTED + 8, 8):
        world.analyze(*range(first, first + 8))
        await world.runner.run_pass()
        if first == 0:
            assert world.measured("shadow_compared") == 8
            assert world.measured("shadow_different", change="newly-anomalous") == 8
    assert (world.measured("shadow_wanted"), world.measured("shadow_ended_total", outcome="finished")) == (0, 1)
    found = await world.record(digest)
    assert found is not None
    assert (found.images, found.replayed, found.dropped, found.failed) == (WANTED, 0, 0, 0)
    assert (found.newly_anomalous, found.no_longer_anomalous) == (WANTED, 0)
    assert (found.champion_anomalies, found.candidate_anomalies) == (0, WANTED)
    assert set(found.newly_anomalous_ids) == set(found.image_ids)
    assert found.finished_at is not None
    await world.runner.run_pass()
    assert await world.record(digest) == found, "it is compared once"


async def test_a_quiet_night_replays_the_archive(world: World) -> None:
    await world.stores.ingest(range(WANTED + 10), "sdss")
    before = await world.stores.documents(range(WANTED + 10))
    digest = await world.publish()
    for _ in range(4):
        await world.runner.run_pass()
    found = await world.record(digest)
    assert found is not None
    assert (found.images, found.replayed, found.newly_anomalous) == (WANTED, WANTED, WANTED)
    assert await world.stores.documents(range(WANTED + 10)) == before, "no verdict comes of it"


@pytest.mark.parametrize(
    ("live", "today", "anomalies"), [(True, 1.0, 0), (False, 1.0, 0), (False, None, WANTED)], ids=str
)
async def test_another_budget_is_no_change_of_the_model(
    tmp_path: Path, live: bool, today: float | None, anomalies: int
) -> None:
    """Two bundles of the same numbers differ in nothing, whatever budget the archive was judged under."""
    world = World(tmp_path, shifted(tmp_path / "first", 0.0, "1"))
    await world.open()
    stores = world.stores
    await under_budget(stores, 1.0, first=WANTED - 1)
    if not live:
        await stores.ingest(range(WANTED - 1), "sdss")
    if today is None:
        await stores.surveys.set_budget("sdss", None, user="vera")
    digest = await world.publish(candidate=shifted(tmp_path / "second", 0.0, "2"))
    await world.runner.run_pass()
    for first in range(0, WANTED, 8):
        if live:
            world.analyze(*range(first, first + 8))
        await world.runner.run_pass()
    found = await world.record(digest)
    assert found is not None
    assert found.finished_at is not None
    assert (found.replayed == WANTED) is not live
    assert (found.newly_anomalous, found.no_longer_anomalous) == (0, 0)
    assert (found.candidate_anomalies, found.champion_anomalies) == (anomalies, anomalies)
    world.runner.close()
    await stores.close()


async def test_what_comes_while_it_is_behind_or_busy_passes_by(world: World) -> None:
    digest = await world.publish()
    await world.runner.run_pass()
    world.waiting = BUSY_ABOVE + 1
    world.analyze(1, 2, 3)
    world.waiting = 0
    world.analyze(*range(10, 10 + MAX_QUEUED + 5))
    await world.runner.run_pass()
    found = await world.record(digest)
    assert found is not None
    assert found.dropped == 3 + 5


async def test_a_crash_keeps_what_was_compared(world: World) -> None:
    digest = await world.publish()
    await world.runner.run_pass()
    world.analyze(*range(16))
    await world.runner.run_pass()
    world.runner.close()
    world.runner = world.new_runner()
    await world.runner.run_pass()
    world.analyze(*range(8, 24))  # half of them are known
    await world.runner.run_pass()
    found = await world.record(digest)
    assert found is not None
    assert (found.images, len(set(found.image_ids)), found.newly_anomalous) == (24, 24, 24)


async def test_without_passed_gates_only_a_person_begins(world: World) -> None:
    digest = await world.publish(gates={})
    await world.runner.run_pass()
    assert await world.record(digest) is None
    request = ShadowRecord(
        digest=digest, champion_digest=world.stores.model.bundle.digest, wanted=8, began_at=START + timedelta(hours=1)
    )
    await world.stores.records.upsert(Collection.SHADOWS, [request])
    await world.runner.run_pass()
    world.analyze(*range(8))
    await world.runner.run_pass()
    found = await world.record(digest)
    assert found is not None
    assert (found.images, found.finished_at is not None) == (8, True)


async def test_a_damaged_candidate_is_not_compared_and_says_why(world: World) -> None:
    digest = await world.publish()
    graph = (await world.registry.get(digest)).files[MODEL].sha256
    (world.folder / "images" / "models" / graph[:2] / graph).write_bytes(b"damaged")
    await world.runner.run_pass()
    state = await world.registry.get(digest)
    assert state.state is ModelState.CANDIDATE
    assert "it cannot be compared: its file model.onnx cannot be had" in state.history[-1].why
    await world.runner.run_pass()
    assert await world.record(digest) is None, "it is not tried again and again"


async def test_a_promotion_ends_the_comparison(world: World) -> None:
    digest = await world.publish()
    await world.runner.run_pass()
    world.analyze(*range(8))
    await world.runner.run_pass()
    promotions = ModelPromotions(
        records=world.stores.records, registry=world.registry, releaser=RecordingBus(), service="test"
    )
    await promotions.promote(digest, by="vera", why="enough")
    await world.runner.run_pass()
    found = await world.record(digest)
    assert found is not None
    assert (found.images, found.finished_at is not None) == (8, True)


async def test_where_the_promoted_bundle_is_refused_the_one_that_serves_is_compared_with(world: World) -> None:
    digest = await world.publish()
    await world.runner.run_pass()
    promotions = ModelPromotions(
        records=world.stores.records, registry=world.registry, releaser=RecordingBus(), service="test"
    )
    junk = await world.publish(gates={}, candidate=shifted(world.folder / "junk", 5.0, "junk"))
    await promotions.promote(junk, by="vera", why="nobody knows that it cannot be loaded")
    await world.runner.run_pass()
    world.analyze(*range(8))
    await world.runner.run_pass()
    found = await world.record(digest)
    assert found is not None
    assert (found.champion_digest, found.images) == (world.stores.model.bundle.digest, 8)
    assert found.finished_at is None
    again = await world.publish(candidate=shifted(world.folder / "next", 6.0, "next"))
    await world.stores.records.delete(Collection.SHADOWS, [digest])
    await world.runner.run_pass()
    assert await world.record(again) is None, "by itself none begins while it is open which bundle will serve"


async def test_looking_on_costs_the_stream_no_wait(world: World) -> None:
    """`offer` never waits: it is called on the event loop, once a request."""
    await world.publish()
    await world.runner.run_pass()
    asked = items(*range(8))
    outcomes = world.stores.model.engine.analyze(asked)
    assert all(isinstance(outcome, ItemResult) for outcome in outcomes)
    assert not asyncio.iscoroutinefunction(world.runner.submit)
    for _ in range(1000):
        world.runner.submit(asked, outcomes)
    assert len(world.runner._live) == MAX_QUEUED


def test_correlation_and_lists_are_of_ranks() -> None:
    assert rank_correlation(tuple(range(9)), tuple(range(9))) is None
    assert rank_correlation(tuple(range(20)), (1.0,) * 20) is None
    assert rank_correlation(tuple(range(20)), tuple(each**3 for each in range(20))) == pytest.approx(1.0)
    assert rank_correlation(tuple(range(20)), tuple(-each for each in range(20))) == pytest.approx(-1.0)
    empty = ShadowRecord(digest="a", champion_digest="b", wanted=3, began_at=START)
    pairs = {
        "one": (Judgement(0.5, anomalous=False), Judgement(2.2, anomalous=True)),
        "two": (Judgement(2.5, anomalous=True), Judgement(0.1, anomalous=False)),
        "three": (Judgement(0.4, anomalous=False), Judgement(3.0, anomalous=True)),
        "four": (Judgement(0.4, anomalous=False), Judgement(9.0, anomalous=True)),
    }
    found = compared(empty, pairs, replayed=True)
    assert (found.images, found.replayed) == (3, 3)
    assert found.newly_anomalous_ids == ("three", "one")
    assert found.no_longer_anomalous_ids == ("two",)
    assert compared(found, pairs, replayed=False) == found
