"""Retraining runs as the trainer's service takes, follows, resumes and ends them; their process is a small script."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import pytest
from astrolens.contracts.records import Answer
from astrolens.contracts.training_runs import RunReason, RunState, TrainingOptions, TrainingRunRecord
from astrolens.platform.settings import Settings
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, to_document
from astrolens.platform.stores.sqlite.store import SqliteRecordStore
from astrolens.platform.telemetry.metrics import Metrics
from astrolens.trainer.metrics import TrainingMetrics
from astrolens.trainer.retraining import jobs as jobs_module
from astrolens.trainer.retraining.jobs import MAX_ATTEMPTS, TrainingJobs
from astrolens.trainer.retraining.process import RunProcess
from astrolens.usecases.errors import Conflict, NotFound
from astrolens.usecases.training_runs import CAN_TRAIN, TrainingRequest, TrainingRuns

from tests.made_records import make_image

DONE = """
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
assert json.loads((folder / "order.json").read_text())["options"]["views"] == 300
(folder / "cutouts").mkdir(exist_ok=True)
print("learned")
(folder / "outcome.json").write_text(json.dumps({"state": "done", "challenger": "c" * 64, "changes": ["all"]}))
"""
FAILING = """
import pathlib, sys
pathlib.Path(sys.argv[1], "outcome.json").write_text('{"state": "failed", "failure": "no"}')
"""
KILLED_ONCE = """
import os, pathlib, sys
marker = pathlib.Path(sys.argv[1], "cache")
if not marker.exists():
    marker.write_text("half")
    os.kill(os.getpid(), 9)
""" + DONE.replace("300", "6000")
KILLED_NINE_TIMES = """
import json, os, pathlib, sys
folder = pathlib.Path(sys.argv[1])
marker = folder / "cache"
count = int(marker.read_text()) + 1 if marker.exists() else 1
marker.write_text(str(count))
spent = json.loads((folder / "order.json").read_text())["spent_cpu_s"]
progress = {"step": "views", "progress": count / 10, "cpu_s": count + spent}
(folder / "part").write_text(json.dumps(progress))
(folder / "part").replace(folder / "progress.json")
if count < 10:
    os.kill(os.getpid(), 9)
""" + DONE.replace("300", "6000")
ALWAYS_KILLED = "import os; os.kill(os.getpid(), 9)"
FOR_EVER = """
import json, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
def write(name, text):
    (folder / "part").write_text(text)
    (folder / "part").replace(folder / name)
