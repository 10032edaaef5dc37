"""The books and the truth of the simulated sky, as Prometheus reads them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from astrolens.console.books_exporter import BooksExporter
from astrolens.console.metrics import BooksMetrics
from astrolens.contracts import examples
from astrolens.contracts.base import utc_now
from astrolens.contracts.ids import derived_id
from astrolens.contracts.records import Answer, ImageState, Observation, Outcome, Receipt
from astrolens.contracts.verdicts import Verdict
from astrolens.platform.errors import StoreUnavailable
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.sqlite.store import SqliteRecordStore
from astrolens.platform.telemetry.metrics import Metrics


class World:
    def __init__(self, records: SqliteRecordStore) -> None:
        self.records = records
        self.metrics = BooksMetrics(Metrics("console"))
        self.exporter = BooksExporter(records=records, metrics=self.metrics)

    def shown(self, name: str, **labels: str) -> float | None:
        return self.metrics.shared.registry.get_sample_value(name, labels)

    async def arrivals(self, outcomes: list[Outcome]) -> None:
        common: dict[str, Any] = {"source": "upload", "batch": "b", "observation": Observation()}
        receipts = [
            Receipt(receipt_id=str(number), ref=str(number), received_at=utc_now(), outcome=outcome, **common)
            for number, outcome in enumerate(outcomes)
        ]
        await self.records.insert(Collection.RECEIPTS, receipts)

    async def image(self, number: int, verdict: Verdict | None, *, survey: str = "simulated-sdss", **more: Any) -> None:
        base = examples.image()
        update = {
            "image_id": derived_id("image", str(number)),
            "observation": base.observation.model_copy(update={"survey": survey}),
            "state": ImageState.INGESTED if verdict is None else ImageState.ANALYZED,
            "verdict": verdict,
            "pending": (),
            **more,
        }
        await self.records.upsert(Collection.IMAGES, [base.model_copy(update=update)])

    async def truth(self, number: int, oddity: str | None) -> None:
        image = derived_id("image", str(number))
        document = {"ref": f"7-{number:07d}", "image_id": image, "oddity": oddity}
        await self.records.insert(Collection.TRUTHS, [document])


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    records = SqliteRecordStore(tmp_path / "records.sqlite")
    await records.open()
    yield World(records)
    await records.close()


async def test_an_empty_archive_has_books_of_zeros(world: World) -> None:
    await world.exporter.export()
    for outcome in Outcome:
        assert world.shown("astrolens_receipts", outcome=outcome.value) == 0
    for state in ImageState:
        assert world.shown("astrolens_images", state=state.value) == 0
    assert world.shown("astrolens_dead_letters_open") == 0


async def test_the_books_are_those_of_the_store(world: World) -> None:
    await world.arrivals([Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.DUPLICATE, Outcome.REJECTED])
    await world.image(1, Verdict.ANOMALY, label=Answer.INTERESTING)
    await world.image(2, None, label=None)
    await world.exporter.export()
    assert world.shown("astrolens_receipts", outcome="accepted") == 2
    assert world.shown("astrolens_receipts", outcome="rejected") == 1
    assert world.shown("astrolens_images", state="analyzed") == 1
    assert world.shown("astrolens_images", state="ingested") == 1
    assert world.shown("astrolens_labels", answer="interesting") == 1
    assert world.shown("astrolens_verdicts", survey="simulated-sdss", verdict="anomaly") == 1
    assert world.shown("astrolens_verdicts", survey="simulated-sdss", verdict="ordinary") == 0


async def test_an_image_that_vanishes_shows_in_the_difference_that_prometheus_computes(world: World) -> None:
    def unexplained() -> float:
        # As `astrolens:books_unexplained` of deploy/prometheus/rules.yml, whose own tests run it.
        receipts = {each: world.shown("astrolens_receipts", outcome=each) or 0.0 for each in Outcome}
        images = [world.shown("astrolens_images", state=each) or 0.0 for each in ImageState]
        return sum(receipts.values()) - sum(receipts[each] for each in Outcome if each != "accepted") - sum(images)

    await world.arrivals([Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.REJECTED])
    await world.image(1, Verdict.ORDINARY)
    await world.image(2, None)
    await world.exporter.export()
    assert unexplained() == 0
    await world.records.delete(Collection.IMAGES, [derived_id("image", "2")])
    await world.exporter.export()
    assert unexplained() == 1


async def test_an_oddity_counts_once_when_it_is_judged(world: World) -> None:
    await world.truth(1, "lens")
    await world.truth(2, None)
    await world.truth(3, "lens")
    await world.image(1, Verdict.ANOMALY)
    await world.image(2, Verdict.ANOMALY)
    await world.image(3, None)
    for _ in range(3):
        await world.exporter.export()
    assert world.shown("astrolens_simulated_oddities", oddity="lens", verdict="anomaly") == 1
    assert world.shown("astrolens_simulated_oddities", oddity="lens", verdict="ordinary") == 0
    await world.image(3, Verdict.ORDINARY)
    await world.truth(4, "ring")
    await world.image(4, Verdict.NEAR_MISS)
    await world.exporter.export()
    assert world.shown("astrolens_simulated_oddities", oddity="lens", verdict="ordinary") == 1
    assert world.shown("astrolens_simulated_oddities", oddity="ring", verdict="near_miss") == 1


async def test_more_oddities_than_a_page_are_all_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("astrolens.console.books_exporter._PAGE", 3)
    for number in range(10):
        await world.truth(number, "lens")
        await world.image(number, Verdict.ANOMALY)
    for _ in range(4):
        await world.exporter.export()
    assert world.shown("astrolens_simulated_oddities", oddity="lens", verdict="anomaly") == 10


async def test_an_unreachable_store_is_raised_for_the_periodic_task_to_report(world: World) -> None:
    await world.records.close()
    with pytest.raises(StoreUnavailable):
        await world.exporter.export()
