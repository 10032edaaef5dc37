from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from astrolens.contracts import topics
from astrolens.contracts.alert_holds import alert_hold
from astrolens.contracts.events import CalibrationRevised
from astrolens.contracts.records import Answer
from astrolens.contracts.status import Books
from astrolens.contracts.survey_models import SurveyState
from astrolens.contracts.verdicts import Analysis
from astrolens.inference.engine import Item, ItemResult
from astrolens.inference.survey_models.checking import SurveyChecker
from astrolens.inference.survey_models.images import SurveyImage
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import cutout_key
from astrolens.platform.stores.records import Change
from astrolens.science.bundle import Bundle
from astrolens.usecases.errors import Conflict
from astrolens.usecases.labelling import LabelRequest

from tests.unit.inference.survey_world import NEEDED, START, SurveyWorld
from tests.unit.inference.tiny_bundle import image_id, picture

FIRST = range(1, NEEDED + 1)


async def learned(world: SurveyWorld, survey: str = "decals") -> str:
    """The revision of a survey that was just learned."""
    await world.ingest(FIRST, survey)
    await world.keeper.run_pass()
    await world.keeper.run_pass()
    revision = (await world.state(survey)).revision
    assert revision is not None
    return revision.digest


async def test_a_new_survey_is_learned_once_it_has_enough_images(world: SurveyWorld) -> None:
    await world.ingest(FIRST[:-1], "decals")
    await world.keeper.run_pass()
    await world.keeper.run_pass()
    state = await world.state("decals")
    assert (state.state, state.images, state.images_needed) == (SurveyState.LEARNING, NEEDED - 1, NEEDED)
    assert (await world.document(1))["analysis"]["calibration_fit"] == "pooled"

    await world.ingest(FIRST[-1:], "decals")
    await world.keeper.run_pass()
    state = await world.state("decals")
    assert state.state is SurveyState.READY
    assert state.revision is not None
    assert (state.revision.images, len(state.strangest)) == (NEEDED, 40)
    assert await world.images.exists(state.revision.key)
    (event,) = world.outbox.of(topics.CALIBRATIONS_REVISED)
    fact = CalibrationRevised.model_validate_json(event.payload)
    assert (fact.survey, fact.state, fact.revision) == ("decals", SurveyState.READY, state.revision.digest)


async def test_a_survey_of_the_bundle_keeps_its_calibration(world: SurveyWorld) -> None:
    await world.ingest(FIRST, "simulated-lsst")
    for _ in range(3):
        await world.keeper.run_pass()
    state = await world.state("simulated-lsst")
    assert (state.state, state.known, state.revision) == (SurveyState.OWN, True, None)
    assert world.outbox.of(topics.CALIBRATIONS_REVISED) == []


async def test_a_revision_is_a_function_of_images_and_bundle(
    world: SurveyWorld, tmp_path: Path, tiny_bundle: Bundle
) -> None:
    revision = await learned(world)
    other = SurveyWorld(tmp_path / "other", tiny_bundle)
    await other.open()
    await other.ingest(list(reversed(FIRST)), "decals")
    await other.keeper.run_pass()
    await other.keeper.run_pass()
    again = (await other.state("decals")).revision
    await other.close()
    assert again is not None
    assert again.digest == revision


async def test_a_revision_of_an_earlier_format_is_fitted_again_once(world: SurveyWorld) -> None:
    revision = await learned(world)
    before = await world.state("decals")
    assert before.revision is not None
    old = before.revision.model_copy(update={"format": 1, "digest": "0" * 64})
    await world.store.save(before, before.model_copy(update={"revision": old}), announce=False)
    await world.keeper.run_pass()
    after = await world.state("decals")
    assert after.revision is not None
    assert (after.revision.digest, after.earlier) == (revision, (old,))
    assert "fitted again" in after.reason
    assert after.rejudging is not None
    await world.keeper.run_pass()
    assert (await world.state("decals")).version == after.version


async def test_a_crash_after_the_fit_costs_nothing(world: SurveyWorld) -> None:
    await world.ingest(FIRST, "decals")
    await world.keeper.run_pass()
    world.outbox.dies = True
    with pytest.raises(RuntimeError, match="killed"):
        await world.keeper.run_pass()
    world.outbox.dies = False
    world.restart()
    await world.keeper.run_pass()
    state = await world.state("decals")
    assert (state.state, state.version) == (SurveyState.READY, 1)
    assert [event.topic for event in state.pending] == [topics.CALIBRATIONS_REVISED]


