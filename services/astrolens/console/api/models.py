"""Model bundles: which serves, what each was measured at, what it would change; promotion and rollback."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field, StringConstraints

from astrolens.console.api.parameters import Context
from astrolens.console.context import user_of
from astrolens.console.problems import responses
from astrolens.usecases.models import MAX_WHY, ModelDiff, ModelList, ModelView, PromotionView

router = APIRouter(tags=["models"])

Digest = Annotated[str, Path(pattern=r"^[0-9a-f]{6,64}$", description="Its digest, or the first digits of it.")]


class Decision(BaseModel):
    """What a person says about a promotion or rollback."""

    why: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_WHY),
        Field(description="Why; it stays in the history."),
    ]


class ShadowRequest(BaseModel):
    """How long a candidate is compared."""

    images: int | None = Field(
        default=None, ge=1, le=5000, description="Images to compare; by default ASTROLENS_SHADOW_IMAGES."
    )


@router.get("/models", response_model=ModelList)
async def list_models(context: Context) -> ModelList:
    """Every bundle, the newest first, and which one serves."""
    return await context.models.overview()


@router.get("/models/{digest}", response_model=ModelView, responses=responses(s404="No such model."))
async def show_model(context: Context, digest: Digest) -> ModelView:
    """One bundle: state, gates, history, comparison."""
    return await context.models.show(digest)


@router.get(
    "/models/{digest}/diff",
    response_model=ModelDiff,
    responses=responses(s404="No such model.", s409="It was not compared yet."),
)
async def diff_model(context: Context, digest: Digest) -> ModelDiff:
    """What it would change: images that it would newly flag, and those that it would flag no more."""
    return await context.models.diff(digest)


@router.post(
    "/models/{digest}/shadow",
    response_model=ModelView,
    responses=responses(s404="No such model.", s409="It serves, was refused, or is not in the image store."),
)
async def shadow_model(context: Context, request: Request, digest: Digest, body: ShadowRequest) -> ModelView:
    """Compare it with the bundle in use: no verdict and no alert comes of it."""
    images = body.images or context.shadow_images
    return await context.models.request_shadow(digest, user=user_of(request), images=images)


@router.post(
    "/models/{digest}/promote",
    response_model=PromotionView,
    responses=responses(s404="No such model.", s409="It serves already, or a gate refused it."),
)
async def promote_model(context: Context, request: Request, digest: Digest, body: Decision) -> PromotionView:
    """Let it serve: model servers verify it and swap within seconds; where one cannot, its old one goes on."""
    return await context.models.promote(digest, user=user_of(request), why=body.why)


@router.post("/models/rollback", response_model=PromotionView, responses=responses(s409="No model served before."))
async def rollback_model(context: Context, request: Request, body: Decision) -> PromotionView:
    """Return to the bundle that served before the present one was promoted."""
    return await context.models.rollback(user=user_of(request), why=body.why)
