"""Copies of one picture among the images that a survey model is fitted on."""

from astrolens.contracts.survey_models import SurveyState
from astrolens.inference.survey_models.images import first_images

from tests.unit.inference.survey_world import NEEDED, SurveyWorld
from tests.unit.inference.tiny_bundle import image_id

COPIES = range(1, 41)
OTHERS = range(41, 40 + NEEDED)


async def test_copies_of_one_picture_count_once_in_a_fit(world: SurveyWorld) -> None:
    await world.ingest(COPIES, "decals", phash="0f" * 8)
    await world.ingest(OTHERS[:-1], "decals")
    await world.keeper.run_pass()
    await world.keeper.run_pass()
    state = await world.state("decals")
    assert (state.state, state.images) == (SurveyState.LEARNING, 38 + NEEDED)
    assert state.reason == (f"{NEEDED - 1} of its images differ, {NEEDED} are needed: copies of one picture count once")

    await world.ingest(OTHERS[-1:], "decals")
    await world.keeper.run_pass()
    state = await world.state("decals")
    assert state.state is SurveyState.READY
    used = await first_images(world.records, "decals", count=NEEDED)
    assert [image.image_id for image in used] == [image_id(1), *map(image_id, OTHERS)]