async def test_a_verdict_is_a_function_of_cutout_bundle_and_revision(world: SurveyWorld) -> None:
    await learned(world)
    await world.loader.run_pass()
    items = [Item(image_id(seed), "decals" if seed % 3 else "sdss", picture(seed)) for seed in range(200, 220)]
    together = world.model.engine.analyze(items)
    alone = [world.model.engine.analyze([item])[0] for item in items]
    world.restart()
    await world.loader.run_pass()
    replayed = world.model.engine.analyze(list(reversed(items)))[::-1]
    assert together == alone == replayed
    fits = {outcome.scores.calibration_fit for outcome in together if isinstance(outcome, ItemResult)}
    assert fits == {"own", "survey-model"}


async def test_earlier_images_are_judged_again_and_the_books_balance(world: SurveyWorld) -> None:
    await learned(world)
    old = {document["analysis"]["calibration_id"] for document in await world.documents(FIRST)}
    assert await world.reanalyzer.run_pass() == 0, "the model server has not loaded the revision yet"
    await world.loader.run_pass()
    assert await world.reanalyzer.run_pass() == NEEDED
    states = await world.records.tally(Collection.IMAGES, "state")
    books = Books.of({("accepted",): NEEDED}, states)
    assert (books.in_flight, books.analyzed) == (NEEDED, 0)
    await world.settle()
    analyses = [document["analysis"] for document in await world.documents(FIRST)]
    (calibration,) = {analysis["calibration_id"] for analysis in analyses}
    assert calibration not in old
    assert {(analysis["calibration_fit"], analysis["calibration_survey"]) for analysis in analyses} == {
        ("survey-model", "decals")
    }
    assert {analysis["calibration_images"] for analysis in analyses} == {NEEDED - 1}
    again = (await world.state("decals")).rejudging
    assert again is not None
    assert (again.requested, again.finished_at is not None) == (NEEDED, True)
    assert await world.reanalyzer.run_pass() == 0
    assert await world.records.pending(Collection.IMAGES, limit=1) == []


async def test_a_crash_while_images_are_requested_loses_none_and_repeats_none(world: SurveyWorld) -> None:
    await learned(world)
    await world.loader.run_pass()
    world.outbox.dies = True
    with pytest.raises(RuntimeError, match="killed"):
        await world.reanalyzer.run_pass()
    world.outbox.dies = False
    world.restart()
    await world.loader.run_pass()
    assert await world.reanalyzer.run_pass() == 0, "all of them are on their way"
    for key, events in await world.records.pending(Collection.IMAGES, limit=1000):
        await world.outbox.release(Collection.IMAGES, [(key, events)])
    await world.settle()
    fits = {document["analysis"]["calibration_fit"] for document in await world.documents(FIRST)}
    assert fits == {"survey-model"}


async def test_alerts_are_held_until_a_survey_model_is_beyond_all_its_images(world: SurveyWorld) -> None:
    await learned(world)
    pooled = Analysis.model_validate((await world.document(1))["analysis"])
    assert "until the survey has a survey model" in (alert_hold(pooled) or "")
    await world.loader.run_pass()
    await world.settle()
    judged = [Analysis.model_validate(document["analysis"]) for document in await world.documents(FIRST)]
    within = [analysis for analysis in judged if not analysis.p_value_at_most]
    assert within
    assert all(alert_hold(analysis) for analysis in within)
    assert alert_hold(within[0].model_copy(update={"p_value_at_most": True})) is None
    assert alert_hold(within[0].model_copy(update={"calibration_fit": "own"})) is None


async def test_a_known_survey_with_other_images_is_marked_and_learned(world: SurveyWorld) -> None:
    # Pictures of noise are all alike strange to the bundle's made-up calibration.
    await world.ingest(range(1, 81), "sdss")
    await world.records.apply(
        Collection.IMAGES, [Change(id=image_id(seed), set={"p_value": 0.001}) for seed in range(1, 81)]
    )
    await world.keeper.run_pass()
    await world.keeper.run_pass()
    state = await world.state("sdss")
    assert state.state is SurveyState.DOES_NOT_FIT
    assert state.reason.startswith("another sky than the bundle's calibration of sdss: of ")
    assert "small p-values" in state.reason
    assert "under a name of their own" in state.reason
    await world.loader.run_pass()
    await world.reanalyzer.run_pass()
    await world.analyze_requested()
    analysis = (await world.document(1))["analysis"]
    assert (analysis["calibration_fit"], analysis["calibration_survey"]) == ("does-not-fit", "pooled")
    await world.keeper.run_pass()
    assert (await world.state("sdss")).state is SurveyState.READY
    await world.settle()
    assert (await world.document(1))["analysis"]["calibration_fit"] == "survey-model"