write("progress.json", json.dumps({"step": "views", "progress": 0.4, "cpu_s": 1.5}))
write("pid", str(__import__("os").getpid()))
time.sleep(60)
"""
DEADLINE_S = 60.0


class World:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records = SqliteRecordStore(folder / "records.sqlite")
        self.now = datetime.now(UTC)
        self.runs = TrainingRuns(records=self.records, clock=lambda: self.now)
        self.jobs: list[TrainingJobs] = []
        self.shared = Metrics("trainer")
        self.metrics = TrainingMetrics(self.shared)

    def trainer(self, program: str, **settings: object) -> TrainingJobs:
        own = Settings(home=self.folder, **settings)
        made = TrainingJobs(
            records=self.records,
            settings=own,
            process=RunProcess(own, program=("-c", program)),
            metrics=self.metrics,
            owner="trainer@here",
            champion=lambda: own.bundle,
            clock=lambda: self.now,
        )
        self.jobs.append(made)
        return made

    def measured(self, name: str, **labels: str) -> float | None:
        """The value of a metric."""
        return self.shared.registry.get_sample_value(f"astrolens_training_{name}", labels)

    async def start(self, **options: object) -> str:
        request = TrainingRequest.model_validate({"options": options})
        return (await self.runs.start(request, user="vera")).run.run_id

    async def run(self, run_id: str) -> TrainingRunRecord:
        return (await self.runs.get(run_id)).run

    async def passes_until(self, jobs: TrainingJobs, run_id: str, state: RunState) -> TrainingRunRecord:
        began = monotonic()
        while (record := await self.run(run_id)).state is not state:
            assert monotonic() - began < DEADLINE_S, record
            await jobs.run_pass()
            await asyncio.sleep(0.02)
        return record

    async def answer(self, names: list[str]) -> None:
        for name in names:
            document = to_document(make_image(name)[0])
            await self.records.insert(Collection.IMAGES, [document | {"label": Answer.INTERESTING.value}])


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    await world.records.open()
    info = {CAN_TRAIN: {"available": True, "detail": "it can"}}
    heartbeat = {"instance": "trainer@here", "service": "trainer", "seen_at": world.now.isoformat(), "info": info}
    await world.records.upsert(Collection.SERVICES, [heartbeat])
    yield world
    for jobs in world.jobs:
        await jobs.close()
    await world.records.close()


async def test_a_run_is_queued_runs_and_leaves_what_it_found(world: World) -> None:
    run_id = await world.start(views=300)
    assert (await world.run(run_id)).state is RunState.QUEUED
    jobs = world.trainer(DONE)
    record = await world.passes_until(jobs, run_id, RunState.DONE)
    assert (record.challenger, record.changes, record.attempts) == ("c" * 64, ("all",), 1)
    assert (record.requested_by, record.reason, record.log) == ("vera", RunReason.REQUEST, ("learned",))
    assert record.progress == 1.0
    assert record.finished_at is not None
    assert not (world.folder / "training" / run_id / "cutouts").exists(), "what it needed is removed"


async def test_one_run_at_a_time_and_a_failure_says_why(world: World) -> None:
    run_id = await world.start()
    with pytest.raises(Conflict, match=run_id):
        await world.start()
    record = await world.passes_until(world.trainer(FAILING), run_id, RunState.FAILED)
    assert record.failure == "no"
    assert await world.start() != run_id, "the next may begin"


async def test_a_killed_process_goes_on_where_it_stopped(world: World) -> None:
    run_id = await world.start()
    record = await world.passes_until(world.trainer(KILLED_ONCE), run_id, RunState.DONE)
    assert record.attempts == 2


async def test_kills_do_not_end_a_run_that_gets_further_each_time(world: World) -> None:
    run_id = await world.start()
    record = await world.passes_until(world.trainer(KILLED_NINE_TIMES), run_id, RunState.DONE)
    assert record.attempts == 10 > MAX_ATTEMPTS
    assert record.cpu_s == sum(range(1, 11)), "the processor time of its processes adds up"


async def test_a_process_that_always_dies_ends_the_run_with_the_reason(world: World) -> None:
    run_id = await world.start()
    record = await world.passes_until(world.trainer(ALWAYS_KILLED), run_id, RunState.FAILED)
    assert record.attempts == MAX_ATTEMPTS
    assert record.failure is not None
    assert "SIGKILL" in record.failure


async def test_another_trainer_takes_over_what_a_dead_one_left(world: World) -> None:
    run_id = await world.start(views=300)
    first = world.trainer(FOR_EVER)
    await world.passes_until(first, run_id, RunState.RUNNING)
    await first.close()  # as its process ends with it
    record = await world.passes_until(world.trainer(DONE), run_id, RunState.DONE)
    assert record.attempts == 2


async def test_restarts_of_the_trainer_do_not_fail_a_run(world: World) -> None:
    run_id = await world.start(views=300)
    for _ in range(MAX_ATTEMPTS + 1):
        jobs = world.trainer("import time; time.sleep(60)")
        await jobs.run_pass()
        await jobs.close()
    record = await world.run(run_id)
    assert (record.attempts, record.fruitless_attempts) == (MAX_ATTEMPTS + 1, 0)
    await world.passes_until(world.trainer(DONE), run_id, RunState.DONE)


async def test_progress_is_written_and_a_cancelled_run_ends_at_once(world: World) -> None:
    run_id = await world.start()
    jobs = world.trainer(FOR_EVER)
    pid = world.folder / "training" / run_id / "pid"
    began = monotonic()
    while not pid.is_file() or (await world.run(run_id)).step is None:
        assert monotonic() - began < DEADLINE_S
        await jobs.run_pass()
        await asyncio.sleep(0.02)
    record = await world.run(run_id)
    assert (record.step, record.progress, record.cpu_s) == ("views", 0.4, 1.5)
    await jobs.run_pass()
    assert (world.measured("open"), world.measured("progress"), world.measured("processes_total")) == (1, 0.4, 1)
    assert world.measured("progressed_timestamp_seconds") == world.now.timestamp()
    process = int(pid.read_text())
    await world.runs.cancel(run_id, user="tom")
    await jobs.run_pass()
    record = await world.run(run_id)
    assert (record.state, record.cancel_requested_by) == (RunState.CANCELLED, "tom")
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    await jobs.run_pass()
    assert (world.measured("open"), world.measured("progressed_timestamp_seconds")) == (0, 0)
    with pytest.raises(Conflict, match="cancelled"):
        await world.runs.cancel(run_id, user="tom")


async def test_a_queued_run_is_cancelled_without_a_trainer(world: World) -> None:
    run_id = await world.start()
    assert (await world.runs.cancel(run_id, user="vera")).run.state is RunState.CANCELLED
    with pytest.raises(NotFound):
        await world.runs.cancel("0" * 16, user="vera")


async def test_without_torch_nothing_is_queued_and_a_queued_run_fails_in_plain_words(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = await world.start()
    monkeypatch.setattr(jobs_module, "training_available", lambda: (False, "run `make setup`"))
    record = await world.passes_until(world.trainer(DONE), run_id, RunState.FAILED)
    assert record.failure == "run `make setup`"
    away = {CAN_TRAIN: {"available": False, "detail": "torch is missing"}}
    heartbeat = {"instance": "trainer@here", "service": "trainer", "seen_at": world.now.isoformat(), "info": away}
    await world.records.upsert(Collection.SERVICES, [heartbeat])
    with pytest.raises(Conflict, match="torch is missing"):
        await world.start()
    world.now += timedelta(minutes=1)
    with pytest.raises(Conflict, match="No trainer runs"):
        await world.start()


async def test_enough_answers_and_a_schedule_queue_a_run(world: World) -> None:
    jobs = world.trainer(FOR_EVER, retrain_after_labels=3, retrain_every_days=2)
    await jobs.run_pass()
    assert not (await world.runs.page()).items, "nothing is answered yet"
    await world.answer(["a", "b", "c"])
    await jobs.run_pass()
    assert not (await world.runs.page()).items, "it looks once a minute"
    world.now += timedelta(minutes=1)
    await jobs.run_pass()
    [first] = (await world.runs.page()).items
    assert (first.run.reason, first.run.answers, first.run.requested_by) == (RunReason.LABELS, 3, "astrolens")
    await world.runs.cancel(first.run.run_id, user="vera")
    world.now += timedelta(days=1)
    await jobs.run_pass()
    assert len((await world.runs.page()).items) == 1
    world.now += timedelta(days=1, minutes=1)
    await jobs.run_pass()
    assert [each.run.reason for each in (await world.runs.page()).items] == [RunReason.SCHEDULE, RunReason.LABELS]


async def test_answers_of_an_earlier_version_make_no_run_due(world: World) -> None:
    await world.answer(["a", "b", "c"])
    jobs = world.trainer(FOR_EVER, retrain_after_labels=3, retrain_every_days=2)
    await jobs.run_pass()
    world.now += timedelta(minutes=1)
    await world.answer(["d", "e"])
    await world.trainer(FOR_EVER, retrain_after_labels=3, retrain_every_days=2).run_pass()
    assert not (await world.runs.page()).items, "three were there, and two are new"
    await world.answer(["f"])
    world.now += timedelta(minutes=1)
    await world.trainer(FOR_EVER, retrain_after_labels=3).run_pass()
    [run] = (await world.runs.page()).items
    assert (run.run.reason, run.run.answers) == (RunReason.LABELS, 6)


async def test_a_schedule_begins_with_the_first_start_on_an_archive(world: World) -> None:
    await world.answer(["a"])
    jobs = world.trainer(FOR_EVER, retrain_after_labels=0, retrain_every_days=2)
    await jobs.run_pass()
    world.now += timedelta(days=1)
    await jobs.run_pass()
    assert not (await world.runs.page()).items
    world.now += timedelta(days=1)
    await jobs.run_pass()
    assert [each.run.reason for each in (await world.runs.page()).items] == [RunReason.SCHEDULE]


async def test_a_run_that_somebody_else_ended_loses_its_process(world: World) -> None:
    run_id = await world.start()
    jobs = world.trainer(FOR_EVER)
    await world.passes_until(jobs, run_id, RunState.RUNNING)
    ended = Change(id=run_id, set={"state": RunState.FAILED.value})
    await world.records.apply(Collection.TRAINING_RUNS, [ended])
    await jobs.run_pass()
    assert jobs._current is None
    assert json.loads((world.folder / "training" / run_id / "order.json").read_text())["run_id"] == run_id
    assert TrainingOptions().views == 6000
