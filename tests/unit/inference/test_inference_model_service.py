from pathlib import Path

import pytest
from astrolens.inference.batcher import QueueFull
from astrolens.inference.engine import Engine, Item, Refused, Scored
from astrolens.inference.model_metrics import ModelMetrics
from astrolens.inference.model_service import ModelService, describe
from astrolens.inference.similarity.memory import SimilarityMemory
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.telemetry.metrics import Metrics
from astrolens.science.bundle import Bundle
from astrolens.science.scoring import Scorer

from tests.unit.inference.tiny_bundle import image_id, picture


class World:
    def __init__(self, bundle: Bundle, engine: Engine, folder: Path) -> None:
        self.condition = Condition()
        self.condition.phase = "running"
        self.metrics = Metrics("model-server")
        self.memory = SimilarityMemory(bundle=bundle, folder=folder)
        self.done = 0
        self.service = ModelService(
            engine=engine,
            memory=self.memory,
            description=describe(bundle, Scorer(bundle), "CPUExecutionProvider"),
            workers=2,
            metrics=ModelMetrics(self.metrics),
            condition=self.condition,
            on_done=self.count,
        )
        self.service.start()

    def count(self, images: int) -> None:
        self.done += images

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
async def world(tiny_bundle: Bundle, tiny_engine: Engine, tmp_path: Path):
    world = World(tiny_bundle, tiny_engine, tmp_path)
    yield world
    await world.service.close()


def items(*seeds: int) -> list[Item]:
    return [Item(image_id(seed), "sdss", picture(seed)) for seed in seeds]


async def test_what_is_answered_is_remembered_and_counted(world: World) -> None:
    outcomes = await world.service.analyze(
        [*items(1, 2), Item("", "sdss", picture(3)), Item(image_id(4), "sdss", b"x")]
    )
    assert [type(outcome) for outcome in outcomes] == [Scored, Scored, Scored, Refused]
    assert len(world.memory) == 2
    assert world.done == 4
    assert world.value("astrolens_settled_total", stage="model", outcome="done") == 3
    assert world.value("astrolens_settled_total", stage="model", outcome="rejected") == 1
    assert world.value("astrolens_batch_size_sum", stage="model") == 4


async def test_the_model_its_queue_and_its_refusals_are_told(world: World) -> None:
    digest = world.service.description.identity.digest[:16]
    collected = {family.name: family.samples for family in world.metrics.registry.collect()}
    (model,) = collected["astrolens_model"]
    assert model.labels["digest"] == digest
    assert world.value("astrolens_model_queued") == 0
    with pytest.raises(QueueFull):
        await world.service.analyze(items(*range(1025)))
    assert world.value("astrolens_model_queue_refusals_total") == 1
    await world.service.analyze(items(1, 2))
    assert world.value("astrolens_model_indexed") == 2


async def test_a_full_disk_costs_no_verdict_and_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> int:
        raise OSError(28, "No space left on device")

    remember = world.memory.remember
    monkeypatch.setattr(world.memory, "remember", full)
    assert isinstance((await world.service.analyze(items(1)))[0], Scored)
    assert world.condition.state == "degraded"
    assert "cannot be written: [Errno 28] No space left" in (world.condition.detail or "")
    monkeypatch.setattr(world.memory, "remember", remember)
    await world.service.analyze(items(2))
    assert world.condition.state == "running"
    assert image_id(1) not in world.memory
    assert image_id(2) in world.memory


async def test_nothing_is_remembered_after_the_end(world: World) -> None:
    await world.service.close()
    with pytest.raises(OSError, match="the similarity log is closed"):
        world.memory.remember([(image_id(1), bytes(12))])
