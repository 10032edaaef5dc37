"""What a run takes from the model registry and puts there."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from astrolens.contracts.ids import content_digest
from astrolens.contracts.models import ModelState
from astrolens.contracts.training_runs import Gate, GateReport
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.settings import Settings
from astrolens.platform.signing import load_signer
from astrolens.platform.stores.folder.store import FolderImageStore
from astrolens.platform.stores.sqlite.store import SqliteRecordStore
from astrolens.trainer.retraining.registry_access import champion_folder, publish_challenger
from astrolens.usecases.model_promotion import ModelPromotions
from astrolens.usecases.model_registry import ModelRegistry

from tests.behaviour.model_registry import write_folder
from tests.made_records import RecordingBus

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@dataclass
class World:
    records: SqliteRecordStore
    images: FolderImageStore
    settings: Settings
    folder: Path

    def report(self, *, passed: bool) -> GateReport:
        gate = Gate(name="oddity AUROC, sdss", passed=passed, detail="0.90 before, 0.80 after")
        return GateReport(
            champion="a" * 64, challenger="b" * 64, measured_at=NOW, benchmarks=(), gates=(gate,), passed=passed
        )

    async def publish(self, version: str, *, passed: bool = True) -> str:
        if not (self.folder / version).exists():
            write_folder(self.folder / version, version=version)
        return await publish_challenger(
            self.records,
            self.images,
            self.settings,
            folder=self.folder / version,
            report=self.report(passed=passed),
            manifest=b"one line\n",
            run_id="0123456789abcdef",
        )

    async def champion(self, run: str) -> Path:
        (self.folder / run).mkdir(exist_ok=True)
        return await champion_folder(self.records, self.images, self.settings, self.folder / run)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    records, images = SqliteRecordStore(tmp_path / "records.sqlite"), FolderImageStore(tmp_path / "images")
    await records.open()
    await images.open()
    yield World(records, images, Settings(home=tmp_path / "home"), tmp_path)
    await images.close()
    await records.close()


async def test_a_challenger_is_published_with_its_gates_and_its_data(world: World) -> None:
    key = await world.publish("2")
    assert await world.images.get(key) == b"one line\n"
    assert await world.publish("2") == key, "twice is once"
    await world.publish("3", passed=False)
    registry = ModelRegistry(records=world.records, images=world.images)
    found = {record.version: record for record in await registry.read_all()}
    assert {version: record.state for version, record in found.items()} == {
        "2": ModelState.CANDIDATE,
        "3": ModelState.REFUSED,
    }
    assert found["2"].parent_digest == "a" * 64
    assert found["2"].created_by == "training run 0123456789abcdef"
    assert found["3"].gates["gates"][0]["detail"] == "0.90 before, 0.80 after"


async def test_a_run_starts_from_the_promoted_bundle_and_keeps_it(world: World) -> None:
    assert await world.champion("first") == world.settings.bundle
    await world.publish("2")
    registry = ModelRegistry(records=world.records, images=world.images)
    [record] = await registry.read_all()
    promotions = ModelPromotions(records=world.records, registry=registry, releaser=RecordingBus(), service="console")
    await promotions.promote(record.digest, by="vera", why="better")
    folder = await world.champion("second")
    assert content_digest((folder / "manifest.json").read_bytes()) == record.digest
    assert await world.champion("first") == world.settings.bundle, "a promotion meanwhile changes nothing"


async def test_an_untrusted_bundle_is_not_retrained(world: World, tmp_path: Path) -> None:
    await world.publish("2")
    registry = ModelRegistry(records=world.records, images=world.images)
    [record] = await registry.read_all()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "champion").write_text(record.digest)
    strange = load_signer(tmp_path / "other.key", create=True)
    assert strange.key_id != record.key_id
    other = world.settings.model_copy(update={"model_trusted_keys": (tmp_path / "other.pub",)})
    with pytest.raises(ConfigurationError, match="not trusted"):
        await champion_folder(world.records, world.images, other, tmp_path / "run")
