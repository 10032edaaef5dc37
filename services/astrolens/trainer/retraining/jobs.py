"""Takes retraining runs from the record store, one at a time, and writes down how far they are.

The process of a run leaves finished steps in its folder. Whatever kills it or this service, the run is still `running`
in its document: whoever holds the lease next starts a process for it again, which goes on where the last one stopped.
"""

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import structlog

from astrolens.contracts.base import utc_now
from astrolens.contracts.records import Answer
from astrolens.contracts.training_runs import (
    MAX_LOG_LINES,
    RunReason,
    RunState,
    TrainingOptions,
    TrainingRunRecord,
)
from astrolens.platform.settings import Settings
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, Clause, RecordStore
from astrolens.trainer.metrics import TrainingMetrics
from astrolens.trainer.retraining.answer_baseline import AnswerBaseline, answer_baseline
from astrolens.trainer.retraining.orders import LOG, ORDER, OUTCOME, Bounds, Order, read_outcome, read_progress, write
from astrolens.trainer.retraining.process import RunProcess, ending, last_lines, training_available
from astrolens.usecases.errors import Conflict
from astrolens.usecases.training_runs import changed_fields, newest_run, open_runs, queue_run

MAX_ATTEMPTS: Final = 6
"""Processes that one run may take without getting further: a picture or a setting that ends it would do so for ever."""
TRIGGER_EVERY: Final = timedelta(minutes=1)
"""Between looks whether a run is due by itself."""
AUTOMATIC: Final = "astrolens"
"""Who asks for a run that is due by itself."""

_FOUND: Final = ("champion", "challenger", "data", "changes", "before", "after", "gates")
"""Fields of an outcome that go into the document."""

_log = structlog.get_logger(__name__)


