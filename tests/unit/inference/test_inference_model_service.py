import pytest
from astrolens.inference.batcher import QueueFull
from astrolens.inference.engine import Engine, Item, ItemError, ItemResult
from astrolens.inference.model_metrics import ModelMetrics
from astrolens.inference.model_service import ModelService, describe
from astrolens.inference.similarity.index import SimilarityIndex
from astrolens.inference.similarity.vector_index import VectorIndex
from astrolens.platform.telemetry.metrics import Metrics
from astrolens.science.bundle import Bundle
from astrolens.science.scoring import Scorer

from tests.unit.inference.tiny_bundle import image_id, picture


class World:
    def __init__(self, bundle: Bundle, engine: Engine) -> None:
        self.metrics = Metrics("model-server")
        self.index = SimilarityIndex(VectorIndex(bundle.centroids))
        self.done = 0
        self.service = ModelService(
            engine=engine,
            index=self.index,
            description=describe(bundle, Scorer(bundle), "CPUExecutionProvider"),
            workers=2,
            metrics=ModelMetrics(self.metrics),
            on_done=self.count,
        )
        self.service.start()

    def count(self, images: int) -> None:
        self.done += images

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
async def world(tiny_bundle: Bundle, tiny_engine: Engine):
    world = World(tiny_bundle, tiny_engine)
    yield world
    await world.service.close()


def items(*seeds: int) -> list[Item]:
    return [Item(image_id(seed), "sdss", picture(seed)) for seed in seeds]


async def test_what_is_answered_is_indexed_and_counted(world: World) -> None:
    outcomes = await world.service.analyze(
        [*items(1, 2), Item("", "sdss", picture(3)), Item(image_id(4), "sdss", b"x")]
    )
    assert [type(outcome) for outcome in outcomes] == [ItemResult, ItemResult, ItemResult, ItemError]
    assert len(world.index) == 2
    assert world.done == 4
    assert world.value("astrolens_settled_total", stage="model", outcome="done") == 3
    assert world.value("astrolens_settled_total", stage="model", outcome="rejected") == 1
    assert world.value("astrolens_batch_size_sum", stage="model") == 4


async def test_metrics_show_the_model_its_queue_and_its_refusals(world: World) -> None:
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


async def test_an_answered_image_is_similar_at_once_and_once(world: World) -> None:
    await world.service.analyze(items(1, 2, 3))
    await world.service.analyze(items(1, 4))
    found = await world.service.like_image(image_id(4), 10)
    assert sorted(image for image, _ in found) == [image_id(1), image_id(2), image_id(3)]
    assert world.value("astrolens_model_indexed") == 4
