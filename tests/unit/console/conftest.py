"""The console's application on stores in a temporary folder, without sockets, broker or model server."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from astrolens.console.application import create_application
from astrolens.console.context import AppContext
from astrolens.console.main import build_context
from astrolens.contracts.ids import content_digest, image_id, receipt_id
from astrolens.contracts.records import (
    CutoutInfo,
    ImageRecord,
    ImageState,
    Observation,
    Original,
    Outcome,
    PendingEvent,
    Position,
    Receipt,
)
from astrolens.contracts.verdicts import Analysis, DetectorResult, Verdict
from astrolens.platform.errors import ModelUnavailable
from astrolens.platform.settings import Settings
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import cutout_key, original_key
from astrolens.platform.stores.open import image_store, record_store
from astrolens.rpc.conversion import Description
from astrolens.rpc.model_client import Neighbour, UnknownToModel

NIGHT = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)


class RecordingBus:
    """An event releaser and publisher that remembers what it should publish."""

    def __init__(self) -> None:
        self.released: list[tuple[Collection, str, tuple[PendingEvent, ...]]] = []
        self.published: list[PendingEvent] = []

    async def release(self, collection: Collection, documents: Sequence[tuple[str, Sequence[PendingEvent]]]) -> None:
        self.released += [(collection, key, tuple(events)) for key, events in documents]

    async def publish(self, events: Sequence[PendingEvent]) -> None:
        self.published += events


class FakeModel:
    """A model server that answers, or is away."""

    def __init__(self) -> None:
        self.away = False
        self.neighbours: dict[str, list[Neighbour]] = {}

    async def describe(self) -> Description:
        if self.away:
            raise ModelUnavailable("the model server at 127.0.0.1:1 answered UNAVAILABLE: loading")
        summary = {"name": "first-light", "version": "1", "digest": "d" * 64}
        return Description(summary, {**summary, "figures": {"accuracy": 0.9}})

    async def summary(self) -> dict[str, Any]:
        return {"state": "unreachable", "detail": "loading"} if self.away else {"state": "ready", "name": "first-light"}

    async def similar(self, image: str, k: int) -> tuple[str, list[Neighbour]]:
        if self.away:
            raise ModelUnavailable("the model server is loading")
        if image not in self.neighbours:
            raise UnknownToModel(image)
        return "d" * 64, self.neighbours[image][:k]

    async def close(self) -> None:
        return None


class World:
    """The application with hands on everything behind it."""

    def __init__(self, context: AppContext, bus: RecordingBus, model: FakeModel) -> None:
        self.context = context
        self.bus = bus
        self.model = model
        self.records = context.records
        self.images = context.images
        self.app = create_application(context)

    def client(self, base_url: str = "http://localhost:8080", **options: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=base_url, **options)

    async def add_image(self, name: str, **options: Any) -> str:
        """Put one image with its receipt into the stores; its id."""
        record, data = make_image(name, **options)
        receipt = Receipt(
            receipt_id=record.receipt_id,
            source=record.source,
            batch=record.batch,
            ref=name,
            observation=record.observation,
            received_at=record.ingested_at,
            outcome=Outcome.ACCEPTED,
            sha256=record.original.sha256,
            image_id=record.image_id,
        )
        await self.records.insert(Collection.RECEIPTS, [receipt])
        await self.records.insert(Collection.IMAGES, [record])
        await self.images.put(record.original.key, data, media_type="application/octet-stream")
        await self.images.put(record.cutout.key, b"\xff\xd8cutout of " + data, media_type="image/jpeg")
        return record.image_id


def make_image(
    name: str,
    *,
    p_value: float | None = 0.5,
    survey: str = "sdss",
    predicted_class: str = "spiral",
    position: tuple[float, float] | None = None,
    minutes: int = 0,
    state: ImageState | None = None,
    batch: str = "night",
    media_type: str = "image/jpeg",
) -> tuple[ImageRecord, bytes]:
    data = f"pixels of {name}".encode()
    digest = content_digest(data)
    identity = image_id(digest)
    at = NIGHT + timedelta(minutes=minutes)
    place = None if position is None else Position.model_validate({"ra_deg": position[0], "dec_deg": position[1]})
    analysis = None
    if p_value is not None:
        verdict = Verdict.ANOMALY if p_value <= 0.01 else Verdict.NEAR_MISS if p_value <= 0.03 else Verdict.ORDINARY
        analysis = Analysis(
            model_name="first-light",
            model_digest="d" * 64,
            preprocessing_digest="e" * 64,
            calibration_id="c" * 16,
            calibration_survey=survey,
            execution_provider="CPUExecutionProvider",
            class_probabilities={"spiral": 0.9, "smooth": 0.1},
            predicted_class=predicted_class,
            detectors={"energy": DetectorResult(score=1.5, p_value=p_value)},
            p_value=p_value,
            verdict=verdict,
            embedding="AAAA",
            analyzed_at=at,
        )
    record = ImageRecord(
        image_id=identity,
        receipt_id=receipt_id("upload", batch, name),
        source="upload",
        batch=batch,
        observation=Observation(survey=survey, name=name, position=place, pixel_scale_arcsec=0.4),
        original=Original(
            key=original_key(digest), sha256=digest, size_bytes=len(data), media_type=media_type, width=200, height=200
        ),
        cutout=CutoutInfo(key=cutout_key(identity), sha256="a" * 64, width=100, height=100, scale=0.5, stretch="none"),
        phash="0" * 16,
        state=state or (ImageState.INGESTED if analysis is None else ImageState.ANALYZED),
        ingested_at=at,
        offered_at=at,
        analysis=analysis,
        verdict=analysis.verdict if analysis else None,
        p_value=p_value,
        predicted_class=predicted_class if analysis else None,
        analyzed_at=at if analysis else None,
    )
    return record, data


@pytest.fixture
async def make_world(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    opened: list[World] = []

    async def make(**settings: Any) -> World:
        chosen = Settings(home=tmp_path, _env_file=None, **settings)
        records, images = record_store(chosen.records_url), image_store(chosen.images_url)
        await records.open()
        await images.open()
        bus, model = RecordingBus(), FakeModel()
        context = build_context(
            chosen, records=records, images=images, releaser=bus, publisher=bus, model_client=model, model_status=model
        )
        world = World(context, bus, model)
        opened.append(world)
        await context.credentials.start(host=chosen.host, needed=not chosen.is_loopback)
        return world

    yield make
    for world in opened:
        await world.context.stream.close()
        await world.records.close()
        await world.images.close()


@pytest.fixture
async def world(make_world: Callable[..., Any]) -> World:
    made = await make_world()
    assert isinstance(made, World)
    return made


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with world.client() as client:
        yield client