async def test_a_person_returns_a_survey_to_the_bundle(world: SurveyWorld) -> None:
    await test_a_known_survey_with_other_images_is_marked_and_learned(world)
    (shown,) = (await world.surveys.states()).items
    with pytest.raises(Conflict) as refused:
        await world.surveys.clear("sdss", user="vera")
    assert shown.releases
    for words in (shown.releases, str(refused.value.detail)):
        assert "have p ≤ .01, where 0.44 are expected: of 44 recent images" in words
        assert "Of the 44 images that came since about 44 would be anomalies" in words
    assert (await world.state("sdss")).state is SurveyState.READY
    await world.surveys.clear("sdss", user="vera", release=True)
    state = await world.state("sdss")
    assert (state.state, state.revision, len(state.earlier)) == (SurveyState.OWN, None, 1)
    await world.settle()
    assert (await world.document(1))["analysis"]["calibration_fit"] == "own"
    for _ in range(3):
        await world.keeper.run_pass()
    assert (await world.state("sdss")).state is SurveyState.OWN, "the same images are not compared again"
    with pytest.raises(Conflict, match="serves it already"):
        await world.surveys.clear("sdss", user="vera")
    states = [
        CalibrationRevised.model_validate_json(event.payload).state
        for event in world.outbox.of(topics.CALIBRATIONS_REVISED)
    ]
    assert states == [SurveyState.DOES_NOT_FIT, SurveyState.READY, SurveyState.OWN]


async def test_images_that_a_person_calls_strange_are_left_out_of_the_next_fit(world: SurveyWorld) -> None:
    first = await learned(world)
    strangest = (await world.surveys.strangest("decals")).items
    assert len(strangest) == 40
    for card, answer in (
        (strangest[0], Answer.INTERESTING),
        (strangest[1], Answer.ARTEFACT),
        (strangest[2], Answer.ORDINARY),
    ):
        await world.labelling.answer(LabelRequest(image_id=card.image_id, answer=answer), user="vera")
    (view,) = (await world.surveys.states()).items
    assert view.review is not None
    assert (view.review.images, view.review.answered) == (40, 3)
    labeled = (await world.records.get(Collection.IMAGES, [strangest[0].image_id]))[strangest[0].image_id]["labeled_at"]
    world.now = datetime.fromisoformat(labeled) + timedelta(seconds=30)
    await world.keeper.run_pass()
    assert (await world.state("decals")).version == 1, "answers come in rows"
    world.now += timedelta(minutes=5)
    await world.keeper.run_pass()
    state = await world.state("decals")
    assert state.revision is not None
    assert state.revision.digest != first
    assert state.revision.excluded == tuple(sorted(card.image_id for card in strangest[:2]))
    assert state.revision.images == NEEDED - 2
    assert [revision.digest for revision in state.earlier] == [first]
    await world.keeper.run_pass()
    assert (await world.state("decals")).version == 2


async def test_a_damaged_survey_model_is_an_issue_and_is_fitted_again(world: SurveyWorld) -> None:
    revision = await learned(world)
    state = await world.state("decals")
    assert state.revision is not None
    await world.images.delete([state.revision.key])
    await world.images.put(state.revision.key, b"damaged", media_type="application/octet-stream")
    await world.loader.run_pass()
    assert "decals" in (world.server_condition.detail or "")
    (outcome,) = world.model.engine.analyze([Item(image_id(1), "decals", picture(1))])
    assert isinstance(outcome, ItemResult)
    assert outcome.scores.calibration_fit == "pooled"
    world.restart()
    await world.keeper.run_pass()
    await world.loader.run_pass()
    assert world.server_condition.detail is None
    again = await world.state("decals")
    assert again.revision is not None
    assert (again.revision.digest, again.version) == (revision, 1)
    (outcome,) = world.model.engine.analyze([Item(image_id(1), "decals", picture(1))])
    assert isinstance(outcome, ItemResult)
    assert outcome.scores.calibration_fit == "survey-model"


