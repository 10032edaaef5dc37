"""Dead letters: see them, send them again, give them up with a reason."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query

from astrolens.console.api.parameters import After, Context, Limit
from astrolens.console.problems import responses
from astrolens.usecases.dead_letter_views import DeadLetterPage, DeadLetterView
from astrolens.usecases.dead_letters import DropRequest

router = APIRouter(tags=["dead letters"])

_LetterId = Annotated[str, Path(max_length=200)]
_PROBLEMS = responses(s404="No such dead letter.", s409="It is no longer open.")


@router.get("/dead-letters", response_model=DeadLetterPage)
async def list_dead_letters(
    context: Context,
    state: Annotated[Literal["open", "resent", "dropped"] | None, Query(description="Only this state.")] = None,
    limit: Limit = 100,
    after: After = None,
) -> DeadLetterPage:
    """Records that no service could use, kept whole, newest first."""
    return await context.archive.dead_letters(state=state, limit=limit, after=after)


@router.post("/dead-letters/{letter_id}/resend", response_model=DeadLetterView, responses=_PROBLEMS)
async def resend(context: Context, letter_id: _LetterId) -> DeadLetterView:
    """Publish its original bytes on its topic again."""
    return await context.dead_letters.resend(letter_id)


@router.post("/dead-letters/{letter_id}/drop", response_model=DeadLetterView, responses=_PROBLEMS)
async def drop(context: Context, letter_id: _LetterId, body: DropRequest) -> DeadLetterView:
    """Give it up, for a reason that stays with it."""
    return await context.dead_letters.drop(letter_id, body.reason)
