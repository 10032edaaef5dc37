"""One answer for every image of a list, batch by batch."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from astrolens.console.api.parameters import Context, Filter
from astrolens.console.context import user_of
from astrolens.console.problems import responses
from astrolens.usecases.bulk_labelling import BATCH, BulkLabelOutcome, BulkLabelRequest, BulkWithdrawRequest
from astrolens.usecases.image_queries import RANKED_SORTS, Sort

router = APIRouter(tags=["labels"])


@router.post(
    "/labels/matching",
    response_model=BulkLabelOutcome,
    responses=responses(s409="The same request_id has given another answer or other tags."),
)
async def answer_matching(
    context: Context,
    request: Request,
    wanted: Filter,
    body: BulkLabelRequest,
    sort: Annotated[Sort, Query(description="As of the list: images that it leaves out get no answer.")] = Sort.NEWEST,
) -> BulkLabelOutcome:
    """Answer the next images of a list, filtered and sorted as `GET /api/images` takes it; send it again until the end.

    The same batch sent twice answers once. `POST /api/labels/take-back` undoes it.
    """
    user = user_of(request)
    if sort in RANKED_SORTS:
        page = await context.rankings.page(wanted, user=user, sort=sort, limit=BATCH, after=body.after)
    else:
        page = await context.archive.images(wanted, sort=sort, limit=BATCH, after=body.after)
    answered = await context.bulk_labelling.answer([each.image_id for each in page.items], body, user=user)
    return BulkLabelOutcome(answered=answered, next=page.next)


@router.post("/labels/take-back", response_model=BulkLabelOutcome)
async def take_back_matching(context: Context, request: Request, body: BulkWithdrawRequest) -> BulkLabelOutcome:
    """Undo an answer to a list, batch by batch: each image has your answer of before again, and others' stay."""
    return await context.bulk_labelling.take_back(body, user=user_of(request))
