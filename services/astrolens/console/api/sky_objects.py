"""Objects of the sky: the images that show one object."""

from fastapi import APIRouter

from astrolens.console.api.parameters import Context, ImageId
from astrolens.console.problems import responses
from astrolens.usecases.sky_objects import SkyObjectView

router = APIRouter(tags=["images"])


@router.get(
    "/images/{image_id}/object",
    response_model=SkyObjectView,
    responses=responses(s404="No such image."),
)
async def get_object(context: Context, image_id: ImageId) -> SkyObjectView:
    """The object that an image shows, and all its images: those of one catalogued object, or of one place."""
    return await context.sky_objects.of_image(image_id)
