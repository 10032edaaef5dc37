"""The console's application on stores in a temporary folder, without sockets, broker or model server."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from astrolens.console.application import create_application
from astrolens.console.context import AppContext
from astrolens.console.main import build_context
from astrolens.contracts.records import Outcome, Receipt
from astrolens.platform.errors import ModelUnavailable
from astrolens.platform.settings import Settings
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.open import image_store, record_store
from astrolens.rpc.messages import Description
from astrolens.rpc.model_client import Neighbour, UnknownToModel

from tests.made_records import RecordingBus, make_image
from tests.unit.console.secrets_of_tests import SESSION_KEY


class FakeModel:
    """A model server that answers, or does not."""

    def __init__(self) -> None:
        self.unreachable = False
        self.neighbours: dict[str, list[Neighbour]] = {}

    async def describe(self) -> Description:
        if self.unreachable:
            raise ModelUnavailable("the model server at 127.0.0.1:1 answered UNAVAILABLE: loading")
        summary = {"name": "first-light", "version": "1", "digest": "d" * 64}
        return Description(summary, {**summary, "figures": {"accuracy": 0.9}})

    async def summary(self) -> dict[str, Any]:
        return (
            {"state": "unreachable", "detail": "loading"}
            if self.unreachable
            else {"state": "ready", "name": "first-light"}
        )

    async def similar(self, image: str, k: int) -> tuple[str, list[Neighbour]]:
        if self.unreachable:
            raise ModelUnavailable("the model server is loading")
        if image not in self.neighbours:
            raise UnknownToModel(image)
        return "d" * 64, self.neighbours[image][:k]

    async def close(self) -> None:
        return None


class World:
    """The application, and everything behind it."""

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
        await context.credentials.start(host=chosen.host, needed=not chosen.is_loopback, key=SESSION_KEY)
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


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 with a cost for tests."""
    from argon2 import PasswordHasher

    monkeypatch.setattr(
        "astrolens.usecases.accounts.PasswordHasher",
        lambda: PasswordHasher(time_cost=1, memory_cost=8, parallelism=1),
    )
