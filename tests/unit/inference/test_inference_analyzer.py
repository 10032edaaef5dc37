from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from astrolens.contracts import topics
from astrolens.contracts.events import ImageAnalyzed, ImageIngested
from astrolens.contracts.ids import content_digest, event_id
from astrolens.contracts.records import CutoutInfo, ImageRecord, Observation, Original, PendingEvent, Reason
from astrolens.contracts.verdicts import Analysis, DetectorResult, Verdict
from astrolens.inference.analyzer import Analyzer
from astrolens.platform.errors import ModelUnavailable
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.folder.store import FolderImageStore
from astrolens.platform.stores.images import cutout_key
from astrolens.platform.stores.records import Change, Clause
from astrolens.platform.stores.sqlite.store import SqliteRecordStore
from astrolens.rpc.model_client import CutoutRequest

from tests.unit.inference.tiny_bundle import image_id

NOW = datetime(2026, 5, 1, 12, 0, 0, 250, tzinfo=UTC)


class FakeModel:
    """Calls everything an anomaly; refuses what starts with `bad`; away when told so."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.away = False
        self.digest = "m1"

    async def analyze(self, cutouts: Sequence[CutoutRequest]) -> list[Analysis | Reason]:
        self.asked.append([cutout.image_id for cutout in cutouts])
        if self.away:
            raise ModelUnavailable("away")
        return [
            Reason(code="cutout-undecodable", detail="broken")
            if cutout.jpeg.startswith(b"bad")
            else self.analysis(cutout)
            for cutout in cutouts
        ]

    def analysis(self, cutout: CutoutRequest) -> Analysis:
        return Analysis(
            model_name="tiny",
            model_digest=self.digest,
            preprocessing_digest="p",
            calibration_id="c",
            calibration_survey=cutout.survey,
            execution_provider="CPU",
            class_probabilities={"spiral": 1.0},
            predicted_class="spiral",
            detectors={"msp": DetectorResult(score=1.0, p_value=0.5)},
            p_value=0.001,
            verdict=Verdict.ANOMALY,
            embedding="",
            analyzed_at=NOW,
        )


class FakeOutbox:
    """Publishes into a list and clears, as the real one does; or dies before it."""

    def __init__(self, records: SqliteRecordStore) -> None:
        self.records = records
        self.published: list[PendingEvent] = []
        self.dies = False

    async def release(self, collection: Collection, documents: Any) -> None:
        if self.dies:
            raise RuntimeError("killed")
        for key, events in documents:
            self.published += events
            await self.records.apply(collection, [Change(id=key, pull_pending=[event.event_id for event in events])])


class World:
    def __init__(self, folder: Path) -> None:
        self.records = SqliteRecordStore(folder / "records.sqlite")
        self.images = FolderImageStore(folder / "images")
        self.model = FakeModel()
        self.outbox = FakeOutbox(self.records)
        self.now = NOW
        self.analyzer = Analyzer(
            records=self.records,
            images=self.images,
            model=self.model,
            outbox=self.outbox,
            clock=lambda: self.now,
        )

    async def ingest(self, *seeds: int, cutout: bytes = b"jpeg", stored: bytes | None = None, ago_s: float = 0) -> None:
        for seed in seeds:
            image = image_id(seed)
            key = cutout_key(image)
            if stored != b"":
                await self.images.put(key, stored or cutout, media_type="image/jpeg")
            then = NOW - timedelta(seconds=ago_s)
            record = ImageRecord(
                image_id=image,
                receipt_id=f"r{seed}",
                source="folder",
                batch="b",
                observation=Observation(survey="sdss"),
                original=Original(key="o", sha256="s", size_bytes=1, media_type="image/jpeg", width=8, height=8),
                cutout=CutoutInfo(key=key, sha256=content_digest(cutout), width=8, height=8, scale=1.0, stretch="none"),
                phash="0" * 16,
                ingested_at=then,
                offered_at=then,
            )
            await self.records.insert(Collection.IMAGES, [record])

    async def document(self, seed: int) -> dict[str, Any]:
        return (await self.records.get(Collection.IMAGES, [image_id(seed)]))[image_id(seed)]


@pytest.fixture
async def world(tmp_path: Path):
    world = World(tmp_path)
    await world.records.open()
    await world.images.open()
    yield world
    await world.images.close()
    await world.records.close()


def event(seed: int) -> ImageIngested:
    return ImageIngested(
        event_id=event_id(topics.IMAGES_INGESTED, image_id(seed)),
        producer="test",
        occurred_at=NOW,
        image_id=image_id(seed),
        survey="sdss",
        cutout_key=cutout_key(image_id(seed)),
        cutout_sha256="",
    )


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


async def test_waiting_images_are_offered_again_once(world: World) -> None:
    await world.ingest(*range(1, 601), ago_s=60)
    await world.ingest(700, ago_s=5)
    await world.ingest(800, ago_s=90)
    await world.analyzer.handle([event(800)])
    world.outbox.published.clear()
    assert await world.analyzer.redeliver_stale(older_than=NOW - timedelta(seconds=20)) == 600
    assert {fact.key for fact in world.outbox.published} == {image_id(seed) for seed in range(1, 601)}
    assert await world.analyzer.redeliver_stale(older_than=NOW - timedelta(seconds=20)) == 0
    document = await world.document(7)
    assert (document["offered_at"], document["pending"]) == ("2026-05-01T12:00:00.000250Z", [])
    offered = ImageIngested.model_validate_json(world.outbox.published[0].payload)
    assert await world.analyzer.handle([offered]) == []
    assert (await world.document(int(offered.image_id, 16)))["state"] == "analyzed"


async def test_an_offer_that_is_pending_is_left_to_the_relay(world: World) -> None:
    await world.ingest(1, ago_s=60)
    pending = event(1).pending(topic=topics.IMAGES_INGESTED, key=image_id(1))
    push = {"pending": [pending.model_dump(mode="json")]}
    await world.records.apply(Collection.IMAGES, [Change(id=image_id(1), push=push)])
    assert await world.analyzer.redeliver_stale(older_than=NOW) == 1
    assert world.outbox.published == []
    assert len((await world.document(1))["pending"]) == 1


async def test_an_offer_lost_before_its_publication_stays_pending(world: World) -> None:
    await world.ingest(1, ago_s=60)
    world.outbox.dies = True
    with pytest.raises(RuntimeError, match="killed"):
        await world.analyzer.redeliver_stale(older_than=NOW)
    assert [fact["topic"] for fact in (await world.document(1))["pending"]] == [topics.IMAGES_INGESTED]


async def test_the_limit_of_an_offer_is_kept_and_the_oldest_come_first(world: World) -> None:
    await world.ingest(1, ago_s=60)
    await world.ingest(2, ago_s=90)
    await world.ingest(3, ago_s=30)
    assert await world.analyzer.redeliver_stale(older_than=NOW, limit=2) == 2
    assert [fact.key for fact in world.outbox.published] == [image_id(2), image_id(1)]
