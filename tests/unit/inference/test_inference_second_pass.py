"""The second pass: after another bundle was promoted the archive is analysed again, in idle time, once."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from astrolens.contracts import examples, topics
from astrolens.contracts.survey_models import SurveyRevision, SurveyState
from astrolens.contracts.verdicts import Verdict
from astrolens.inference.analyzer import late_by
from astrolens.inference.survey_models.reanalysis import MAX_WAITING_WHEN_IDLE
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change
from astrolens.science.bundle import CALIBRATION, MANIFEST, Bundle, arrays_to_bytes, write_bundle
from astrolens.usecases.errors import Conflict
from astrolens.usecases.image_queries import ImageFilter, Sort, find_images
from astrolens.usecases.survey_budgets import smallest_budget

from tests.unit.inference.survey_world import NEEDED, LocalModel, SurveyWorld
from tests.unit.inference.tiny_bundle import image_id, write_tiny_bundle

IMAGES = 60


def shifted(folder: Path, by: float, version: str) -> Bundle:
    """The tiny bundle with other thresholds: all images lie below them, or above."""
    bundle = write_tiny_bundle(folder)
    contents = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != MANIFEST}
    contents[CALIBRATION] = arrays_to_bytes({name: values + by for name, values in bundle.calibration.items()})
    write_bundle(folder, bundle.manifest.model_copy(update={"version": version}), contents)
    return Bundle.load(folder)


def lenient(folder: Path) -> Bundle:
    return shifted(folder / "lenient", 1000.0, "0")


def by(model_digest: str, p_value: float) -> dict[str, Any]:
    """An earlier analysis, as far as it matters here."""
    return {"model_digest": model_digest, "p_value": p_value}


def stricter(folder: Path) -> Bundle:
    return shifted(folder / "stricter", -1000.0, "1")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SurveyWorld]:
    world = SurveyWorld(tmp_path, lenient(tmp_path))
    await world.open()
    yield world
    await world.close()


async def promote(world: SurveyWorld, bundle: Bundle) -> None:
    """Another bundle serves, and the keeper has noticed."""
    world.model = LocalModel(bundle)
    world.analyzer._model = world.model
    world.restart()
    await world.loader.run_pass()
    await world.keeper.run_pass()


async def under_budget(world: SurveyWorld, per_1000: float, *, first: int) -> None:
    """Give SDSS a budget, however small, once it is known by its image `first`."""
    await world.ingest([first], "sdss")
    await world.keeper.run_pass()
    before = await world.state("sdss")
    await world.store.save(before, before.model_copy(update={"false_alarms_per_1000": per_1000}), announce=True)
    await world.loader.run_pass()


async def stamps(world: SurveyWorld) -> set[tuple[str, str]]:
    documents = await world.documents(range(IMAGES))
    return {(each["analysis"]["model_digest"], each["analysis"]["calibration_id"]) for each in documents}


async def test_the_archive_is_analysed_again_and_what_is_new_is_a_list(world: SurveyWorld, tmp_path: Path) -> None:
    await world.ingest(range(IMAGES), "sdss")
    await world.keeper.run_pass()
    before = {each["image_id"]: each["verdict"] for each in await world.documents(range(IMAGES))}
    fresh = stricter(tmp_path)
    await promote(world, fresh)
    again = (await world.state("sdss")).rejudging
    assert again is not None
    assert again.second_pass
    await world.settle()
    assert {stamp[0] for stamp in await stamps(world)} == {fresh.digest}
    assert len(await stamps(world)) == 1
    after = {each["image_id"]: each for each in await world.documents(range(IMAGES))}
    new = {
        image
        for image, each in after.items()
        if each["verdict"] == Verdict.ANOMALY.value and before[image] != Verdict.ANOMALY.value
    }
    assert len(new) > IMAGES // 2
    found = await find_images(world.records, ImageFilter(late_by=fresh.digest), sort=Sort.STRANGENESS, limit=200)
    assert {each["image_id"] for each in found.documents} == new
    # Back again: they are no anomalies any more, and the list is empty.
    await promote(world, lenient(tmp_path))
    await world.settle()
    found = await find_images(world.records, ImageFilter(late_by=fresh.digest), sort=Sort.STRANGENESS, limit=200)
    assert found.documents == []
    assert await world.records.tally(Collection.IMAGES, "state") == {("analyzed",): IMAGES}


async def test_a_larger_budget_is_no_merit_of_the_next_bundle(tmp_path: Path) -> None:
    world = SurveyWorld(tmp_path, shifted(tmp_path / "first", 0.0, "1"))
    await world.open()
    await under_budget(world, 1.0, first=IMAGES)
    await world.ingest(range(IMAGES), "sdss")
    before = {each["image_id"]: each for each in await world.documents(range(IMAGES))}
    assert {each["verdict"] for each in before.values()} == {"ordinary"}
    await world.surveys.set_budget("sdss", None, user="vera")
    fresh = shifted(tmp_path / "second", 0.0, "2")
    await promote(world, fresh)
    await world.settle()
    after = {each["image_id"]: each for each in await world.documents(range(IMAGES))}
    assert {(each["analysis"]["model_digest"], each["verdict"]) for each in after.values()} == {
        (fresh.digest, "anomaly")
    }
    assert all(each["p_value"] == before[image]["p_value"] for image, each in after.items())
    assert {each["late_by"] for each in after.values()} == {None}
    await world.close()


async def test_another_budget_judges_the_archive_again_and_counts_each_image_once(tmp_path: Path) -> None:
    world = SurveyWorld(tmp_path, shifted(tmp_path / "first", 0.0, "1"))
    await world.open()
    await world.ingest(range(IMAGES), "sdss")
    await world.keeper.run_pass()
    for budget in (20.0, 400.0, None):
        world.now += timedelta(minutes=5)
        assert (await world.surveys.set_budget("sdss", budget, user="vera")).rejudging
        assert await world.reanalyzer.run_pass() == 0, "the model server has not read the budget yet"
        await world.settle()
        documents = await world.documents(range(IMAGES))
        assert {each["analysis"]["false_alarms_per_1000"] for each in documents} == {budget}
        assert len(await stamps(world)) == 1
        view = (await world.surveys.states()).items[0]
        assert (view.rejudged, view.rejudging) == (IMAGES, False)
    await world.close()


async def test_a_budget_that_is_set_during_a_pass_holds_for_all_images(world: SurveyWorld, tmp_path: Path) -> None:
    await world.ingest(range(IMAGES), "sdss")
    await world.keeper.run_pass()
    world.now += timedelta(minutes=5)
    fresh = stricter(tmp_path)
    await promote(world, fresh)
    assert await world.reanalyzer.run_pass() == IMAGES
    await world.analyze(range(IMAGES // 2), "sdss")
    assert (await world.surveys.set_budget("sdss", 20.0, user="vera")).rejudging
    await world.settle()
    documents = await world.documents(range(IMAGES))
    judged_by = {(each["analysis"]["model_digest"], each["analysis"]["false_alarms_per_1000"]) for each in documents}
    assert judged_by == {(fresh.digest, 20.0)}
    again = (await world.state("sdss")).rejudging
    assert again is not None
    assert again.second_pass, "it still uses idle time only"


async def test_a_budget_under_which_nothing_could_be_an_anomaly_is_refused(world: SurveyWorld) -> None:
    await world.ingest(range(3), "sdss")
    await world.keeper.run_pass()
    smallest = "p-values are counted on 200 images and end at 1/201. Give it 4.98 per 1,000 or more"
    with pytest.raises(Conflict, match=smallest):
        await world.surveys.set_budget("sdss", 4.9, user="vera")
    assert (await world.state("sdss")).false_alarms_per_1000 is None
    assert (await world.surveys.set_budget("sdss", 4.98, user="vera")).false_alarms_per_1000 == 4.98


async def test_a_budget_that_a_new_revision_makes_useless_is_named_and_refused_again(world: SurveyWorld) -> None:
    await world.ingest(range(IMAGES), "sdss")
    await world.keeper.run_pass()
    assert (await world.surveys.set_budget("sdss", 4.98, user="vera")).budget_issue is None
    assert (await world.surveys.states()).items[0].budget_issue is None
    before = await world.state("sdss")
    fitted = {"digest": "a" * 64, "key": "k", "size_bytes": 1, "model_digest": "b" * 64, "images": 100}
    revision = SurveyRevision.model_validate({**fitted, "images_digest": "c" * 64, "fitted_at": world.now})
    fits = {"state": SurveyState.READY, "revision": revision}
    await world.store.save(before, before.model_copy(update=fits), announce=True)
    issue = (await world.surveys.states()).items[0].budget_issue
    assert issue is not None
    assert "counted on the 99 others and end at 1/100. Give it 10 per 1,000 or more." in issue
    with pytest.raises(Conflict, match="no image that the survey model of 'sdss' is fitted on"):
        await world.surveys.set_budget("sdss", 4.98, user="vera")


async def test_a_survey_that_is_learned_gets_no_budget_that_its_survey_model_cannot_spend(world: SurveyWorld) -> None:
    await world.ingest(range(3), "new")
    await world.keeper.run_pass()
    record = await world.state("new")
    assert record.state is SurveyState.LEARNING
    smallest = smallest_budget(record.images_needed - 1)
    with pytest.raises(Conflict, match=f"end at 1/{record.images_needed}"):
        await world.surveys.set_budget("new", smallest - 0.02, user="vera")
    assert (await world.surveys.set_budget("new", smallest, user="vera")).false_alarms_per_1000 == smallest


def test_the_smallest_useful_budget_is_rounded_up() -> None:
    assert [smallest_budget(images) for images in (299, 300, 200, 2625)] == [3.34, 3.33, 4.98, 0.39]


async def test_the_sky_of_tonight_comes_first(world: SurveyWorld, tmp_path: Path) -> None:
    await world.ingest(range(IMAGES), "sdss")
    await world.keeper.run_pass()
    await promote(world, stricter(tmp_path))
    waiting = [image_id(seed) for seed in range(MAX_WAITING_WHEN_IDLE + 1)]
    ingested = [Change(id=image, set={"state": "ingested"}) for image in waiting]
    await world.records.apply(Collection.IMAGES, ingested)
    assert await world.reanalyzer.run_pass() == 0
    settled = [Change(id=image, set={"state": "analyzed"}) for image in waiting]
    await world.records.apply(Collection.IMAGES, settled)
    assert await world.reanalyzer.run_pass() == IMAGES
    # Its own requests count as well, so that the next page waits until they are answered.
    world.now += timedelta(seconds=31)
    assert await world.reanalyzer.run_pass() == 0


async def test_a_crash_in_the_middle_repeats_no_image(world: SurveyWorld, tmp_path: Path) -> None:
    await world.ingest(range(IMAGES), "sdss")
    await world.keeper.run_pass()
    await promote(world, stricter(tmp_path))
    world.outbox.dies = True
    with pytest.raises(RuntimeError, match="killed"):
        await world.reanalyzer.run_pass()
    world.outbox.dies = False
    world.restart()
    await world.reanalyzer.run_pass()
    pending = await world.records.pending(Collection.IMAGES, limit=200)
    requested = [event for _, events in pending for event in events if event.topic == topics.IMAGES_INGESTED]
    assert len(requested) == len({event.key for event in requested}) == IMAGES


async def test_a_learned_survey_waits_for_its_new_survey_model(world: SurveyWorld, tmp_path: Path) -> None:
    await world.ingest(range(NEEDED), "decals")
    await world.keeper.run_pass()
    await world.keeper.run_pass()
    await world.settle()
    assert (await world.state("decals")).state is SurveyState.READY
    fresh = stricter(tmp_path)
    await promote(world, fresh)
    assert (await world.state("decals")).state is SurveyState.LEARNING
    assert await world.reanalyzer.run_pass() == 0
    await world.keeper.run_pass()
    state = await world.state("decals")
    assert (state.state, state.revision is not None) == (SurveyState.READY, True)
    assert state.rejudging is not None
    assert state.rejudging.second_pass
    await world.settle()
    documents = await world.documents(range(NEEDED))
    assert {each["analysis"]["model_digest"] for each in documents} == {fresh.digest}
    assert {each["analysis"]["calibration_fit"] for each in documents} == {"survey-model"}


@pytest.mark.parametrize(
    ("before", "verdict", "expected"),
    [
        ({"analysis": None, "verdict": None}, Verdict.ANOMALY, None),
        ({"analysis": by("a", 0.2), "verdict": "ordinary"}, Verdict.ANOMALY, "b"),
        ({"analysis": by("a", 0.02), "verdict": "near_miss"}, Verdict.ANOMALY, "b"),
        # Ordinary under the budget of then; today the bundle of then would call it an anomaly as well.
        ({"analysis": by("a", 0.009), "verdict": "ordinary"}, Verdict.ANOMALY, None),
        ({"analysis": by("a", 0.009), "verdict": "ordinary", "late_by": "c"}, Verdict.ANOMALY, "c"),
        ({"analysis": by("a", 0.009), "verdict": "anomaly"}, Verdict.ANOMALY, None),
        # An anomaly under a larger budget than today's: it is no news.
        ({"analysis": by("a", 0.02), "verdict": "anomaly"}, Verdict.ANOMALY, None),
        ({"analysis": by("a", 0.009), "verdict": "anomaly", "late_by": "a"}, Verdict.ANOMALY, "a"),
        ({"analysis": by("a", 0.009), "verdict": "anomaly", "late_by": "a"}, Verdict.ORDINARY, None),
        ({"analysis": by("b", 0.2), "verdict": "ordinary"}, Verdict.ANOMALY, None),
        ({"analysis": by("b", 0.009), "verdict": "anomaly", "late_by": "b"}, Verdict.ANOMALY, "b"),
    ],
)
def test_late_is_what_another_bundle_newly_flags(
    before: dict[str, Any], verdict: Verdict, expected: str | None
) -> None:
    analysis = examples.analysis().model_copy(update={"model_digest": "b", "verdict": verdict})
    assert late_by(before, analysis, alpha=0.01) == expected
