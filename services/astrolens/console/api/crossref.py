"""What the catalogues know: of an image, at a place, and how they are."""

from typing import Annotated

from fastapi import APIRouter, Query, status

from astrolens.console.api.parameters import Context, ImageId
from astrolens.console.problems import responses
from astrolens.usecases.crossmatches import CrossmatchSummary, CrossmatchView, PlaceView

router = APIRouter(tags=["catalogues"])


@router.get(
    "/crossref",
    response_model=PlaceView,
    responses=responses(s429="Too many questions wait, or the crossref service does not answer."),
)
async def get_place(
    context: Context,
    ra_deg: Annotated[float, Query(ge=0, lt=360, description="Right ascension, ICRS, degrees.")],
    dec_deg: Annotated[float, Query(ge=-90, le=90, description="Declination, ICRS, degrees.")],
) -> PlaceView:
    """What every catalogue knows at a place. A catalogue that does not answer within ten seconds is `failed`."""
    return await context.crossmatches.at(ra_deg, dec_deg)


@router.get("/crossref/summary", response_model=CrossmatchSummary)
async def get_summary(context: Context) -> CrossmatchSummary:
    """Candidates by what is known of them; health, latency, breaker and canary of each catalogue; the backlog."""
    return await context.crossmatches.summary()


@router.get("/crossref/{image_id}", response_model=CrossmatchView, responses=responses(s404="No such image."))
async def get_crossmatch(context: Context, image_id: ImageId) -> CrossmatchView:
    """What every catalogue said of an image, with its counterparts; `not_asked` for one that is no candidate."""
    return await context.crossmatches.of_image(image_id)


@router.post(
    "/crossref/{image_id}",
    response_model=CrossmatchView,
    status_code=status.HTTP_202_ACCEPTED,
    responses=responses(
        s404="No such image.", s409="The image is not analysed yet.", s422="The image has no place on the sky."
    ),
)
async def ask_again(context: Context, image_id: ImageId) -> CrossmatchView:
    """Ask the catalogues about an image again, past their earlier answers; what is new becomes a revision."""
    return await context.crossmatches.ask_again(image_id)
