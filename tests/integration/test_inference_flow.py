"""Analyzer and model server on a real Kafka protocol, with real stores."""

import asyncio
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from astrolens.contracts import topics
from astrolens.contracts.base import utc_now
from astrolens.contracts.events import ImageAnalyzed, ImageIngested
from astrolens.contracts.ids import content_digest, event_id
from astrolens.contracts.records import CutoutInfo, ImageRecord, Observation, Original
from astrolens.contracts.survey_models import SurveyState
from astrolens.inference import analyzer_main, model_server
from astrolens.inference.similarity.snapshot_task import SnapshotTask
from astrolens.inference.survey_models import fitting
from astrolens.local.broker import EmbeddedBroker
from astrolens.platform.runtime.service import ServiceApp
from astrolens.platform.settings import Settings, load_settings
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import cutout_key
from astrolens.platform.stores.open import image_store, record_store
from astrolens.platform.stores.records import Clause, Page, Query
from astrolens.rpc.model_client import ModelClient
from astrolens.science.density import DensityEntry
from astrolens.usecases.survey_models import read_survey_models
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from tests.unit.inference.tiny_bundle import image_id, picture, write_tiny_bundle


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    write_tiny_bundle(tmp_path / "bundle")
    with EmbeddedBroker() as broker:
        yield load_settings(
            home=tmp_path / "home",
            bundle=tmp_path / "bundle",
            events_url=broker.url,
            inference_address=f"127.0.0.1:{free_port()}",
            model_server_port=free_port(),
            analyzer_port=free_port(),
            redeliver_after_s=20.0,
            log_level="ERROR",
        )


async def ingest(
    settings: Settings,
    *,
    count: int,
    damaged: frozenset[int],
    announced: bool,
    survey: str = "simulated-lsst",
) -> None:
    """What an ingestor leaves behind that dies before it publishes, or whose broker forgot what it published."""
    settings.home.mkdir(parents=True, exist_ok=True)
    records, images = record_store(settings.records_url), image_store(settings.images_url)
    await records.open()
    await images.open()
    made = []
    for seed in range(count):
        jpeg = b"no picture" if seed in damaged else picture(seed)
        image, key = image_id(seed), cutout_key(image_id(seed))
        await images.put(key, jpeg, media_type="image/jpeg")
        then = utc_now() - timedelta(seconds=1)
        event = ImageIngested(
            event_id=event_id(topics.IMAGES_INGESTED, image),
            producer="test",
            occurred_at=then,
            image_id=image,
            survey=survey,
            cutout_key=key,
            cutout_sha256=content_digest(jpeg),
        )
        made.append(
            ImageRecord(
                image_id=image,
                receipt_id=f"r{seed}",
                source="folder",
                batch="b",
                observation=Observation(survey=survey),
                original=Original(key="o", sha256="s", size_bytes=1, media_type="image/jpeg", width=48, height=48),
                cutout=CutoutInfo(key=key, sha256=content_digest(jpeg), width=48, height=48, scale=1.0, stretch="none"),
                phash=content_digest(f"picture {seed}".encode())[:16],
                ingested_at=then,
                offered_at=then,
                pending=() if announced else (event.pending(topic=topics.IMAGES_INGESTED, key=image),),
            )
        )
    await records.insert(Collection.IMAGES, made)
    await images.close()
    await records.close()


async def settled(app: ServiceApp, *, analyzed: int, dead_lettered: int) -> None:
    expected = {("analyzed",): analyzed, ("dead_lettered",): dead_lettered}
    async with asyncio.timeout(60):
        while {key: n for key, n in (await app.records.tally(Collection.IMAGES, "state")).items() if n} != {
            key: n for key, n in expected.items() if n
        }:
            await asyncio.sleep(0.05)


