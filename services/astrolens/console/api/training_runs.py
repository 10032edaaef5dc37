"""Retraining runs: ask for one, follow it, cancel it."""

from typing import Annotated

from fastapi import APIRouter, Path, Request

from astrolens.console.api.parameters import After, Context, Limit
from astrolens.console.context import user_of
from astrolens.console.problems import responses
from astrolens.usecases.training_runs import LearningCurve, TrainingRequest, TrainingRunPage, TrainingRunView

router = APIRouter(tags=["training"])

RunId = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$", description="Id of a run, 16 hexadecimal digits.")]


@router.get("/training/runs", response_model=TrainingRunPage)
async def list_training_runs(context: Context, limit: Limit = 20, after: After = None) -> TrainingRunPage:
    """Runs, the newest first: what each learned from, what it changed, its accuracy beside the one before."""
    return await context.training_runs.page(limit=limit, after=after)


@router.get("/training/learning-curve", response_model=LearningCurve)
async def get_learning_curve(context: Context) -> LearningCurve:
    """Interesting images found against images answered."""
    return await context.training_runs.learning_curve()


@router.get("/training/runs/{run_id}", response_model=TrainingRunView, responses=responses(s404="No such run."))
async def get_training_run(context: Context, run_id: RunId) -> TrainingRunView:
    """One run with its gates."""
    return await context.training_runs.get(run_id)


@router.post(
    "/training/runs",
    response_model=TrainingRunView,
    responses=responses(s409="A run is open already, or training is not installed."),
)
async def start_training_run(context: Context, request: Request, body: TrainingRequest) -> TrainingRunView:
    """Queue a run; it promotes nothing by itself."""
    return await context.training_runs.start(body, user=user_of(request))


@router.post(
    "/training/runs/{run_id}/cancel",
    response_model=TrainingRunView,
    responses=responses(s404="No such run.", s409="It has ended."),
)
async def cancel_training_run(context: Context, request: Request, run_id: RunId) -> TrainingRunView:
    """Cancel a run: its process ends within seconds."""
    return await context.training_runs.cancel(run_id, user=user_of(request))
