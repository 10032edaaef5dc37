"""The rule promotes what passed its gates and changes little; everything else waits for a person."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from astrolens.contracts.models import ModelState, ShadowRecord
from astrolens.platform.signing import load_signer
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.folder.store import FolderImageStore
from astrolens.platform.stores.sqlite.store import SqliteRecordStore
from astrolens.trainer.promotion_rule import BY_RULE, PromotionRule
from astrolens.usecases.model_promotion import ModelPromotions, read_current, record_settings_bundle
from astrolens.usecases.model_registry import ModelRegistry

from tests.behaviour.model_registry import PASSED, write_folder
from tests.made_records import RecordingBus

INSTALLED = "a" * 64
MADE = datetime(2026, 1, 1, tzinfo=UTC)
SOUND = {
    "wanted": 300,
    "image_ids": tuple(f"{index:032x}" for index in range(300)),
    "finished_at": MADE,
    "champion_anomalies": 5,
    "candidate_anomalies": 9,
    "newly_anomalous": 4,
    "rank_correlation": 0.93,
}


class World:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records = SqliteRecordStore(folder / "records.sqlite")
        self.images = FolderImageStore(folder / "images")
        self.bus = RecordingBus()
        self.registry = ModelRegistry(records=self.records, images=self.images)
        promotions = ModelPromotions(records=self.records, registry=self.registry, releaser=self.bus, service="trainer")
        self.rule = PromotionRule(
            records=self.records, registry=self.registry, promotions=promotions, false_alarms_per_1000=10.0
        )

    async def candidate(self, *, gates: dict[str, Any] = PASSED, **shadow: Any) -> str:
        write_folder(self.folder / "bundle")
        signer = load_signer(self.folder / "model-signing.key", create=True)
        record = await self.registry.publish(self.folder / "bundle", signer=signer, created_by="run", gates=gates)
        await self.registry.change_state(record, ModelState.SHADOW, by="model-server", why="")
        made = {"digest": record.digest, "champion_digest": INSTALLED, "began_at": MADE, **SOUND, **shadow}
        await self.records.upsert(Collection.SHADOWS, [ShadowRecord.model_construct(**made)])
        return record.digest

    async def serving(self) -> str:
        current = await read_current(self.records)
        assert current is not None
        return current.digest


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    await world.records.open()
    await world.images.open()
    await world.registry.record_installed(digest=INSTALLED, name="made", version="0", created_at=MADE)
    await record_settings_bundle(world.records, INSTALLED, at=MADE)
    yield world
    await world.records.close()
    await world.images.close()


async def test_a_sound_candidate_is_promoted_once_with_what_it_changes(world: World) -> None:
    await world.rule.run_pass()
    digest = await world.candidate()
    await world.rule.run_pass()
    current = await read_current(world.records)
    assert current is not None
    assert (current.digest, current.by, current.number) == (digest, BY_RULE, 1)
    assert current.why == "its gates passed; of 300 images in shadow 4 are newly anomalous and 0 no longer"
    await world.rule.run_pass()
    assert len(world.bus.released) == 1


@pytest.mark.parametrize(
    "doubt",
    [
        pytest.param({"finished_at": None}, id="not finished"),
        pytest.param({"image_ids": ("0" * 32,)}, id="cut short"),
        pytest.param({"candidate_anomalies": 11}, id="too many alerts"),
        pytest.param({"rank_correlation": 0.2}, id="another order"),
        pytest.param({"rank_correlation": None}, id="no order"),
        pytest.param({"champion_digest": "c" * 64}, id="compared with another"),
        pytest.param({"gates": {}}, id="not measured"),
    ],
)
async def test_anything_doubtful_waits_for_a_person(world: World, doubt: dict[str, Any]) -> None:
    await world.candidate(**doubt)
    await world.rule.run_pass()
    assert await world.serving() == INSTALLED
    assert world.bus.released == []


async def test_the_budget_allows_a_few_where_nothing_was_flagged(world: World) -> None:
    digest = await world.candidate(champion_anomalies=0, candidate_anomalies=6)
    await world.rule.run_pass()
    assert await world.serving() == digest


async def test_what_was_rolled_back_is_not_promoted_again(world: World) -> None:
    await world.candidate()
    await world.rule.run_pass()
    promotions = ModelPromotions(records=world.records, registry=world.registry, releaser=world.bus, service="console")
    await promotions.rollback(by="vera", why="too many")
    await world.rule.run_pass()
    assert await world.serving() == INSTALLED
