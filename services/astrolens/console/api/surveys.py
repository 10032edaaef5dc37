"""What calibrates each survey, and a person's decisions about it."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field

from astrolens.console.api.parameters import Context
from astrolens.console.context import user_of
from astrolens.console.problems import responses
from astrolens.usecases.survey_models import SurveyModelList, SurveyModelView
from astrolens.usecases.views import ImagePage

router = APIRouter(tags=["surveys"])

_CHANGED = responses(s404="No such survey.", s409="It changed meanwhile.")

Survey = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="Name of a survey.")]


@router.get("/surveys", response_model=SurveyModelList)
async def list_surveys(context: Context) -> SurveyModelList:
    """Every survey with analysed images: what calibrates it, since when and why; how far its survey model is."""
    return await context.survey_models.states()


@router.get("/surveys/{survey}/strangest", response_model=ImagePage, responses=responses(s404="No such survey."))
async def list_strangest(context: Context, survey: Survey) -> ImagePage:
    """The 40 strangest images that a survey model was fitted on, the strangest first.

    The answers `interesting` and `artefact` leave an image out of the next fit, which follows two minutes after the
    last answer.
    """
    return await context.survey_models.strangest(survey)


@router.post(
    "/surveys/{survey}/clear",
    response_model=SurveyModelView,
    responses=responses(
        s404="No such survey.",
        s409="The bundle's own calibration serves it, or does not exist, or alerts would be sent without `release`.",
    ),
)
async def clear_survey(
    context: Context,
    request: Request,
    survey: Survey,
    release: Annotated[bool, Query(description="Send the alerts of images that did not fit the calibration.")] = False,
) -> SurveyModelView:
    """Return a survey to the bundle's own calibration; its earlier images are analysed again.

    Where its images did not fit that calibration, the refusal says how they compare and what would be released.
    """
    return await context.survey_models.clear(survey, user=user_of(request), release=release)


class SurveyBudget(BaseModel, extra="forbid"):
    """A budget of a survey's own."""

    false_alarms_per_1000: float | None = Field(
        ge=0.1, le=500.0, description="Ordinary images in 1,000 that may be flagged; null: as in the settings."
    )


@router.put(
    "/surveys/{survey}/budget",
    response_model=SurveyModelView,
    responses=responses(s404="No such survey.", s409="No image could be an anomaly under it, or it changed meanwhile."),
)
async def set_budget(context: Context, request: Request, survey: Survey, body: SurveyBudget) -> SurveyModelView:
    """Give a survey a budget of its own: for its next images, and for its earlier ones, which are analysed again.

    Their verdicts and alerts follow; where a pass through them is under way it begins anew. A budget below 1/(n+1) of
    the survey's n calibration images is refused, because no p-value is as small.
    """
    return await context.survey_models.set_budget(survey, body.false_alarms_per_1000, user=user_of(request))


@router.post(
    "/surveys/{survey}/calibrate",
    response_model=SurveyModelView,
    responses=responses(s404="No such survey.", s409="It has too few images, or changed meanwhile."),
)
async def calibrate_survey(context: Context, request: Request, survey: Survey) -> SurveyModelView:
    """Fit a survey model on the newest images of a survey; its earlier images are analysed again."""
    return await context.survey_models.calibrate(survey, user=user_of(request))
