"""A survey with a survey model: whether later images still look like those that it was fitted on."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from astrolens.contracts.alert_holds import alert_hold
from astrolens.contracts.survey_models import SurveyModelRecord, SurveyState
from astrolens.contracts.verdicts import Analysis
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change
from astrolens.science.bundle import Bundle
from astrolens.usecases.errors import Conflict

from tests.unit.inference.survey_world import NEEDED, SurveyWorld
from tests.unit.inference.tiny_bundle import image_id

FIRST = range(1, 1 + NEEDED)
LATER = range(101, 125)


@pytest.fixture
async def world(tmp_path: Path, tiny_bundle: Bundle) -> AsyncIterator[SurveyWorld]:
    world = SurveyWorld(tmp_path, tiny_bundle)
    await world.open()
    await world.ingest(FIRST, "decals")
    await passes(world)
    await world.settle()
    assert (await world.state("decals")).state is SurveyState.READY
    yield world
    await world.close()


async def passes(world: SurveyWorld) -> SurveyModelRecord:
    for _ in range(3):
        await world.keeper.run_pass()
    return await world.state("decals")


async def feed(world: SurveyWorld, seeds: Sequence[int], p_values: Sequence[float]) -> SurveyModelRecord:
    await world.ingest(seeds, "decals")
    changes = [
        Change(id=image_id(seed), set={"p_value": p, "analysis.detectors": {}})
        for seed, p in zip(seeds, p_values, strict=True)
    ]
    await world.records.apply(Collection.IMAGES, changes)
    world.now += timedelta(seconds=5)
    return await passes(world)


async def test_another_sky_under_the_name_of_a_learned_survey_is_held(world: SurveyWorld) -> None:
    revision = (await world.state("decals")).revision
    # Most of them stranger than most of the survey, none an anomaly.
    state = await feed(world, LATER, [0.05 + 0.01 * (n / len(LATER)) for n in range(len(LATER))])
    assert (state.state, state.revision) == (SurveyState.DOES_NOT_FIT, revision)
    assert state.reason.startswith(f"its images no longer look like the {NEEDED} that its survey model was fitted on: ")
    assert "--calibrate decals" in state.reason
    await world.settle()
    held = Analysis.model_validate((await world.document(LATER[0]))["analysis"])
    assert held.calibration_fit == "does-not-fit"
    assert "until the survey has a survey model of such images" in (alert_hold(held) or "")
    assert (await world.document(1))["analysis"]["calibration_fit"] == "survey-model", "those before keep theirs"

    await world.ingest(range(201, 201 + NEEDED), "decals")
    assert (await passes(world)).state is SurveyState.DOES_NOT_FIT, "two skies would take turns"
    with pytest.raises(Conflict, match="did not fit its calibration"):
        await world.surveys.clear("decals", user="vera")
    await world.surveys.calibrate("decals", user="vera")
    state = await passes(world)
    assert state.revision is not None
    assert (state.state, state.own_check, state.revision == revision) == (SurveyState.READY, None, False)


async def test_a_person_returns_a_learned_survey_to_its_model(world: SurveyWorld) -> None:
    await feed(world, LATER, [0.05] * len(LATER))
    await world.settle()
    (shown,) = (await world.surveys.states()).items
    assert shown.can_clear
    await world.surveys.clear("decals", user="vera", release=True)
    await world.settle()
    state = await passes(world)
    assert (state.state, state.reason) == (SurveyState.READY, "vera returned it to its survey model")
    assert (await world.document(LATER[0]))["analysis"]["calibration_fit"] == "survey-model"


async def test_more_of_the_same_sky_fits_its_survey_model(world: SurveyWorld) -> None:
    few = LATER[:20]
    assert (await feed(world, few, [0.05] * len(few))).own_check is None, "too few to be compared"
    more = range(301, 301 + NEEDED)
    state = await feed(world, more, [(n + 0.5) / NEEDED for n in range(NEEDED)])
    assert state.own_check is not None
    assert (state.state, state.own_check.fits, state.own_check.images) == (SurveyState.READY, True, NEEDED)
    assert (await passes(world)) == state