async def test_injections_and_missing_cutouts_are_left_out(world: SurveyWorld) -> None:
    await world.ingest(range(101, 104), "decals", injected=True)
    await world.ingest(FIRST, "decals")
    await world.images.delete([cutout_key(image_id(7))])
    await world.keeper.run_pass()
    await world.keeper.run_pass()
    revision = (await world.state("decals")).revision
    assert revision is not None
    assert revision.images == NEEDED - 1
    assert not {image_id(seed) for seed in range(101, 104)}.intersection((await world.state("decals")).strangest)


async def test_a_fit_that_fails_is_tried_again_later(world: SurveyWorld) -> None:
    await world.ingest(FIRST, "decals")
    await world.images.delete([cutout_key(image_id(seed)) for seed in FIRST[:20]])
    await world.keeper.run_pass()
    await world.keeper.run_pass()
    state = await world.state("decals")
    assert (state.state, state.failures) == (SurveyState.LEARNING, 1)
    assert "too few" in (state.failure or "") or "needs" in (state.failure or "")
    asked = world.model.extracted
    await world.keeper.run_pass()
    assert world.model.extracted == asked
    for seed in FIRST[:20]:
        await world.images.put(cutout_key(image_id(seed)), picture(seed), media_type="image/jpeg")
    world.now += timedelta(minutes=2)
    await world.keeper.run_pass()
    state = await world.state("decals")
    assert (state.state, state.failures, state.failure) == (SurveyState.READY, 0, None)


async def test_without_a_model_server_nothing_happens(world: SurveyWorld) -> None:
    await world.ingest(FIRST, "decals")
    world.model.away = True
    await world.keeper.run_pass()
    assert await world.all() == {}


async def test_another_bundle_learns_the_survey_anew(world: SurveyWorld) -> None:
    first = await learned(world)
    described = world.model.service.description
    identity = replace(described.identity, digest="f" * 64)
    world.model.service.description = replace(described, identity=identity)
    await world.keeper.run_pass()
    state = await world.state("decals")
    assert (state.state, state.revision, [each.digest for each in state.earlier]) == (
        SurveyState.LEARNING,
        None,
        [first],
    )
    await world.keeper.run_pass()
    revision = (await world.state("decals")).revision
    assert revision is not None
    assert revision.model_digest == "f" * 64
    await world.loader.run_pass()
    assert world.model.service.served == (), "the model server still has the old bundle"


async def test_a_bundle_without_feature_maps_says_that_it_learns_nothing(world: SurveyWorld) -> None:
    await world.ingest(FIRST, "decals")
    world.model.service.description = replace(world.model.service.description, taps=())
    for _ in range(3):
        await world.keeper.run_pass()
    state = await world.state("decals")
    assert (state.state, state.failures) == (SurveyState.LEARNING, 0)
    assert "no feature maps" in (state.failure or "")


def survey_image(p_value: float, **detectors: float) -> SurveyImage:
    return SurveyImage(
        image_id="0" * 32,
        ingested_at=START,
        cutout_key="k",
        cutout_sha256="s",
        label=None,
        p_value=p_value,
        detector_p_values=detectors,
        simulated=False,
        model_digest="m",
        calibration_fit="own",
    )


UNIFORM = [(rank + 0.5) / 300 for rank in range(300)]


@pytest.mark.parametrize(
    ("p_values", "mahalanobis", "fits"),
    [
        (UNIFORM, UNIFORM, True),
        ([p / 100 if rank % 2 else p for rank, p in enumerate(UNIFORM)], UNIFORM, True),  # half of them strange
        ([p**8 for p in UNIFORM], UNIFORM, False),
        (UNIFORM, [p**8 for p in UNIFORM], False),
        (UNIFORM, [1 - (1 - p) / 100 for p in UNIFORM], True),
        ([1 - (1 - p) ** 2 / 2 for p in UNIFORM], UNIFORM, True),
        ([1 - (1 - p) / 100 for p in UNIFORM], UNIFORM, False),  # blind: all of them perfectly ordinary
    ],
)
async def test_other_skies_are_told_from_strange_images(
    p_values: list[float], mahalanobis: list[float], fits: bool
) -> None:
    images = [survey_image(p, mahalanobis=other) for p, other in zip(p_values, mahalanobis, strict=True)]
    check = await SurveyChecker(clock=lambda: START).check(images)
    assert (check.fits, check.images) == (fits, 300), check.detail