class TrainingJobs:
    """Runs what is queued.

    Args:
        records: The record store.
        settings: Bounds, sets, and when a run is due by itself.
        process: Runs one run.
        metrics: What becomes of runs.
        owner: Name of this trainer, for documents.
        champion: Gives the folder of the promoted bundle.
        clock: The present time.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        settings: Settings,
        process: RunProcess,
        metrics: TrainingMetrics,
        owner: str,
        champion: Callable[[], Path],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._records = records
        self._settings = settings
        self._process = process
        self._metrics = metrics
        self._owner = owner
        self._champion = champion
        self._clock = clock
        self._folder = settings.home / "training"
        self._current: str | None = None
        self._looked_at: datetime | None = None

    async def run_pass(self) -> None:
        """Start what waits, follow what runs, end what is cancelled.

        Raises:
            StoreUnavailable: The record store is unreachable; a process that runs goes on.
        """
        runs = await open_runs(self._records)
        if self._current is not None and all(own.run_id != self._current for own in runs):
            # Somebody else has ended it.
            await self._end_process()
        if not runs:
            self._metrics.follow(None)
            await self._queue_if_due()
            return
        run = next((own for own in runs if own.run_id == self._current), runs[0])
        self._metrics.follow(run)
        if run.cancel_requested_by is not None:
            await self._cancel(run)
        elif run.run_id == self._current:
            await self._follow(run)
        else:
            await self._start(run)

    async def close(self) -> None:
        """End the process; the run goes on where it stopped when a trainer runs again.

        The attempt was not fruitless: the trainer ended it, no fault of the run.
        """
        run_id, was_running = self._current, self._process.is_running
        await self._end_process()
        if run_id is None or not was_running:
            return
        run = next((own for own in await open_runs(self._records) if own.run_id == run_id), None)
        if run is not None and run.fruitless_attempts > 0:
            await self._save(run, run.model_copy(update={"fruitless_attempts": run.fruitless_attempts - 1}))

    async def _start(self, run: TrainingRunRecord) -> None:
        available, detail = training_available()
        if not available:
            await self._finish(run, RunState.FAILED, failure=detail)
            return
        if run.fruitless_attempts >= MAX_ATTEMPTS:
            failure = run.failure or "its process ended again and again"
            where = f" in the step {run.step.value}" if run.step else ""
            failure = f"{failure} ({run.fruitless_attempts} attempts{where} that got no further)"
            await self._finish(run, RunState.FAILED, failure=failure)
            return
        folder = self._folder_of(run.run_id)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if read_outcome(folder) is None:
            write(folder, ORDER, self._order(run))
            await self._process.start(folder)
            self._metrics.started()
        now = self._clock()
        update = {
            "state": RunState.RUNNING,
            "started_at": run.started_at or now,
            "owner": self._owner,
            "attempts": run.attempts + 1,
            "fruitless_attempts": run.fruitless_attempts + 1,
        }
        if await self._save(run, run.model_copy(update=update)):
            self._current = run.run_id
            _log.info("retraining begins", run=run.run_id, attempt=run.attempts + 1, reason=run.reason.value)
        else:
            await self._end_process()

    async def _follow(self, run: TrainingRunRecord) -> None:
        folder = self._folder_of(run.run_id)
        if not self._process.is_running and (outcome := read_outcome(folder)) is not None:
            state = RunState.DONE if outcome.state == "done" else RunState.FAILED
            found = self._further(run, folder) | {name: getattr(outcome, name) for name in _FOUND}
            await self._finish(run.model_copy(update=found), state, failure=outcome.failure, before=run)
            return
        if not self._process.is_running:
            code = self._process.exit_code
            self._process.forget()
            self._current = None
            failure = f"its process {ending(code)}" if code is not None else None
            update = {**self._further(run, folder), "failure": failure, "log": last_lines(folder, MAX_LOG_LINES)}
            await self._save(run, run.model_copy(update=update))
            _log.warning("the process of a retraining run ended", run=run.run_id, why=failure)
            return
        if update := self._further(run, folder):
            await self._save(run, run.model_copy(update={**update, "log": last_lines(folder, MAX_LOG_LINES)}))

    def _further(self, run: TrainingRunRecord, folder: Path) -> dict[str, object]:
        """What its process has said since; nothing where it said nothing new."""
        progress = read_progress(folder)
        if progress is None or (progress.step is run.step and progress.cpu_s == run.cpu_s):
            return {}
        return {
            "step": progress.step,
            "progress": max(progress.progress, run.progress),
            "fruitless_attempts": 0 if progress.progress > run.progress else run.fruitless_attempts,
            "progressed_at": self._clock(),
            "cpu_s": progress.cpu_s,
        }

    async def _cancel(self, run: TrainingRunRecord) -> None:
        await self._end_process()
        await self._finish(run, RunState.CANCELLED)

    async def _finish(
        self,
        run: TrainingRunRecord,
        state: RunState,
        *,
        failure: str | None = None,
        before: TrainingRunRecord | None = None,
    ) -> None:
        """Write the end of a run, and remove what it needed."""
        folder = self._folder_of(run.run_id)
        update = {
            "state": state,
            "failure": failure,
            "finished_at": self._clock(),
            "log": last_lines(folder, MAX_LOG_LINES),
            "progress": 1.0 if state is RunState.DONE else run.progress,
        }
        after = run.model_copy(update=update)
        if not await self._save(before or run, after):
            return
        self._current = None
        self._process.forget()
        self._metrics.finished(after)
        _remove(folder)
        _log.info("retraining ended", run=run.run_id, state=state.value, failure=failure)

    async def _end_process(self) -> None:
        await self._process.stop()
        self._current = None

    async def _save(self, before: TrainingRunRecord, after: TrainingRunRecord) -> bool:
        """Write what changed, unless the run has another state by now."""
        change = Change(
            id=before.run_id,
            set=changed_fields(before, after),
            when=(Clause("state", "eq", before.state.value),),
        )
        return bool(await self._records.apply(Collection.TRAINING_RUNS, [change]))

    async def _queue_if_due(self) -> None:
        """Queue a run where the settings say that it is time, or that enough has been answered."""
        now = self._clock()
        if self._looked_at is not None and now - self._looked_at < TRIGGER_EVERY:
            return
        self._looked_at = now
        labels = await self._records.tally(Collection.IMAGES, "label")
        answers = sum(labels.get((answer.value,), 0) for answer in Answer)
        baseline = await answer_baseline(self._records, answers=answers, now=now)
        if not training_available()[0]:
            return
        reason = await self._due(answers, baseline, now)
        if reason is not None:
            try:
                await queue_run(self._records, TrainingOptions(), reason, AUTOMATIC, self._clock)
            except Conflict:
                return

    async def _due(self, answers: int, baseline: AnswerBaseline, now: datetime) -> RunReason | None:
        """Why a run is due, counted from the last one, or from the baseline of this archive where there was none."""
        last = await newest_run(self._records)
        before, since = (baseline.answers, baseline.looked_at) if last is None else (last.answers, last.requested_at)
        needed = self._settings.retrain_after_labels
        if needed and answers - before >= needed:
            return RunReason.LABELS
        days = self._settings.retrain_every_days
        return RunReason.SCHEDULE if days and answers and now - since >= timedelta(days=days) else None

    def _order(self, run: TrainingRunRecord) -> Order:
        settings = self._settings
        return Order(
            run_id=run.run_id,
            options=run.options.model_copy(
                update={"backbone": run.options.backbone or settings.training_backbone or None}
            ),
            champion=self._champion(),
            false_alarms_per_1000=settings.false_alarms_per_1000,
            sets=settings.training_sets,
            backbones=settings.home / "backbones",
            fetch_hosts=settings.fetch_hosts,
            bounds=Bounds(
                max_cost=settings.model_max_cost,
                max_graph_mib=settings.model_max_graph_mib,
                protected_surveys=(*settings.protected_surveys, *settings.sources),
            ),
            memory_mib=settings.training_memory_mib,
            cpu_hours=settings.training_cpu_hours,
            spent_cpu_s=run.cpu_s or 0.0,
        )

    def _folder_of(self, run_id: str) -> Path:
        return self._folder / run_id


def _remove(folder: Path) -> None:
    """Remove what a run needed; its outcome and log stay, and its challenger is in the registry."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name in {OUTCOME, LOG}:
            continue
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
