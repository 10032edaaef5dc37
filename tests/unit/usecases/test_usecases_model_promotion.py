"""Promotion and rollback: one document, one event a change, and a stack to go back through."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from astrolens.contracts.events import ModelPromoted
from astrolens.contracts.models import CURRENT, ModelState
from astrolens.contracts.topics import MODELS_PROMOTED
from astrolens.platform.signing import load_signer
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import ImageStore
from astrolens.platform.stores.records import RecordStore
from astrolens.usecases.errors import Conflict, NotFound
from astrolens.usecases.model_promotion import ModelPromotions, read_current, record_settings_bundle, state_of
from astrolens.usecases.model_registry import ModelRegistry

from tests.behaviour.model_registry import FAILED, PASSED, write_folder
from tests.made_records import RecordingBus

FIRST = datetime(2026, 11, 26, tzinfo=UTC)


class World:
    """A registry with the bundle of the settings, and bundles that were published."""

    def __init__(self, records: RecordStore, images: ImageStore, bus: RecordingBus, folder: Path) -> None:
        self.records, self.bus, self.folder = records, bus, folder
        self.now = FIRST
        self.registry = ModelRegistry(records=records, images=images, clock=self.clock)
        self.promotions = ModelPromotions(
            records=records, registry=self.registry, releaser=bus, service="test", clock=self.clock
        )

    def clock(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    async def installed(self) -> str:
        digest = "a" * 64
        await self.registry.record_installed(digest=digest, name="made", version="0", created_at=FIRST)
        await record_settings_bundle(self.records, digest, at=FIRST)
        return digest

    async def published(self, version: str, gates: dict[str, object] | None = None) -> str:
        folder = self.folder / version
        write_folder(folder, version=version)
        signer = load_signer(self.folder / "model-signing.key", create=True)
        return (await self.registry.publish(folder, signer=signer, created_by="run", gates=gates)).digest

    async def states(self) -> dict[str, ModelState]:
        current = await read_current(self.records)
        found = await self.registry.read_all()
        assert all(record.state is state_of(record, current) for record in found)
        return {record.digest: record.state for record in found}


@pytest.fixture
def world(records: RecordStore, images: ImageStore, bus: RecordingBus, tmp_path: Path) -> World:
    return World(records, images, bus, tmp_path)


async def test_a_promotion_is_written_with_its_event(world: World) -> None:
    installed, first = await world.installed(), await world.published("1", PASSED)
    after = await world.promotions.promote(first, by="vera", why="finds more")
    assert (after.number, after.digest, after.previous_digest, after.by) == (1, first, installed, "vera")
    assert await world.states() == {first: ModelState.PROMOTED, installed: ModelState.RETIRED}
    [(collection, key, [pending])] = world.bus.released
    assert (collection, key, pending.topic) == (Collection.PROMOTIONS, CURRENT, MODELS_PROMOTED)
    event = ModelPromoted.model_validate_json(pending.payload)
    assert (event.model_digest, event.previous_digest, event.why, event.number) == (first, installed, "finds more", 1)


async def test_rollbacks_go_back_one_by_one_and_never_forth(world: World) -> None:
    installed, first, second = await world.installed(), await world.published("1"), await world.published("2")
    await world.promotions.promote(first, by="vera", why="")
    await world.promotions.promote(second, by="vera", why="")
    back = await world.promotions.rollback(by="edwin", why="too many alerts")
    assert (back.digest, back.rollback) == (first, True)
    further = await world.promotions.rollback(by="edwin", why="still")
    assert (further.digest, further.number) == (installed, 4)
    with pytest.raises(Conflict, match="No model served before"):
        await world.promotions.rollback(by="edwin", why="again")
    assert await world.states() == {
        first: ModelState.RETIRED,
        second: ModelState.RETIRED,
        installed: ModelState.PROMOTED,
    }
    again = await world.promotions.promote(second, by="vera", why="it was right after all")
    assert (again.digest, again.previous_digest) == (second, installed)


async def test_what_a_gate_refused_never_serves(world: World) -> None:
    await world.installed()
    refused = await world.published("1", FAILED)
    with pytest.raises(Conflict, match="it failed macro F1"):
        await world.promotions.promote(refused, by="vera", why="please")
    assert (await read_current(world.records)).number == 0  # type: ignore[union-attr]


async def test_what_serves_or_is_not_there_cannot_be_promoted(world: World) -> None:
    installed = await world.installed()
    with pytest.raises(Conflict, match="serves already"):
        await world.promotions.promote(installed, by="vera", why="")
    with pytest.raises(NotFound):
        await world.promotions.promote("f" * 64, by="vera", why="")


async def test_of_two_promotions_at_once_one_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.installed()
    first, second = await world.published("1"), await world.published("2")
    stale = await read_current(world.records)
    await world.promotions.promote(first, by="vera", why="")

    async def read_stale(_: RecordStore) -> object:
        return stale

    monkeypatch.setattr("astrolens.usecases.model_promotion.read_current", read_stale)
    with pytest.raises(Conflict, match="meanwhile"):
        await world.promotions.promote(second, by="edwin", why="")
    monkeypatch.undo()
    assert (await read_current(world.records)).digest == first  # type: ignore[union-attr]


async def test_the_bundle_of_the_settings_serves_only_until_one_is_promoted(world: World) -> None:
    await world.installed()
    other = "b" * 64
    assert (await record_settings_bundle(world.records, other, at=FIRST)).digest == other
    first = await world.published("1")
    await world.promotions.promote(first, by="vera", why="")
    assert (await record_settings_bundle(world.records, "c" * 64, at=FIRST)).digest == first


async def test_states_that_a_crash_left_are_told_and_made_up(world: World) -> None:
    installed, first = await world.installed(), await world.published("1")
    await world.promotions.promote(first, by="vera", why="")
    record = await world.registry.get(first)
    await world.registry.change_state(record, ModelState.CANDIDATE, by="crash", why="")
    current = await read_current(world.records)
    assert state_of(await world.registry.get(first), current) is ModelState.PROMOTED
    await world.promotions.rollback(by="vera", why="")
    assert await world.states() == {first: ModelState.RETIRED, installed: ModelState.PROMOTED}
