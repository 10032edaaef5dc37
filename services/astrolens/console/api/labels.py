"""Answers of people."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from astrolens.console.api.parameters import After, Context, Limit
from astrolens.console.context import user_of
from astrolens.console.problems import responses
from astrolens.contracts.records import Answer
from astrolens.usecases.label_views import LabelPage
from astrolens.usecases.labelling import LabelOutcomes, LabelRequest

router = APIRouter(tags=["labels"])


@router.post(
    "/labels",
    response_model=LabelOutcomes,
    responses=responses(
        s404="No such image; nothing is recorded.",
        s409="The same request_id has given another answer, another note or other tags.",
    ),
)
async def record_labels(context: Context, request: Request, body: LabelRequest) -> LabelOutcomes:
    """Record one answer on one or several images; `previous` undoes it."""
    return await context.labelling.answer(body, user=user_of(request))


@router.get("/labels", response_model=LabelPage)
async def list_labels(
    context: Context,
    answer: Annotated[list[Answer], Query(description="Only this answer; repeat for several.")] = [],  # noqa: B006
    limit: Limit = 100,
    after: After = None,
) -> LabelPage:
    """Answered images with the last answer, the last answered first."""
    return await context.labelling.page(answer, limit=limit, after=after)
