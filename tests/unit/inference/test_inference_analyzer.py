from collections.abc import Sequence
from pathlib import Path

import pytest
from astrolens.contracts import examples, topics
from astrolens.contracts.events import ImageAnalyzed
from astrolens.contracts.records import ImageRecord, PendingEvent, Reason
from astrolens.contracts.verdicts import Analysis, CalibrationFit, Verdict
from astrolens.inference.analyzer import within_size
from astrolens.platform.errors import ModelUnavailable
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, Clause
from astrolens.rpc.model_client import CutoutRequest

from tests.unit.inference.analyzer_world import World, event
from tests.unit.inference.tiny_bundle import image_id


@pytest.fixture
async def world(tmp_path: Path):
    world = World(tmp_path)
    await world.records.open()
    await world.images.open()
    yield world
    await world.images.close()
    await world.records.close()


async def test_a_batch_is_analysed_written_and_published(world: World) -> None:
    await world.ingest(1, 2, 3)
    assert await world.analyzer.handle([event(1), event(2), event(3)]) == []
    document = await world.document(2)
    assert document["state"] == "analyzed"
    assert (document["verdict"], document["p_value"], document["predicted_class"]) == ("anomaly", 0.001, "spiral")
    assert document["analyzed_at"] == "2026-05-01T12:00:00.000250Z"
    assert ImageRecord.model_validate(document).analysis.model_digest == "m1"
    assert document["pending"] == []
    facts = [ImageAnalyzed.model_validate_json(fact.payload) for fact in world.outbox.published]
    assert [fact.image_id for fact in facts] == [image_id(1), image_id(2), image_id(3)]
    assert {fact.topic for fact in world.outbox.published} == {topics.IMAGES_ANALYZED}
    assert len({fact.event_id for fact in facts}) == 3


@pytest.mark.parametrize(
    ("side", "fit", "verdict"),
    [(47, "own", "ordinary"), (16, "pooled", "ordinary"), (48, "own", "anomaly"), (30, "survey-model", "anomaly")],
)
def test_a_picture_that_is_too_small_is_no_anomaly_unless_its_survey_was_learned(
    side: int, fit: CalibrationFit, verdict: str
) -> None:
    analysis = examples.analysis().model_copy(update={"calibration_fit": fit, "verdict": Verdict.ANOMALY})
    judged = within_size(analysis, {"width": 200, "height": side})
    assert (judged.verdict, judged.too_small) == (verdict, verdict == "ordinary")
    assert judged.rank_score == (0.0 if judged.too_small else analysis.rank_score), "it stands last in lists"
    assert judged.p_value == analysis.p_value


async def test_a_redelivered_event_costs_a_look(world: World) -> None:
    await world.ingest(1, 2)
    await world.analyzer.handle([event(1)])
    await world.analyzer.handle([event(1), event(1), event(2)])
    await world.analyzer.handle([event(1), event(2)])
    assert world.model.asked == [[image_id(1)], [image_id(2)]]
    assert len(world.outbox.published) == 2


async def test_what_was_written_but_not_published_is_published_at_redelivery(world: World) -> None:
    await world.ingest(1)
    release = world.outbox.release
    world.outbox.release = lambda *_: _nothing()
    await world.analyzer.handle([event(1)])
    assert [fact["topic"] for fact in (await world.document(1))["pending"]] == [topics.IMAGES_ANALYZED]
    world.outbox.release = release
    await world.analyzer.handle([event(1)])
    assert [fact.topic for fact in world.outbox.published] == [topics.IMAGES_ANALYZED]
    assert (await world.document(1))["pending"] == []
    assert len(world.model.asked) == 1


async def _nothing() -> None:
    return None


async def test_another_services_pending_events_are_left_to_it(world: World) -> None:
    await world.ingest(1)
    label = PendingEvent(event_id="l", topic=topics.LABELS_RECORDED, key=image_id(1), payload="{}")
    push = {"pending": [label.model_dump(mode="json")]}
    await world.records.apply(Collection.IMAGES, [Change(id=image_id(1), push=push)])
    await world.analyzer.handle([event(1)])
    await world.analyzer.handle([event(1)])
    assert [fact["event_id"] for fact in (await world.document(1))["pending"]] == ["l"]


async def test_whoever_writes_second_changes_and_publishes_nothing(world: World) -> None:
    await world.ingest(1)
    asked = world.model.analyze

    async def meanwhile(cutouts: Sequence[CutoutRequest]) -> list[Analysis | Reason]:
        world.model.analyze = asked
        await world.analyzer.handle([event(1)])
        world.model.digest = "m2"
        return await asked(cutouts)

    world.model.analyze = meanwhile
    await world.analyzer.handle([event(1)])
    assert (await world.document(1))["analysis"]["model_digest"] == "m1"
    assert len(world.outbox.published) == 1


async def test_an_away_model_leaves_everything_as_it_was(world: World) -> None:
    await world.ingest(1)
    world.model.away = True
    with pytest.raises(ModelUnavailable):
        await world.analyzer.handle([event(1)])
    assert (await world.document(1))["state"] == "ingested"
    world.model.away = False
    assert await world.analyzer.handle([event(1)]) == []
    assert (await world.document(1))["state"] == "analyzed"


async def test_what_can_never_be_analysed_is_refused_with_its_reason(world: World) -> None:
    await world.ingest(1)
    await world.ingest(2, cutout=b"bad jpeg")
    await world.ingest(3, stored=b"")
    await world.ingest(4, stored=b"other bytes")
    refusals = await world.analyzer.handle([event(seed) for seed in (1, 2, 3, 4, 5)])
    found = {refusal.event.image_id: refusal.reason.code for refusal in refusals}
    assert found == {
        image_id(2): "cutout-undecodable",
        image_id(3): "cutout-missing",
        image_id(4): "cutout-changed",
        image_id(5): "unknown-image",
    }
    for refusal in refusals:
        await world.analyzer.settle_refused(refusal)
    assert (await world.document(1))["state"] == "analyzed"
    document = await world.document(3)
    assert (document["state"], document["reason"]["code"]) == ("dead_lettered", "cutout-missing")
    assert await world.records.tally(Collection.IMAGES, "state") == {("analyzed",): 1, ("dead_lettered",): 3}
    # Coming again it is settled already.
    assert await world.analyzer.handle([event(3)]) == []


async def test_an_image_asked_for_again_is_analysed_again(world: World) -> None:
    await world.ingest(1)
    await world.analyzer.handle([event(1)])
    again = Change(id=image_id(1), set={"state": "ingested"}, when=(Clause("state", "ne", "ingested"),))
    await world.records.apply(Collection.IMAGES, [again])
    world.model.digest = "m2"
    await world.analyzer.handle([event(1)])
    document = await world.document(1)
    assert (document["state"], document["analysis"]["model_digest"]) == ("analyzed", "m2")
    assert len({fact.event_id for fact in world.outbox.published}) == 2
