"""Retraining runs: ask for one, look at them, cancel one. The trainer does what is asked for."""

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from statistics import fmean
from typing import Final, Self

from pydantic import BaseModel, Field

from astrolens.contracts.base import utc_now, utc_text
from astrolens.contracts.records import Answer
from astrolens.contracts.training_runs import (
    OPEN_STATES,
    RunReason,
    RunState,
    TrainingOptions,
    TrainingRunRecord,
)
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import Change, Clause, Order, Query, RecordStore, to_document
from astrolens.usecases.errors import Conflict, NotFound
from astrolens.usecases.status import SILENT_AFTER_S
from astrolens.usecases.views import View

MAX_CURVE: Final = 5000
"""Answered images of the learning curve."""
_POINTS: Final = 200
_PAGE: Final = 500
TRAINER: Final = "trainer"
CAN_TRAIN: Final = "training"
"""What the trainer says in its heartbeat: `{"available": bool, "detail": sentence}`."""


class RequestedOptions(TrainingOptions, extra="forbid"):
    """Options as a person gives them: one that does not exist is refused, where a stored document may have it."""


class TrainingRequest(BaseModel, extra="forbid"):
    """A run that a person asks for."""

    options: RequestedOptions = Field(default_factory=RequestedOptions)


class TrainingRunView(View):
    """One run."""

    run: TrainingRunRecord
    refusal: str | None = Field(description="Why the challenger was refused, by its figures; null where it was not.")
    accuracy_change: float | None = Field(
        default=None, description="Accuracy of the challenger minus the champion's, on the same images of this run."
    )
    auroc: float | None = Field(
        default=None, description="Oddity AUROC of the challenger, the mean of the surveys that both were measured on."
    )
    auroc_change: float | None = Field(default=None, description="The same minus the champion's.")

    @classmethod
    def of(cls, record: TrainingRunRecord) -> Self:
        """The view of a run."""
        before = record.before.accuracy if record.before else None
        after = record.after.accuracy if record.after else None
        areas = _mean_areas(record)
        return cls(
            run=record,
            refusal=record.gates.refusal if record.gates else None,
            accuracy_change=round(after - before, 4) if before is not None and after is not None else None,
            auroc=round(areas[1], 4) if areas else None,
            auroc_change=round(areas[1] - areas[0], 4) if areas else None,
        )


def _mean_areas(record: TrainingRunRecord) -> tuple[float, float] | None:
    """Mean oddity AUROC of the surveys that champion and challenger were measured on; None where there is none."""
    if record.before is None or record.after is None:
        return None
    before, after = record.before.auroc, record.after.auroc
    if not (both := before.keys() & after.keys()):
        return None
    return fmean(before[name] for name in both), fmean(after[name] for name in both)


class TrainingRunPage(View):
    """Runs, the newest first."""

    items: list[TrainingRunView]
    next: str | None = Field(default=None, description="Give it as `after` to read on.")
    available: bool = Field(description="Whether the trainer can train.")
    detail: str = Field(description="What it can, or what is missing and how to add it.")


class LearningCurve(View):
    """How many interesting images the answers found, in the order in which they were given."""

    answers: list[int] = Field(description="Number of answered images.")
    found: list[int] = Field(description="How many of these were interesting.")


