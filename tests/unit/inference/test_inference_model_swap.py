"""The model server follows promotions, on real stores in a folder, with bundles of a few kilobytes."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from astrolens.contracts.ids import content_digest
from astrolens.contracts.models import ModelState
from astrolens.inference import model_swap
from astrolens.inference.backbone import Backbone
from astrolens.inference.batcher import BatcherClosed
from astrolens.inference.engine import Item, ItemResult
from astrolens.inference.loaded_model import LoadedModel
from astrolens.inference.model_metrics import SWAPS, ModelMetrics
from astrolens.inference.model_swap import ISSUE, RETRY_AFTER, ModelSwap, load_settings_bundle
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.runtime.service import ServiceApp
from astrolens.platform.settings import PACKAGED_BUNDLE, PACKAGED_BUNDLE_DIGEST, load_settings
from astrolens.platform.signing import load_signer
from astrolens.science.bundle import MANIFEST, MODEL, Bundle, BundleDamaged, write_bundle
from astrolens.science.golden import GoldenMismatch, check_golden, with_golden
from astrolens.usecases.model_promotion import ModelPromotions, read_current
from astrolens.usecases.model_registry import ModelRegistry

from tests.made_records import RecordingBus
from tests.unit.inference.tiny_bundle import image_id, picture, write_tiny_bundle


def items(*seeds: int) -> list[Item]:
    return [Item(image_id(seed), "sdss", picture(seed)) for seed in seeds]


def another_bundle(folder: Path, version: str) -> Bundle:
    """The tiny bundle as another version."""
    bundle = write_tiny_bundle(folder)
    contents = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != MANIFEST}
    write_bundle(folder, bundle.manifest.model_copy(update={"version": version}), contents)
    return Bundle.load(folder)


class World:
    """A model server without gRPC, and a registry beside it."""

    def __init__(self, home: Path) -> None:
        self.bundle = write_tiny_bundle(home.parent / "installed")
        self.settings = load_settings(home=home, bundle=home.parent / "installed", sources=("none",))
        self.app = ServiceApp(self.settings, service="model-server", port=None, with_bus=False)
        self.now = datetime(2026, 11, 26, tzinfo=UTC)
        self.metrics = ModelMetrics(self.app.metrics)
        self.swap = self.new_swap()
        self.served: list[str] = []
        self.registry = ModelRegistry(records=self.app.records, images=self.app.images)
        self.promotions = ModelPromotions(
            records=self.app.records, registry=self.registry, releaser=RecordingBus(), service="test"
        )
        self.signer = load_signer(self.settings.model_signing_key, create=True)

    def new_swap(self) -> ModelSwap:
        return ModelSwap(self.app, self.metrics, serve=self.serve, clock=lambda: self.now)

    async def serve(self, model: LoadedModel) -> None:
        model.service.start()
        self.served.append(model.service.description.identity.version)

    def measured(self, name: str, **labels: str) -> float | None:
        """The value of a metric."""
        return self.app.metrics.registry.get_sample_value(f"astrolens_model_{name}", labels)

    async def promote(self, folder: Path) -> str:
        record = await self.registry.publish(folder, signer=self.signer, created_by="test")
        await self.promotions.promote(record.digest, by="vera", why="test")
        return record.digest

    @property
    def issue(self) -> str:
        return self.app.condition.detail or ""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path / "home")
    await world.app.records.open()
    await world.app.images.open()
    await world.swap.load_first()
    yield world
    await world.swap.model.service.close()
    await world.app.records.close()
    await world.app.images.close()


async def test_the_bundle_of_the_settings_serves_and_is_recorded(world: World) -> None:
    assert world.served == ["0"]
    [record] = await world.registry.read_all()
    assert (record.digest, record.is_installed) == (world.bundle.digest, True)
    current = await read_current(world.app.records)
    assert current is not None
    assert (current.number, current.digest) == (0, world.bundle.digest)
    await world.swap.run_pass()
    assert world.served == ["0"]


async def test_a_promoted_bundle_serves_and_a_rollback_brings_the_old_one(world: World, tmp_path: Path) -> None:
    another_bundle(tmp_path / "new", "1")
    digest = await world.promote(tmp_path / "new")
    await world.swap.run_pass()
    assert (world.served, world.swap.model.digest, world.issue) == (["0", "1"], digest, "")
    assert (await world.registry.get(digest)).first_served_at is None
    await world.swap.run_pass()
    assert (await world.registry.get(digest)).first_served_at == world.now
    await world.promotions.rollback(by="vera", why="test")
    await world.swap.run_pass()
    assert (world.served, world.swap.model.digest) == (["0", "1", "0"], world.bundle.digest)
    swaps = {outcome: world.measured("swaps_total", outcome=outcome) for outcome in SWAPS}
    assert swaps == {"promoted": 1, "rolled-back": 1, "refused": 0}


async def test_after_a_restart_the_promoted_bundle_serves(world: World, tmp_path: Path) -> None:
    another_bundle(tmp_path / "new", "1")
    digest = await world.promote(tmp_path / "new")
    restarted = world.new_swap()
    await restarted.load_first()
    assert restarted.model.digest == digest
    await restarted.model.service.close()


async def test_what_was_asked_of_the_old_model_is_answered_by_it(world: World, tmp_path: Path) -> None:
    another_bundle(tmp_path / "new", "1")
    await world.promote(tmp_path / "new")
    old = world.swap.model.service
    asked = [asyncio.create_task(old.analyze(items(*range(first, first + 8)))) for first in range(0, 200, 8)]
    await asyncio.sleep(0)
    await world.swap.run_pass()
    answers = [each for outcomes in await asyncio.gather(*asked) for each in outcomes]
    assert len(answers) == 200
    assert all(isinstance(answer, ItemResult) for answer in answers)
    with pytest.raises(BatcherClosed):
        await old.analyze(items(1))
    assert world.swap.model.service is not old


@pytest.mark.parametrize("fault", ["damaged", "unsigned", "stranger", "golden", "missing"])
async def test_a_bundle_that_must_not_serve_is_refused_and_the_old_one_goes_on(
    world: World, tmp_path: Path, fault: str
) -> None:
    folder = tmp_path / "new"
    bundle = another_bundle(folder, "1")
    if fault == "golden":
        run = Backbone(bundle).run
        with_golden(folder, [picture(1)], lambda pixels: replace(run(pixels), embedding=run(pixels).embedding[:, ::-1]))
    signer = load_signer(tmp_path / "other.key", create=True) if fault == "stranger" else world.signer
    record = await world.registry.publish(folder, signer=signer, created_by="test")
    if fault == "unsigned":
        await world.registry.save(record, record.model_copy(update={"signature": None, "key_id": None}))
    stored = world.settings.home / "images" / "models"
    graph = record.files[MODEL].sha256
    if fault == "damaged":
        (stored / graph[:2] / graph).write_bytes(b"damaged")
    if fault == "missing":
        (stored / graph[:2] / graph).unlink()
    await world.promotions.promote(record.digest, by="vera", why="test")
    await world.swap.run_pass()
    reason = {
        "damaged": "have another SHA-256",
        "unsigned": "it is not signed",
        "stranger": "which is not trusted here",
        "golden": "on a golden input its embedding differs",
        "missing": "has nothing under",
    }[fault]
    assert reason in world.issue
    assert "promoted by vera, is not served" in world.issue
    assert (world.swap.model.digest, world.served) == (world.bundle.digest, ["0"])
    assert (world.measured("swaps_total", outcome="refused"), world.measured("refused")) == (1, 1)
    assert [type(each) for each in await world.swap.model.service.analyze(items(1))] == [ItemResult]
    restarted = world.new_swap()
    await restarted.load_first()
    assert restarted.model.digest == world.bundle.digest
    await restarted.model.service.close()
    await world.swap.run_pass()
    told = await world.registry.get(record.digest)
    assert (told.state, told.first_served_at) == (ModelState.PROMOTED, None)
    assert [(change.by, change.why.startswith("not served: ")) for change in told.history[-2:]] == [
        ("vera", False),
        ("model-server", True),
    ], "its history says once why it does not serve"
    assert reason in told.history[-1].why
    await world.promotions.rollback(by="vera", why="it does not load")
    await world.swap.run_pass()
    assert (world.issue, world.measured("refused")) == ("", 0)


async def test_a_refused_bundle_is_tried_again_later(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    another_bundle(tmp_path / "new", "1")
    digest = await world.promote(tmp_path / "new")
    tries = 0
    load = model_swap.load_model

    def fail_once(*arguments: object, **named: object) -> LoadedModel:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise BundleDamaged(tmp_path, "out of memory")
        return load(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(model_swap, "load_model", fail_once)
    await world.swap.run_pass()
    await world.swap.run_pass()
    assert (tries, ISSUE in world.app.condition._issues) == (1, True)
    world.now += RETRY_AFTER + timedelta(seconds=1)
    await world.swap.run_pass()
    assert (world.swap.model.digest, world.issue) == (digest, "")


async def test_a_damaged_bundle_of_the_settings_stops_the_start(world: World) -> None:
    (world.settings.bundle / MODEL).write_bytes(b"damaged")
    with pytest.raises(ConfigurationError, match="ASTROLENS_BUNDLE"):
        await world.new_swap().load_first()


def test_golden_inputs_are_within_the_digest_and_agree_where_they_were_made(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "tiny")
    assert check_golden(bundle, Backbone(bundle).run) == 0
    digest = with_golden(tmp_path / "tiny", [picture(seed) for seed in range(3)], Backbone(bundle).run)
    with_inputs = Bundle.load(tmp_path / "tiny", expected_digest=digest)
    assert digest != bundle.digest
    run, golden = Backbone(with_inputs).run, with_inputs.golden
    assert check_golden(with_inputs, run) == 3
    with pytest.raises(GoldenMismatch, match="cosine"):
        check_golden(with_inputs, lambda pixels: replace(run(pixels), embedding=-run(pixels).embedding))
    with pytest.raises(GoldenMismatch, match="p-value differs"):
        check_golden(replace(with_inputs, golden={**golden, "p_value": golden["p_value"] + 0.5}), run)
    with pytest.raises(GoldenMismatch, match=r"lack cutout\.0"):
        check_golden(replace(with_inputs, golden={"cutout.7": golden["cutout.0"]}), run)


def test_the_packaged_bundle_is_the_one_that_the_package_names() -> None:
    found = content_digest((PACKAGED_BUNDLE / MANIFEST).read_bytes())
    assert found == PACKAGED_BUNDLE_DIGEST, "another bundle is packaged: name its digest in platform/settings.py"
    bundle = load_settings_bundle(load_settings())
    assert bundle.digest == found
    assert check_golden(bundle, Backbone(bundle).run) > 0, "a start with it, and a rollback to it, check golden inputs"
    assert json.loads((PACKAGED_BUNDLE / MANIFEST).read_bytes())["name"] == PACKAGED_BUNDLE.name
