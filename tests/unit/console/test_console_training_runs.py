"""Retraining runs over REST and on the Model page: asked for, listed, cancelled, and what each brought in words."""

from datetime import UTC, datetime
from typing import Any

import httpx
from astrolens.console.pages.training_runs import _row
from astrolens.contracts.base import utc_now, utc_text
from astrolens.contracts.records import Answer
from astrolens.contracts.training_runs import (
    DataSummary,
    Gate,
    GateReport,
    RunFigures,
    RunReason,
    RunState,
    TrainingRunRecord,
)
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import RecordStore, to_document
from astrolens.usecases.training_runs import CAN_TRAIN, TrainingRunView

from tests.made_records import make_image

NOW = datetime(2026, 5, 1, tzinfo=UTC)


async def heartbeat(records: RecordStore, *, available: bool) -> None:
    info = {CAN_TRAIN: {"available": available, "detail": "it says so"}}
    beat = {"instance": "trainer@x", "service": "trainer", "seen_at": utc_text(utc_now()), "info": info}
    await records.upsert(Collection.SERVICES, [beat])


def done(*, passed: bool) -> TrainingRunRecord:
    gates = (
        Gate(name="oddity AUROC, sdss", passed=passed, detail="0.90 before, 0.80 after"),
        Gate(name="cost of an image", passed=True, detail="4 CPU-ms"),
    )
    report = GateReport(
        champion="a" * 64, challenger="b" * 64, measured_at=NOW, benchmarks=(), gates=gates, passed=passed
    )
    return TrainingRunRecord(
        run_id="0123456789abcdef",
        state=RunState.DONE,
        reason=RunReason.LABELS,
        requested_by="vera",
        requested_at=NOW,
        before=RunFigures(accuracy=0.80),
        after=RunFigures(accuracy=0.849),
        gates=report,
        changes=("heads trained",),
        data=DataSummary(
            digest="d" * 64, images={}, labels={"artefact": 12}, held_out={"artefact": 3}, origins={"x": 90}
        ),
    )


async def test_a_run_is_asked_for_listed_and_cancelled(world: Any, client: httpx.AsyncClient) -> None:
    records = world.context.records
    unknown = await client.post("/api/training/runs", json={"options": {"bogus": 1}})
    assert (unknown.status_code, "bogus" in unknown.json()["detail"]) == (422, True)
    refused = await client.post("/api/training/runs", json={})
    assert refused.status_code == 409
    assert "No trainer runs" in refused.json()["detail"]
    await heartbeat(records, available=False)
    assert "it says so" in (await client.post("/api/training/runs", json={})).json()["detail"]
    await heartbeat(records, available=True)
    run = (await client.post("/api/training/runs", json={"options": {"views": 500}})).raise_for_status().json()["run"]
    assert (run["state"], run["options"]["views"], run["reason"]) == ("queued", 500, "request")
    assert (await client.post("/api/training/runs", json={})).status_code == 409, "one at a time"
    body = (await client.get("/api/training/runs")).raise_for_status().json()
    assert (body["available"], [each["run"]["run_id"] for each in body["items"]]) == (True, [run["run_id"]])
    path = f"/api/training/runs/{run['run_id']}"
    assert (await client.get(path)).raise_for_status().json()["run"] == run
    cancelled = (await client.post(f"{path}/cancel")).raise_for_status().json()["run"]
    assert cancelled["state"] == "cancelled"
    assert (await client.post(f"{path}/cancel")).status_code == 409
    assert (await client.get("/api/training/runs/0000000000000000")).status_code == 404
    assert (await client.get("/api/training/runs/none")).status_code == 422
    assert (await client.post("/api/training/runs", json={"options": {"views": 1}})).status_code == 422


async def test_the_learning_curve_counts_in_the_order_of_answers(world: Any, client: httpx.AsyncClient) -> None:
    answers = [Answer.INTERESTING, Answer.ORDINARY, Answer.ARTEFACT, Answer.INTERESTING]
    for number, answer in enumerate(answers):
        document = to_document(make_image(f"curve-{number}")[0])
        labelled = {"label": answer.value, "labeled_at": f"2026-05-01T00:0{number}:00.000000Z"}
        await world.context.records.insert(Collection.IMAGES, [document | labelled])
    curve = (await client.get("/api/training/learning-curve")).raise_for_status().json()
    assert curve == {"answers": [1, 2, 3, 4], "found": [1, 1, 1, 2]}


def test_a_row_says_what_a_run_brought() -> None:
    def words(record: TrainingRunRecord) -> str:
        return " | ".join(part["text"] for cell in _row(TrainingRunView.of(record)) for part in cell)

    good, bad = words(done(passed=True)), words(done(passed=False))
    assert "84.9% | +4.9%" in good
    assert "12 artefact" in good
    assert "passed all 2" in good
    assert "refused by 1 of 2 | oddity AUROC, sdss" in bad
    running = done(passed=True).model_copy(update={"state": RunState.RUNNING, "step": None, "gates": None})
    assert "cancel" in words(running)