class TrainingRuns:
    """Reads, requests and cancels runs.

    Args:
        records: The record store.
        clock: The present time.
    """

    def __init__(self, *, records: RecordStore, clock: Callable[[], datetime] = utc_now) -> None:
        self._records = records
        self._clock = clock

    async def start(self, request: TrainingRequest, *, user: str) -> TrainingRunView:
        """Queue a run.

        Raises:
            Conflict: One is open already, or training is not installed.
        """
        available, detail = await self.availability()
        if not available:
            raise Conflict("Cannot train", detail)
        return TrainingRunView.of(await queue_run(self._records, request.options, RunReason.REQUEST, user, self._clock))

    async def cancel(self, run_id: str, *, user: str) -> TrainingRunView:
        """Cancel a run: one that is queued at once, one that is running within seconds.

        Raises:
            NotFound: There is no such run.
            Conflict: It has ended.
        """
        record = await self._read(run_id)
        if record.state is RunState.QUEUED:
            changed = {"state": RunState.CANCELLED.value, "finished_at": utc_text(self._clock())}
        else:
            changed = {}
        change = Change(
            id=run_id,
            set={"cancel_requested_by": user, **changed},
            when=(Clause("state", "eq", record.state.value),),
        )
        if record.state not in OPEN_STATES or not await self._records.apply(Collection.TRAINING_RUNS, [change]):
            state = (await self._read(run_id)).state.value
            raise Conflict("Not running", f"The run {run_id} cannot be cancelled: it is {state}.")
        return TrainingRunView.of(await self._read(run_id))

    async def get(self, run_id: str) -> TrainingRunView:
        """One run.

        Raises:
            NotFound: There is no such run.
        """
        return TrainingRunView.of(await self._read(run_id))

    async def page(self, *, limit: int = 20, after: str | None = None) -> TrainingRunPage:
        """Runs, the newest first."""
        query = Query(order=Order("requested_at", descending=True), limit=limit, after=after)
        page = await self._records.find(Collection.TRAINING_RUNS, query)
        available, detail = await self.availability()
        return TrainingRunPage(
            items=[TrainingRunView.of(TrainingRunRecord.model_validate(each)) for each in page.documents],
            next=page.next,
            available=available,
            detail=detail,
        )

    async def learning_curve(self) -> LearningCurve:
        """Interesting images found against images answered; the oldest `MAX_CURVE` answers, at most 200 points."""
        query = Query(
            where=(Clause("label", "in", [answer.value for answer in Answer]),),
            order=Order("labeled_at"),
            limit=_PAGE,
            fields=("label",),
        )
        interesting: list[bool] = []
        async for page in pages(self._records, Collection.IMAGES, query):
            interesting += [document["label"] == Answer.INTERESTING for document in page]
            if len(interesting) >= MAX_CURVE:
                break
        step = max(1, len(interesting) // _POINTS)
        places = [*range(step, len(interesting), step), len(interesting)] if interesting else []
        return LearningCurve(answers=places, found=[sum(interesting[:place]) for place in places])

    async def availability(self) -> tuple[bool, str]:
        """Whether a trainer runs that can train, and what it says of that."""
        page = await self._records.find(Collection.SERVICES, Query(limit=200))
        said: tuple[bool, str] | None = None
        for document in page.documents:
            seen = datetime.fromisoformat(document["seen_at"])
            if document["service"] != TRAINER or (self._clock() - seen).total_seconds() > SILENT_AFTER_S:
                continue
            own = document.get("info", {}).get(CAN_TRAIN)
            if own and (said is None or own["available"]):
                said = bool(own["available"]), str(own["detail"])
        return said or (False, "No trainer runs: System shows the services, and `astrolens up` starts them.")

    async def _read(self, run_id: str) -> TrainingRunRecord:
        found = (await self._records.get(Collection.TRAINING_RUNS, [run_id])).get(run_id)
        if found is None:
            raise NotFound("training run", run_id)
        return TrainingRunRecord.model_validate(found)


async def queue_run(
    records: RecordStore, options: TrainingOptions, reason: RunReason, user: str, clock: Callable[[], datetime]
) -> TrainingRunRecord:
    """Queue a run, unless one is open.

    Raises:
        Conflict: One is.
    """
    if opened := await open_runs(records):
        first = opened[0]
        raise Conflict(
            "Already training",
            f"The run {first.run_id} is {first.state.value}: wait for its end, or cancel it first.",
        )
    labels = await records.tally(Collection.IMAGES, "label")
    record = TrainingRunRecord(
        run_id=secrets.token_hex(8),
        state=RunState.QUEUED,
        reason=reason,
        requested_by=user,
        requested_at=clock(),
        options=options,
        answers=sum(labels.get((answer.value,), 0) for answer in Answer),
    )
    await records.insert(Collection.TRAINING_RUNS, [record])
    return record


async def open_runs(records: RecordStore) -> Sequence[TrainingRunRecord]:
    """Runs that have not ended, those that run first, then the oldest."""
    found: list[TrainingRunRecord] = []
    for state in (RunState.RUNNING, RunState.QUEUED):
        query = Query(where=(Clause("state", "eq", state.value),), order=Order("requested_at"), limit=20)
        page = await records.find(Collection.TRAINING_RUNS, query)
        found += [TrainingRunRecord.model_validate(each) for each in page.documents]
    return found


async def newest_run(records: RecordStore) -> TrainingRunRecord | None:
    """The run that was asked for last."""
    query = Query(order=Order("requested_at", descending=True), limit=1)
    page = await records.find(Collection.TRAINING_RUNS, query)
    return TrainingRunRecord.model_validate(page.documents[0]) if page.documents else None


def changed_fields(before: TrainingRunRecord, after: TrainingRunRecord) -> dict[str, object]:
    """The fields of a run that differ, as a change sets them."""
    old, new = to_document(before), to_document(after)
    return {name: value for name, value in new.items() if value != old.get(name)}