def published(settings: Settings) -> list[ImageAnalyzed]:
    """All `images.analyzed`, read by a client that knows nothing of ours."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.bootstrap_servers[0],
            "group.id": "stranger",
            "auto.offset.reset": "earliest",
        }
    )
    partitions = consumer.list_topics(topics.IMAGES_ANALYZED, timeout=120).topics[topics.IMAGES_ANALYZED].partitions
    # Assigned by hand: joining a group would only add seconds.
    consumer.assign([TopicPartition(topics.IMAGES_ANALYZED, number, OFFSET_BEGINNING) for number in partitions])
    found: list[ImageAnalyzed] = []
    silent = 0
    while silent < 10:
        message = consumer.poll(0.3)
        if message is None or message.error():
            silent += 1
            continue
        found.append(ImageAnalyzed.model_validate_json(message.value()))
    consumer.close()
    return found


@pytest.mark.parametrize("announced", [False, True])
async def test_what_waits_is_analysed_published_and_settled(settings: Settings, announced: bool) -> None:
    await ingest(settings, count=150, damaged=frozenset({3, 77}), announced=announced)
    async with model_server.create_app(settings).running(), analyzer_main.create_app(settings).running() as app:
        await settled(app, analyzed=148, dead_lettered=2)
        async with asyncio.timeout(30):
            while await app.records.pending(Collection.IMAGES, limit=1):
                await asyncio.sleep(0.05)
        document = (await app.records.get(Collection.IMAGES, [image_id(3)]))[image_id(3)]
        assert document["reason"]["code"] == "cutout-undecodable"
        letters = await app.records.find(Collection.DEAD_LETTERS, Query(where=(Clause("state", "eq", "open"),)))
        assert {letter["error_type"] for letter in letters.documents} == {"cutout-undecodable"}
        facts = await asyncio.to_thread(published, settings)
    assert {fact.image_id for fact in facts} == {image_id(seed) for seed in range(150) if seed not in {3, 77}}
    assert len({fact.event_id for fact in facts}) == 148


async def test_the_analyzer_waits_for_the_model_server_and_says_so(settings: Settings) -> None:
    await ingest(settings, count=20, damaged=frozenset(), announced=True)
    async with analyzer_main.create_app(settings).running() as app:
        await asyncio.sleep(1.0)
        assert (await app.records.tally(Collection.IMAGES, "state")).get(("analyzed",), 0) == 0
        async with model_server.create_app(settings).running():
            await settled(app, analyzed=20, dead_lettered=0)
    # Everything again: nothing is done twice.
    async with model_server.create_app(settings).running() as server, analyzer_main.create_app(settings).running():
        await asyncio.sleep(1.0)
        assert server.processed == 0


async def test_a_model_server_that_was_killed_answers_at_once_and_catches_up_meanwhile(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(_: SnapshotTask) -> None:
        """Nothing is saved."""

    await ingest(settings, count=30, damaged=frozenset(), announced=True)
    with monkeypatch.context() as patched:
        patched.setattr(SnapshotTask, "save", killed)
        async with model_server.create_app(settings).running(), analyzer_main.create_app(settings).running() as app:
            await settled(app, analyzed=30, dead_lettered=0)

    client = ModelClient(settings.inference_address)
    answering = asyncio.Event()
    again = model_server.create_app(settings)
    find = again.records.find

    async def held(collection: Collection, query: Query) -> Page:
        if collection is Collection.IMAGES:
            await answering.wait()
        return await find(collection, query)

    monkeypatch.setattr(again.records, "find", held)
    async with again.running():
        await client.ping()
        assert (await client.describe()).summary["indexed_images"] == 0
        answering.set()
        async with asyncio.timeout(30):
            while (await client.describe()).summary["indexed_images"] != 30:
                await asyncio.sleep(0.05)
        assert len((await client.similar(image_id(7), 5))[1]) == 5
    await client.close()
    # Stopped gracefully: the next start reads a snapshot.
    another = ModelClient(settings.inference_address)
    async with model_server.create_app(settings).running():
        assert (await another.describe()).summary["indexed_images"] == 30
        await another.close()


async def test_a_survey_that_the_bundle_does_not_know_is_learned_and_judged_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "RECIPE", (DensityEntry(name="scaled-density", taps=("scaled",), neighbours=3),))
    for module, name in (
        (analyzer_main, "_SURVEY_MODELS_EVERY_S"),
        (analyzer_main, "_EARLIER_IMAGES_EVERY_S"),
        (model_server, "_SURVEY_MODELS_EVERY_S"),
    ):
        monkeypatch.setattr(module, name, 0.2)
    settings = settings.model_copy(update={"survey_model_images": 50})
    await ingest(settings, count=60, damaged=frozenset(), announced=True, survey="decals")
    wanted = {image_id(seed): "survey-model" for seed in range(60)}
    async with model_server.create_app(settings).running(), analyzer_main.create_app(settings).running() as app:
        async with asyncio.timeout(60):
            while await _fits(app) != wanted:
                await asyncio.sleep(0.1)
        await settled(app, analyzed=60, dead_lettered=0)
        record = (await read_survey_models(app.records))["decals"]
    assert record.revision is not None
    assert (record.state, record.revision.images) == (SurveyState.READY, 50)
    assert record.rejudging is not None
    assert record.rejudging.requested >= 50


async def _fits(app: ServiceApp) -> dict[str, str | None]:
    documents = await app.records.get(Collection.IMAGES, [image_id(seed) for seed in range(60)])
    return {image: (document["analysis"] or {}).get("calibration_fit") for image, document in documents.items()}
