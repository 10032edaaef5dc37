"""The books and the state of everything, from tallies and heartbeats."""

from datetime import timedelta
from typing import Any

import pytest
from astrolens.contracts.base import utc_now
from astrolens.contracts.records import Books, ImageState, Observation, Outcome, Receipt, ServiceStatus, SourceStatus
from astrolens.platform.errors import ModelUnavailable
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Query, RecordStore
from astrolens.rpc.messages import Description
from astrolens.usecases.model_status import ModelStatus
from astrolens.usecases.status import AHEAD_AFTER_S, FORGOTTEN_AFTER_S, SILENT_AFTER_S, StatusReader
from hypothesis import given
from hypothesis import strategies as st

from tests.made_records import make_image


class NoModel:
    async def describe(self) -> Description:
        raise ModelUnavailable("loading")


@pytest.fixture
def status(records: RecordStore) -> StatusReader:
    return StatusReader(records=records, model=ModelStatus(NoModel()))


def service(name: str, *, age_s: float = 0.0, state: str = "running", **more: Any) -> ServiceStatus:
    seen = utc_now() - timedelta(seconds=age_s)
    fields = {"instance": f"{name}@host", "pid": 1, "version": "1", "ready": True, **more}
    return ServiceStatus(service=name, started_at=seen, seen_at=seen, state=state, **fields)


def receipt(ref: str, outcome: Outcome, *, batch: str = "night") -> Receipt:
    identity = f"{batch}/{ref}"
    fields = {"source": "upload", "batch": batch, "ref": ref, "observation": Observation(), "received_at": utc_now()}
    return Receipt(receipt_id=identity, outcome=outcome, **fields)


@given(st.dictionaries(st.sampled_from(list(Outcome)), st.integers(0, 10**9)), st.data())
def test_books_balance_whatever_the_tallies(outcomes: dict[Outcome, int], data: st.DataObject) -> None:
    accepted = outcomes.get(Outcome.ACCEPTED, 0)
    analyzed = data.draw(st.integers(0, accepted))
    lost = data.draw(st.integers(0, accepted - analyzed))
    books = Books.of(
        {(outcome,): count for outcome, count in outcomes.items()},
        {(ImageState.ANALYZED,): analyzed, (ImageState.DEAD_LETTERED,): lost},
    )
    assert books.in_flight >= 0
    assert books.received == sum(outcomes.values())


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
    assert (await status.batch_progress("none")).received == 0
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


async def test_a_heartbeat_from_the_future_is_no_sign_of_life(records: RecordStore) -> None:
    now = [utc_now()]
    status = StatusReader(records=records, model=ModelStatus(NoModel()), clock=lambda: now[0])
    hung = service("analyzer").model_copy(update={"seen_at": now[0]})
    await records.upsert(Collection.SERVICES, [hung])
    now[0] -= timedelta(seconds=AHEAD_AFTER_S - 1)
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
