"""The sweep: what lost events leave behind is repaired, within bounds, and nothing else is touched."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from astrolens.contracts.ids import alert_id
from astrolens.contracts.records import ImageRecord
from astrolens.contracts.verdicts import Verdict
from astrolens.notifier import handlers, sweep
from astrolens.notifier.sweep import Sweep
from astrolens.platform.errors import StoreUnavailable
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.runtime.periodic import PeriodicTask
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Query
from astrolens.platform.stores.sqlite.store import SqliteRecordStore

from tests.unit.notifier.notifier_fakes import EPOCH, World, candidate, image


def _sweep(world: World, *, unfinished: asyncio.Event | None = None, stopping: asyncio.Event | None = None) -> Sweep:
    return Sweep(
        records=world.records,
        alerts=world.service(),
        unreadable=world.unreadable,
        stopping=stopping or asyncio.Event(),
        unfinished=unfinished or asyncio.Event(),
        clock=lambda: world.clock.now,
    )


def _anomalies(count: int, **settings: Any) -> list[ImageRecord]:
    return [image(number, analyzed_at=EPOCH + timedelta(seconds=number), **settings) for number in range(count)]


class Writes:
    """Counts the documents written to each collection."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.counts: dict[Collection, int] = {}
        for verb in ("insert", "upsert", "apply"):
            monkeypatch.setattr(world.records, verb, self._counting(getattr(world.records, verb)))

    def _counting(self, real: Any) -> Any:
        async def write(collection: Collection, documents: Sequence[object]) -> object:
            self.counts[collection] = self.counts.get(collection, 0) + len(documents)
            return await real(collection, documents)

        return write


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two documents a page, four a pass."""
    monkeypatch.setattr(sweep, "PAGE_SIZE", 2)
    monkeypatch.setattr(sweep, "MAX_DOCUMENTS", 4)


async def test_a_lost_event_costs_no_alert(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "PAGE_SIZE", 2)
    anomalies = _anomalies(5)
    await world.put(*anomalies, image(9, verdict=Verdict.ORDINARY), image(10, verdict=Verdict.NEAR_MISS))
    for _ in range(2):
        await _sweep(world).run_pass()
    assert sorted(packet.image_id for packet in world.outbox.packets()) == sorted(one.image_id for one in anomalies)


@pytest.mark.parametrize(
    ("verdict", "alert_type"),
    [(Verdict.ORDINARY, "retraction"), (Verdict.NEAR_MISS, "retraction"), (Verdict.ANOMALY, "update")],
)
async def test_a_lost_event_of_a_later_analysis_costs_no_message(
    world: World, verdict: Verdict, alert_type: str
) -> None:
    await world.put(image(1), image(2))
    await _sweep(world).run_pass()
    world.outbox.clear()
    world.clock.now += timedelta(days=30)
    await world.put(image(1, verdict=verdict, model="b", analyzed_at=world.clock.now))
    for _ in range(2):
        await _sweep(world).run_pass()
    assert [packet.alert_type for packet in world.outbox.packets()] == [alert_type]


async def test_a_lost_event_of_an_anomaly_after_a_retraction_costs_no_message(world: World) -> None:
    await world.put(image(1))
    await world.service().reconcile([image(1).image_id])
    await world.put(image(1, verdict=Verdict.ORDINARY, model="b"))
    await world.service().reconcile([image(1).image_id])
    world.outbox.clear()
    await world.put(image(1, model="c", analyzed_at=world.clock.now + timedelta(hours=1)))
    await _sweep(world).run_pass()
    assert [packet.alert_type for packet in world.outbox.packets()] == ["update"]


async def test_alerts_of_another_model_about_unchanged_images_are_left_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    anomalies = _anomalies(20)
    world.clock.now = EPOCH + timedelta(hours=1)
    await world.put(*anomalies)
    await world.service("mailto #1").reconcile([one.image_id for one in anomalies])
    # The alerts reflect model a, or no model at all; the analyses that are older than the alerts name another one.
    names_no_model = [alert_id(one.image_id) for one in anomalies[10:]]
    documents = await world.records.get(Collection.ALERTS, names_no_model)
    later = {"model_digest": None, "calibration_id": None, "raised_at": "2025-01-01T00:00:00.000000Z"}
    await world.records.upsert(Collection.ALERTS, [{**document, **later} for document in documents.values()])
    await world.put(*_anomalies(10, model="b"), *_anomalies(20, model="c", verdict=Verdict.ORDINARY)[10:])
    world.outbox.clear()
    writes = Writes(world, monkeypatch)
    for _ in range(3):
        await _sweep(world).run_pass()
    assert set(writes.counts) <= {Collection.META}
    assert world.outbox.published == []


async def test_an_image_analysed_by_another_model_still_updates_its_alert_by_its_event(world: World) -> None:
    await world.put(image(1))
    await _sweep(world).run_pass()
    world.outbox.clear()
    again = image(1, model="b")
    await world.put(again)
    await handlers.candidate_matched(world.service())([candidate(again)])
    assert [packet.alert_type for packet in world.outbox.packets()] == ["update"]


@pytest.mark.usefixtures("small")
async def test_a_pass_is_bounded_and_asks_for_the_next(world: World) -> None:
    await world.put(*_anomalies(9))
    world.clock.now += timedelta(hours=1)
    unfinished = asyncio.Event()
    swept = _sweep(world, unfinished=unfinished)
    raised: list[int] = []
    asked: list[bool] = []
    for _ in range(4):
        unfinished.clear()
        await swept.run_pass()
        raised.append(len(world.outbox.packets()))
        asked.append(unfinished.is_set())
    assert raised == [4, 8, 9, 9]
    assert asked == [True, True, False, False]


@pytest.mark.usefixtures("small")
async def test_a_restart_resumes_both_walks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    anomalies = _anomalies(10)
    await world.put(*anomalies)
    await world.service().reconcile([one.image_id for one in anomalies])
    visited: dict[Collection, list[str]] = {Collection.IMAGES: [], Collection.ALERTS: []}
    real = world.records.find

    async def find(collection: Collection, query: Query) -> Any:
        page = await real(collection, query)
        if query.order is not None:
            visited[collection] += [str(document["image_id"]) for document in page.documents]
        return page

    monkeypatch.setattr(world.records, "find", find)
    for _ in range(3):
        await _sweep(world).run_pass()
    expected = [one.image_id for one in anomalies]
    assert visited[Collection.IMAGES] == expected
    alerts = list(visited[Collection.ALERTS])
    assert sorted(alerts) == sorted(expected)
    await _sweep(world).run_pass()
    assert visited[Collection.ALERTS] == [*alerts, *alerts[:4]], "at its end the walk begins again"


@pytest.mark.usefixtures("small")
async def test_a_stop_ends_a_pass_after_its_page_and_loses_no_place(world: World) -> None:
    await world.put(*_anomalies(6))
    stopping = asyncio.Event()
    stopping.set()
    await _sweep(world, stopping=stopping).run_pass()
    assert len(world.outbox.packets()) == 2
    for _ in range(2):
        await _sweep(world).run_pass()
    assert len(world.outbox.packets()) == 6


@pytest.mark.usefixtures("small")
async def test_a_sweep_and_a_writer_interleave(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    anomalies = _anomalies(12)
    await world.put(*anomalies)
    other = SqliteRecordStore(tmp_path / "records.sqlite")
    await other.open()
    written: list[str] = []

    async def pause(_stopping: asyncio.Event, seconds: float) -> bool:
        # What another process does in the pause: it gets the write lock, and changes what the sweep has not seen yet.
        assert seconds == sweep.PAUSE_S
        late = image(11, verdict=Verdict.ORDINARY, analyzed_at=EPOCH + timedelta(hours=len(written)))
        async with asyncio.timeout(60):
            await other.upsert(Collection.IMAGES, [late, image(100 + len(written), verdict=Verdict.ORDINARY)])
        written.append(late.image_id)
        return False

    monkeypatch.setattr(sweep, "sleep_unless", pause)
    swept = _sweep(world)
    for _ in range(4):
        await swept.run_pass()
    await other.close()
    assert len(written) >= 6, "a pause follows each page"
    assert sorted(packet.image_id for packet in world.outbox.packets()) == sorted(
        one.image_id for one in anomalies[:11]
    )


async def test_only_recent_anomalies_are_swept_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    swept = _sweep(world)
    old, recent, late = (image(n, analyzed_at=EPOCH + timedelta(hours=n)) for n in range(3))
    await world.put(old)
    world.clock.now = EPOCH + timedelta(hours=1)
    await swept.run_pass()
    await world.put(recent, late)
    visited: list[str] = []
    real = world.records.find

    async def find(collection: Collection, query: Query) -> Any:
        page = await real(collection, query)
        if collection is Collection.IMAGES and query.order is not None:
            visited.extend(str(document["image_id"]) for document in page.documents)
        return page

    monkeypatch.setattr(world.records, "find", find)
    await swept.run_pass()
    assert visited == [recent.image_id, late.image_id]


async def test_a_pass_that_failed_is_done_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = image(1)
    await world.put(picture)
    real, failures = world.records.find, 0

    async def find(collection: Collection, query: Query) -> Any:
        nonlocal failures
        if failures < 2:
            failures += 1
            raise StoreUnavailable("locked")
        return await real(collection, query)

    monkeypatch.setattr(world.records, "find", find)
    task = PeriodicTask("sweep", _sweep(world).run_pass, interval_s=0.01, condition=Condition())
    assert [await task.run_pass() for _ in range(3)] == [False, False, True]
    assert await world.alert(picture) is not None


async def test_unreadable_images_are_reported_once_and_do_not_stop_a_sweep(world: World) -> None:
    damaged, wrong_time, good = image(1), image(3), image(2, analyzed_at=EPOCH + timedelta(seconds=1))
    await world.put(good)
    await world.records.insert(
        Collection.IMAGES,
        [
            {**damaged.model_dump(mode="json"), "original": None},
            {**wrong_time.model_dump(mode="json"), "analyzed_at": "2026-13-13"},
        ],
    )
    for _ in range(3):
        await _sweep(world).run_pass()
    assert await world.alert(good) is not None
    errors = world.condition.last_errors
    assert [sum(one.image_id in error for error in errors) for one in (damaged, wrong_time)] == [1, 1]


async def test_a_cursor_of_another_store_begins_the_walks_again(world: World) -> None:
    progress = {"name": "notifier.sweep", "anomalies_after": "of another store", "alerts_after": "of another store"}
    await world.records.upsert(Collection.META, [progress])
    await world.put(image(1))
    for _ in range(2):
        await _sweep(world).run_pass()
    assert await world.alert(image(1)) is not None


async def test_unreadable_progress_begins_the_sweep_again(world: World) -> None:
    await world.records.upsert(Collection.META, [{"name": "notifier.sweep", "swept_until": "yesterday"}])
    await world.put(image(1))
    await _sweep(world).run_pass()
    assert await world.alert(image(1)) is not None
