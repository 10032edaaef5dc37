"""The whole ingestor: real stores, a real Kafka protocol, real sandboxed children, the simulated sky."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from astrolens.contracts import ids, topics
from astrolens.contracts.base import utc_now
from astrolens.contracts.events import ImageIngested, ImageSubmitted
from astrolens.contracts.records import ImageRecord, Observation, Receipt
from astrolens.ingestor.main import create_app
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.runtime.service import ServiceApp
from astrolens.platform.settings import Settings
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import original_key
from astrolens.platform.stores.records import Query
from astrolens.science.simulation import simulate

confluent_kafka = pytest.importorskip("confluent_kafka")


@pytest.fixture
def servers() -> Iterator[str]:
    owner = confluent_kafka.Producer({"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": 1, "log_level": 0})
    (broker,) = owner.list_topics(timeout=120).brokers.values()
    yield f"{broker.host}:{broker.port}"
    owner.flush(1)


def _settings(home: Path, servers: str, port: int, **overrides: Any) -> Settings:
    chosen = {"sources": "none", "decoders": 1, "min_free_disk_mib": 0, "log_level": "WARNING"} | overrides
    return Settings(_env_file=None, home=home, events_url=f"kafka://{servers}", ingestor_port=port, **chosen)


async def _until(condition: Callable[[], Awaitable[bool]], *, seconds: float = 90.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)


async def _outcomes(app: ServiceApp) -> dict[str, int]:
    counts = await app.records.tally(Collection.RECEIPTS, "outcome")
    return {key[0]: count for key, count in counts.items() if count}


async def _submit(app: ServiceApp, **files: bytes) -> list[Receipt]:
    """What the console does, up to the event."""
    receipts = []
    for name, data in files.items():
        digest = ids.content_digest(data)
        await app.images.put(original_key(digest), data, media_type="application/octet-stream")
        receipt = Receipt(
            receipt_id=ids.receipt_id("upload", "b", name),
            source="upload",
            batch="b",
            ref=name,
            observation=Observation(name=name),
            received_at=utc_now(),
            sha256=digest,
            size_bytes=len(data),
        )
        event = ImageSubmitted.of(receipt.receipt_id, service="console")
        pending = event.pending(topic=topics.IMAGES_SUBMITTED, key=receipt.receipt_id)
        receipts.append(receipt.model_copy(update={"pending": (pending,)}))
    await app.records.insert(Collection.RECEIPTS, receipts)
    return receipts


async def test_submitted_images_become_records_and_events(tmp_path: Path, servers: str, unused_tcp_port: int) -> None:
    sky = [simulate(1, index, oddity_rate=0.0).jpeg for index in range(3)]
    app = create_app(_settings(tmp_path, servers, unused_tcp_port))
    async with app.running():
        receipts = await _submit(app, one=sky[0], two=sky[1], again=sky[0], half=sky[2][:2000], text=b"no picture")
        await app.bus.publish([event for receipt in receipts for event in receipt.pending])
        await _until(lambda: _is(app, {"accepted": 2, "duplicate": 1, "rejected": 2}))
        documents = (await app.records.find(Collection.IMAGES, Query())).documents
        images = {document["image_id"]: ImageRecord.model_validate(document) for document in documents}
        for image in images.values():
            assert len(await app.images.get(image.cutout.key)) > 1000
        await _until(lambda: _nothing_pends(app))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{unused_tcp_port}") as client:
            assert (await client.get("/readyz")).status_code == 200
            metrics = (await client.get("/metrics")).text
    assert 'astrolens_settled_total{outcome="rejected",stage="ingest"} 2.0' in metrics
    assert {event.image_id for event in _ingested(servers, 2)} == set(images)


async def _is(app: ServiceApp, outcomes: dict[str, int]) -> bool:
    return await _outcomes(app) == outcomes


async def _nothing_pends(app: ServiceApp) -> bool:
    return await app.records.pending(Collection.IMAGES, limit=1) == []


def _ingested(servers: str, count: int) -> list[ImageIngested]:
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": servers, "group.id": "test", "auto.offset.reset": "earliest", "log_level": 0}
    )
    consumer.subscribe([topics.IMAGES_INGESTED])
    found: dict[str, ImageIngested] = {}
    for _ in range(200):
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            event = ImageIngested.model_validate_json(message.value())
            found[event.image_id] = event
        if len(found) == count:
            break
    consumer.close()
    return list(found.values())


async def test_what_waited_while_the_service_was_away_is_processed_at_its_start(
    tmp_path: Path, servers: str, unused_tcp_port: int
) -> None:
    app = create_app(_settings(tmp_path, servers, unused_tcp_port, redeliver_after_s=3600))
    await app.records.open()
    await app.images.open()
    await _submit(app, one=simulate(1, 0, oddity_rate=0.0).jpeg)
    await app.images.close()
    await app.records.close()
    again = create_app(_settings(tmp_path, servers, unused_tcp_port, redeliver_after_s=3600))
    async with again.running():
        await _until(lambda: _is(again, {"accepted": 1}))


async def test_the_simulated_sky_flows_by_itself_and_goes_on_after_a_restart(
    tmp_path: Path, servers: str, unused_tcp_port: int
) -> None:
    settings = _settings(tmp_path, servers, unused_tcp_port, sources="simulated", simulated_rate_per_min=3000)
    for wanted in (4, 8):
        app = create_app(settings)
        async with app.running():
            await _until(lambda app=app, wanted=wanted: _at_least(app, wanted))
            [status] = (await app.records.find(Collection.SOURCES, Query())).documents
            assert status["source"] == "simulated"
            receipts = (await app.records.find(Collection.RECEIPTS, Query(limit=5000))).documents
    assert sorted(one["ref"] for one in receipts) == [f"2026-{index:07d}" for index in range(len(receipts))]


async def _at_least(app: ServiceApp, accepted: int) -> bool:
    return (await _outcomes(app)).get("accepted", 0) >= accepted


async def test_wrong_settings_stop_with_one_sentence(tmp_path: Path, servers: str, unused_tcp_port: int) -> None:
    with pytest.raises(ConfigurationError, match="no source 'hubble'; known are folder, sdss, simulated, and none"):
        create_app(_settings(tmp_path, servers, unused_tcp_port, sources="simulated,hubble"))
    missing = tmp_path / "missing"
    app = create_app(_settings(tmp_path, servers, unused_tcp_port, sources="folder", folder_path=missing))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        async with app.running():
            pytest.fail("it must not run")
