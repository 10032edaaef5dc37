"""What the interest ranking has learned; its images are at `/api/images?sort=interest`."""

from fastapi import APIRouter, Request

from astrolens.console.api.parameters import Context
from astrolens.console.context import user_of
from astrolens.usecases.rankings import RankingView

router = APIRouter(tags=["ranking"])


@router.get("/ranking", response_model=RankingView)
async def get_ranking(context: Context, request: Request) -> RankingView:
    """When the interest ranking last learned, from how many answers, and what it now prefers."""
    return await context.rankings.summary(user_of(request))
