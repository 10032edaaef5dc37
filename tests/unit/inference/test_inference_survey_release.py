"""What a person released of a known survey, and how many images are told of."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from astrolens.contracts.survey_models import SurveyState
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change

from tests.unit.inference.survey_world import NEEDED, SurveyWorld
from tests.unit.inference.tiny_bundle import image_id

RELEASED = range(1, 31)
LATER = range(101, 131)
MORE = range(201, 201 + NEEDED)


async def feed_another_sky(world: SurveyWorld, seeds: Sequence[int]) -> None:
    """Images of `sdss` that its calibration does not fit, and the comparison that says so."""
    await world.ingest(seeds, "sdss")
    world.now += timedelta(seconds=5)
    changes = [Change(id=image_id(seed), set={"p_value": 0.001}) for seed in seeds]
    await world.records.apply(Collection.IMAGES, changes)
    for _ in range(2):
        await world.keeper.run_pass()
    assert (await world.state("sdss")).state is SurveyState.DOES_NOT_FIT


async def fits(world: SurveyWorld, seeds: Sequence[int]) -> set[str]:
    return {document["analysis"]["calibration_fit"] for document in await world.documents(seeds)}


async def test_a_later_mismatch_leaves_what_a_person_released(world: SurveyWorld) -> None:
    await feed_another_sky(world, RELEASED)
    await world.settle()
    assert await fits(world, RELEASED) == {"does-not-fit"}
    await world.surveys.clear("sdss", user="vera", release=True)
    await world.settle()
    assert await fits(world, RELEASED) == {"own"}
    world.now += timedelta(seconds=5)
    await feed_another_sky(world, LATER)
    state = await world.state("sdss")
    assert "images ingested until 2026-05-01 12:0" in state.reason
    assert state.reason.endswith("which a person accepted, keep their verdicts")
    await world.settle()
    assert (await fits(world, RELEASED), await fits(world, LATER)) == ({"own"}, {"does-not-fit"})
    await world.ingest(MORE, "sdss")
    await world.keeper.run_pass()
    assert (await world.state("sdss")).state is SurveyState.READY
    await world.settle()
    assert (await fits(world, RELEASED), await fits(world, LATER)) == ({"own"}, {"survey-model"})

    await world.surveys.calibrate("sdss", user="vera")
    await world.settle()
    await world.keeper.run_pass()
    await world.settle()
    assert (await world.state("sdss")).accepted_until is None


async def test_all_images_are_counted_and_those_that_a_fit_waits_for_since_when(world: SurveyWorld) -> None:
    await feed_another_sky(world, RELEASED)
    await world.keeper.run_pass()
    (shown,) = (await world.surveys.states()).items
    assert (shown.images, shown.learned, shown.learn_from is not None) == (30, 28, True), "two came before the burst"
    await world.ingest(LATER[:5], "sdss")
    await world.keeper.run_pass()
    assert ((await world.state("sdss")).images, (await world.state("sdss")).learned) == (35, 33)
    await world.ingest(MORE, "sdss")
    await world.keeper.run_pass()
    await world.ingest([900], "sdss")
    await world.keeper.run_pass()
    state = await world.state("sdss")
    assert (state.state, state.images, state.learned) == (SurveyState.READY, 36 + NEEDED, None)


async def test_a_crash_loses_no_image_of_those_judged_again(world: SurveyWorld) -> None:
    await feed_another_sky(world, RELEASED)
    await world.loader.run_pass()
    world.outbox.dies = True
    with pytest.raises(RuntimeError, match="killed"):
        await world.reanalyzer.run_pass()
    world.outbox.dies = False
    world.restart()
    for key, events in await world.records.pending(Collection.IMAGES, limit=1000):
        await world.outbox.release(Collection.IMAGES, [(key, events)])
    await world.settle()
    again = (await world.state("sdss")).rejudging
    assert again is not None
    assert (again.requested, again.rejudged_images) == (0, 30)
