"""Arrivals: every number in the books has its list."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from astrolens.console.api.parameters import After, Context, Limit
from astrolens.console.problems import responses
from astrolens.contracts.records import Outcome
from astrolens.usecases.status import BatchProgress
from astrolens.usecases.views import ReceiptPage

router = APIRouter(tags=["arrivals"])

_Batch = Annotated[str | None, Query(max_length=200, description="Only this batch.")]
_Source = Annotated[str | None, Query(max_length=100, description="Only this source.")]
_Reason = Annotated[str | None, Query(max_length=100, description="Only this reason code, such as `not-an-image`.")]


@router.get("/receipts", response_model=ReceiptPage)
async def list_receipts(
    context: Context,
    outcome: Annotated[list[Outcome], Query(description="What became of it; repeat for several.")] = [],  # noqa: B006
    batch: _Batch = None,
    source: _Source = None,
    reason: _Reason = None,
    image_id: Annotated[str | None, Query(max_length=64, description="Arrivals of one image, duplicates too.")] = None,
    limit: Limit = 100,
    after: After = None,
) -> ReceiptPage:
    """Arrivals by outcome, batch, source or reason, newest first."""
    return await context.archive.receipts(
        outcomes=outcome, batch=batch, source=source, reason=reason, image=image_id, limit=limit, after=after
    )


@router.get("/rejected", response_model=ReceiptPage)
async def list_rejected(
    context: Context,
    batch: _Batch = None,
    source: _Source = None,
    reason: _Reason = None,
    limit: Limit = 100,
    after: After = None,
) -> ReceiptPage:
    """Arrivals that are no usable image, each with its reason, newest first."""
    return await context.archive.receipts(
        outcomes=(Outcome.REJECTED,), batch=batch, source=source, reason=reason, limit=limit, after=after
    )


@router.get("/receipts/{batch}/progress", response_model=BatchProgress, responses=responses(s404="No such batch."))
async def get_progress(
    context: Context, batch: Annotated[str, Path(max_length=200, description="The batch of an upload.")]
) -> BatchProgress:
    """The books of one batch; `settled` once nothing of it is in flight."""
    return await context.status.batch_progress(batch)
