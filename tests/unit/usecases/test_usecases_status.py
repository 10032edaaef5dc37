"""The books and the state of everything, from tallies and heartbeats."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from astrolens.contracts.base import utc_now, utc_text
from astrolens.contracts.records import ImageState, Observation, Outcome, Receipt
from astrolens.contracts.status import Books, ServiceStatus, SourceStatus
from astrolens.platform.errors import ModelUnavailable
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Clause, Query, RecordStore
from astrolens.rpc.messages import Description
from astrolens.usecases.errors import NotFound
from astrolens.usecases.model_status import ModelStatus
from astrolens.usecases.status import FORGOTTEN_AFTER_S, MAX_CLOCK_AHEAD_S, SILENT_AFTER_S, StatusReader
from hypothesis import given
from hypothesis import strategies as st

from tests.made_records import make_image


class NoModel:
    async def describe(self) -> Description:
        raise ModelUnavailable("loading")


NOW = utc_now()


@pytest.fixture
def status(records: RecordStore) -> StatusReader:
    return StatusReader(records=records, model=ModelStatus(NoModel()), clock=lambda: NOW)


def service(name: str, *, age_s: float = 0.0, state: str = "running", **more: Any) -> ServiceStatus:
    seen = NOW - timedelta(seconds=age_s)
    fields = {"instance": f"{name}@host", "pid": 1, "version": "1", "ready": True, **more}
    return ServiceStatus(service=name, started_at=seen, seen_at=seen, state=state, **fields)


def receipt(ref: str, outcome: Outcome, *, batch: str = "night") -> Receipt:
    identity = f"{batch}/{ref}"
    fields = {"source": "upload", "batch": batch, "ref": ref, "observation": Observation(), "received_at": utc_now()}
    return Receipt(receipt_id=identity, outcome=outcome, **fields)


class Counts:
    """Tallies of one moment, of an archive where nothing is lost."""

    def __init__(self, outcomes: dict[Outcome, int], data: st.DataObject) -> None:
        self.outcomes = {(outcome.value,): count for outcome, count in outcomes.items()}
        # Between two writes an image is there and its arrival has no outcome yet.
        ahead = data.draw(st.integers(0, outcomes.get(Outcome.RECEIVED, 0)))
        images = outcomes.get(Outcome.ACCEPTED, 0) + ahead
        analyzed = data.draw(st.integers(0, images))
        dead = data.draw(st.integers(0, images - analyzed))
        counts = (analyzed, dead, images - analyzed - dead)
        states = (ImageState.ANALYZED, ImageState.DEAD_LETTERED, ImageState.INGESTED)
        self.states = {(state.value,): count for state, count in zip(states, counts, strict=True)}


@given(st.dictionaries(st.sampled_from(list(Outcome)), st.integers(0, 10**9)), st.data())
def test_books_balance_at_any_moment_of_an_honest_archive(outcomes: dict[Outcome, int], data: st.DataObject) -> None:
    counts = Counts(outcomes, data)
    books = Books.of(counts.outcomes, counts.states)
    assert books.imbalance is None
    assert books.in_flight >= 0
    assert books.received == sum(outcomes.values())


@given(st.dictionaries(st.sampled_from(list(Outcome)), st.integers(0, 10**9)), st.data(), st.integers(1, 10**9))
def test_books_of_a_damaged_archive_do_not_balance(
    outcomes: dict[Outcome, int], data: st.DataObject, damage: int
) -> None:
    counts = Counts(outcomes | {Outcome.RECEIVED: 0}, data)  # nothing is between two writes
    state = data.draw(st.sampled_from(sorted(counts.states)))
    appeared = Books.of(counts.outcomes, {**counts.states, state: counts.states[state] + damage})
    assert appeared.imbalance is not None
    assert appeared.imbalance.endswith(f"{damage} images have no accepted arrival")
    vanished = min(damage, counts.states[state])
    books = Books.of(counts.outcomes, {**counts.states, state: counts.states[state] - vanished})
    assert (books.imbalance is None) == (vanished == 0)


async def test_an_image_that_vanishes_is_missed_by_the_books(records: RecordStore, status: StatusReader) -> None:
    await records.insert(Collection.RECEIPTS, [receipt(str(number), Outcome.ACCEPTED) for number in range(3)])
    pictures = [make_image(str(number))[0] for number in range(3)]
    await records.insert(Collection.IMAGES, pictures)
    assert (await status.check_books()).imbalance is None
    await records.delete(Collection.IMAGES, [pictures[0].image_id])
    checked = await status.check_books(recount=True)
    assert checked.imbalance == (
        "the books do not balance: 3 received, 2 found again; 1 arrivals are accepted and have no image"
    )
    assert (await status.read()).imbalance == checked.imbalance
    assert checked.miscounted == [], "the store has counted the deletion"


async def test_documents_that_the_counters_do_not_know_of_are_found_by_counting(
    tmp_path: Path, records: RecordStore, status: StatusReader
) -> None:
    await records.insert(Collection.RECEIPTS, [receipt(str(number), Outcome.DUPLICATE) for number in range(3)])
    with closing(sqlite3.connect(tmp_path / "records.sqlite")) as db, db:
        db.execute("DELETE FROM receipts WHERE row = 1")
    checked = await status.check_books()
    assert (checked.imbalance, checked.recounted, checked.miscounted) == (None, False, [])
    checked = await status.check_books(recount=True)
    assert checked.miscounted == ["receipts: 2 are duplicate, their counter says 3"]


async def test_the_books_of_one_batch_leave_out_the_others(records: RecordStore, status: StatusReader) -> None:
    outcomes = [Outcome.ACCEPTED, Outcome.DUPLICATE, Outcome.RECEIVED]
    await records.insert(Collection.RECEIPTS, [receipt(outcome, outcome) for outcome in outcomes])
    await records.insert(Collection.RECEIPTS, [receipt("other", Outcome.REJECTED, batch="other")])
    await records.insert(Collection.IMAGES, [make_image("analysed")[0]])
    night = await status.batch_progress("night")
    assert (night.received, night.analyzed, night.duplicates, night.rejected, night.in_flight) == (3, 1, 1, 0, 1)
    assert not night.settled
    other = await status.batch_progress("other")
    assert (other.received, other.rejected, other.settled) == (1, 1, True)
    with pytest.raises(NotFound, match="none"):
        await status.batch_progress("none")
    assert (await status.in_flight(), (await status.books()).received) == (1, 4)


async def test_the_status_says_why_there_is_no_model(status: StatusReader) -> None:
    read = await status.read()
    assert read.model == {"state": "unreachable", "detail": "loading"}
    assert (read.received, read.services, read.batch) == (0, {}, None)


@pytest.mark.parametrize(
    ("age_s", "state", "shown"),
    [
        (SILENT_AFTER_S - 2, "running", "running"),
        (SILENT_AFTER_S + 1, "running", "silent"),
        (SILENT_AFTER_S + 1, "stopped", "stopped"),
        (FORGOTTEN_AFTER_S + 1, "running", None),
    ],
)
async def test_a_service_is_silent_and_then_forgotten(
    records: RecordStore, status: StatusReader, age_s: float, state: str, shown: str | None
) -> None:
    await records.upsert(Collection.SERVICES, [service("analyzer", age_s=age_s, state=state)])
    services = await status.services()
    assert {name: view.state for name, view in services.items()} == ({"analyzer": shown} if shown else {})


async def test_every_instance_counts_and_those_long_silent_are_forgotten(
    records: RecordStore, status: StatusReader
) -> None:
    reporting = [(0, "running"), (1, "running"), (2, "degraded"), (60, "running"), (30, "stopped")]
    long_silent = [(2 * 86_400, "running")] * 400
    pods = [
        service("analyzer", age_s=age_s, state=state).model_copy(update={"instance": f"analyzer@pod-{number:03}"})
        for number, (age_s, state) in enumerate([*reporting, *long_silent])
    ]
    await records.upsert(Collection.SERVICES, pods)
    services = await status.services()
    assert (services["analyzer"].instance, services["analyzer"].instances) == ("analyzer@pod-000", 3)
    left = (await records.find(Collection.SERVICES, Query(limit=1000))).documents
    assert len(left) == 5


async def test_more_sources_than_a_page_are_all_shown(records: RecordStore, status: StatusReader) -> None:
    names = [f"source-{number:03}" for number in range(450)]
    reports = [SourceStatus(source=name, state="idle", updated_at=utc_now()) for name in names]
    await records.upsert(Collection.SOURCES, reports)
    await records.insert(Collection.RECEIPTS, [receipt("a", Outcome.RECEIVED)])
    sources = await status.sources()
    assert list(sources) == [*names, "upload"]
    assert sources["upload"].outcomes == {"received": 1}


async def test_the_last_success_of_uploads_is_looked_up_where_something_came(
    records: RecordStore, status: StatusReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Collection] = []
    find = records.find

    async def counted(collection: Collection, query: Query) -> Any:
        asked.append(collection)
        return await find(collection, query)

    monkeypatch.setattr(records, "find", counted)
    accepted = receipt("1", Outcome.ACCEPTED)
    await records.insert(Collection.RECEIPTS, [accepted])
    for _ in range(3):
        assert (await status.sources())["upload"].last_success_at == accepted.received_at
    assert asked.count(Collection.RECEIPTS) == 1

    later = receipt("2", Outcome.ACCEPTED)
    await records.insert(Collection.RECEIPTS, [later, receipt("3", Outcome.REJECTED)])
    assert (await status.sources())["upload"].last_success_at == later.received_at


async def test_a_heartbeat_from_the_future_is_no_sign_of_life(records: RecordStore) -> None:
    now = [utc_now()]
    status = StatusReader(records=records, model=ModelStatus(NoModel()), clock=lambda: now[0])
    hung = service("analyzer").model_copy(update={"seen_at": now[0]})
    await records.upsert(Collection.SERVICES, [hung])
    now[0] -= timedelta(seconds=MAX_CLOCK_AHEAD_S - 1)
    assert (await status.services())["analyzer"].state == "running", "clocks of instances differ a little"
    now[0] -= timedelta(hours=2)
    view = (await status.services())["analyzer"]
    assert (view.state, view.ready, view.silent_s) == ("silent", False, 0.0)
    assert view.detail is not None
    assert view.detail.startswith("its last heartbeat lies 7204 s in the future: a clock was set back")
    fresh = hung.model_copy(update={"seen_at": now[0], "instance": "analyzer@other"})
    await records.upsert(Collection.SERVICES, [fresh])
    view = (await status.services())["analyzer"]
    assert (view.instance, view.state, view.instances) == ("analyzer@other", "running", 1)
    await records.upsert(Collection.SERVICES, [hung.model_copy(update={"seen_at": now[0]})])
    assert (await status.services())["analyzer"].instances == 2


async def test_images_that_are_analysed_again_are_told_beside_their_verdicts(
    records: RecordStore, status: StatusReader
) -> None:
    made = [make_image(f"{number}")[0] for number in range(5)]
    again = [image.model_copy(update={"state": ImageState.INGESTED}) for image in made[:2]]
    new = make_image("new", p_value=None)[0]
    await records.insert(Collection.IMAGES, [*again, *made[2:], new])
    found = await status.read()
    assert (found.analyzed, sum(found.verdicts.values()), found.analyzed_again) == (3, 5, 2)


async def test_the_last_success_is_looked_for_behind_the_one_before(
    records: RecordStore, status: StatusReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Clause, ...]] = []
    find = records.find

    async def noted(collection: Collection, query: Query) -> Any:
        if collection is Collection.RECEIPTS:
            asked.append(query.where)
        return await find(collection, query)

    monkeypatch.setattr(records, "find", noted)
    of_source = Clause("source", "eq", "upload")
    first, second = receipt("1", Outcome.ACCEPTED), receipt("2", Outcome.RECEIVED)

    async def last_success() -> Any:
        return (await status.sources())["upload"].last_success_at

    await records.insert(Collection.RECEIPTS, [first])
    assert await last_success() == first.received_at
    await records.insert(Collection.RECEIPTS, [second])
    assert await last_success() == second.received_at
    behind_first = Clause("received_at", "gte", utc_text(first.received_at))
    assert asked == [(of_source,), (of_source, behind_first)]

    await records.upsert(Collection.RECEIPTS, [second.model_copy(update={"outcome": Outcome.REJECTED})])
    assert await last_success() == first.received_at
    assert asked[3:] == [(of_source,)]
