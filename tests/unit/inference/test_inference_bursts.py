from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from astrolens.contracts.alert_holds import alert_hold
from astrolens.contracts.records import Reason
from astrolens.contracts.survey_models import SurveyState
from astrolens.contracts.verdicts import Analysis, DetectorResult, Verdict
from astrolens.inference.survey_models import bursts
from astrolens.inference.survey_models.bursts import BurstDetector, is_burst
from astrolens.inference.survey_models.watching import BURST_QUIET_PERIOD
from astrolens.rpc.model_client import CutoutRequest

from tests.unit.inference.survey_world import NEEDED, START, SurveyWorld
from tests.unit.inference.tiny_bundle import image_id


@dataclass
class Judgements:
    """Gives anomalies to the images of `strange`, and p-values that are spread evenly to the others."""

    world: SurveyWorld
    strange: Collection[int] = ()
    seeds: dict[str, int] = field(default_factory=lambda: {image_id(seed): seed for seed in range(2001)})

    def __post_init__(self) -> None:
        self._analyze = self.world.model.analyze
        self.world.model.analyze = self.analyze  # type: ignore[method-assign]

    async def analyze(self, cutouts: Sequence[CutoutRequest]) -> list[Analysis | Reason]:
        return [
            self._judged(cutout, answer) for cutout, answer in zip(cutouts, await self._analyze(cutouts), strict=True)
        ]

    def _judged(self, cutout: CutoutRequest, answer: Analysis | Reason) -> Analysis | Reason:
        assert isinstance(answer, Analysis)
        seed = self.seeds[cutout.image_id]
        if answer.calibration_fit != "own":
            return answer
        p_value = 0.004 if seed in self.strange else 0.02 + 0.98 * (seed * 0.618 % 1)
        verdict = Verdict.ANOMALY if p_value <= 0.01 else Verdict.ORDINARY
        detectors = {name: DetectorResult(score=1.0, p_value=p_value) for name in answer.detectors}
        return answer.model_copy(update={"p_value": p_value, "verdict": verdict, "detectors": detectors})


@pytest.fixture
def analysis() -> Analysis:
    return Analysis(
        model_name="tiny",
        model_digest="m",
        preprocessing_digest="p",
        calibration_id="c",
        calibration_survey="sdss",
        execution_provider="CPU",
        class_probabilities={"spiral": 1.0},
        predicted_class="spiral",
        detectors={},
        p_value=0.001,
        verdict=Verdict.ANOMALY,
        analyzed_at=START,
    )


async def analyses(world: SurveyWorld, seeds: Sequence[int]) -> list[Analysis]:
    return [Analysis.model_validate((await world.document(seed))["analysis"]) for seed in seeds]


async def alerts(world: SurveyWorld, seeds: Sequence[int]) -> int:
    """How many images may raise an alert."""
    found = await analyses(world, seeds)
    return sum(each.verdict is Verdict.ANOMALY and alert_hold(each) is None for each in found)


def test_what_a_burst_is() -> None:
    # By hand: 3 of 3 at 5 % has a probability of 0.05**3.
    assert [is_burst(1, 1), is_burst(2, 2), is_burst(3, 3), is_burst(0, 50)] == [False, False, True, False]
    # scipy.stats.binom.sf(7, 50, .05) = 3.8e-3, sf(8, ...) = 7.9e-4
    assert [is_burst(8, 50), is_burst(9, 50)] == [False, True]


async def test_another_sky_under_a_known_name_raises_no_stream_of_alerts(world: SurveyWorld) -> None:
    sky = range(1, 81)
    Judgements(world, strange=[seed for seed in sky if seed % 10])
    for start in range(1, 81, 8):
        await world.ingest(range(start, start + 8), "sdss")
    assert await alerts(world, sky) <= 2, "those before a burst can be seen"
    held = [each for each in await analyses(world, sky) if each.burst_survey]
    assert len(held) >= 70
    assert "compared" in (alert_hold(held[0]) or "")
    await world.keeper.run_pass()
    await world.keeper.run_pass()
    assert (await world.state("sdss")).state is SurveyState.DOES_NOT_FIT
    await world.loader.run_pass()
    await world.settle()
    assert await alerts(world, sky) == 0


async def test_strange_images_of_a_known_sky_raise_their_alerts_after_the_comparison(world: SurveyWorld) -> None:
    seeds = range(1, NEEDED // 2)
    strange = [seed for seed in seeds if seed % 3 == 0]
    Judgements(world, strange=strange)
    await world.ingest(seeds, "sdss")
    before = await alerts(world, seeds)
    assert before < len(strange)
    for _ in range(3):
        await world.keeper.run_pass()
        await world.reanalyzer.run_pass()
        assert await world.analyze_requested() == 0, "the folder may go on: nothing is compared yet"
    world.now += BURST_QUIET_PERIOD
    await world.keeper.run_pass()
    state = await world.state("sdss")
    assert state.check is not None
    assert (state.state, state.check.fits) == (SurveyState.OWN, True)
    await world.reanalyzer.run_pass()
    assert await world.analyze_requested() == len(strange) - before
    assert await alerts(world, seeds) == len(strange)
    await world.reanalyzer.run_pass()
    assert await world.analyze_requested() == 0


async def test_a_new_budget_releases_no_held_anomaly(world: SurveyWorld) -> None:
    seeds = range(1, 11)
    Judgements(world, strange=seeds)
    await world.ingest(seeds, "sdss")
    before = await alerts(world, seeds)
    await world.keeper.run_pass()
    world.now += BURST_QUIET_PERIOD
    await world.keeper.run_pass()
    (shown,) = (await world.surveys.states()).items
    assert "; anomalies are held: 10 anomalies among 10 different pictures" in shown.reason
    await world.surveys.set_budget("sdss", 30.0, user="vera")
    await world.settle()
    assert await alerts(world, seeds) == before <= 2
    assert sum(each.burst_survey is not None for each in await analyses(world, seeds)) == len(seeds) - before


async def test_the_burst_is_compared_without_the_ordinary_images_before_it(world: SurveyWorld) -> None:
    Judgements(world, strange=range(1000, 1030))
    await world.ingest(range(1, 301), "sdss")
    await world.keeper.run_pass()
    await world.keeper.run_pass()
    first = (await world.state("sdss")).check
    assert first is not None
    assert first.fits
    world.now += timedelta(seconds=5)
    await world.ingest(range(1000, 1030), "sdss")
    await world.keeper.run_pass()
    state = await world.state("sdss")
    assert state.state is SurveyState.DOES_NOT_FIT, "30 of the last 44 would say nothing"
    assert state.learn_from is not None
    assert state.learn_from >= world.now


async def test_copies_of_a_strange_picture_take_no_survey_off_its_calibration(world: SurveyWorld) -> None:
    ordinary, copies, others = range(1, 41), range(1000, 1040), range(1100, 1140)
    Judgements(world, strange=[*copies, *others])
    await world.ingest(ordinary, "sdss")
    world.now += timedelta(seconds=5)
    await world.ingest(copies, "sdss", phash="0f" * 8)
    await world.ingest([2000], "sdss", phash="0f" * 7 + "0e")
    assert not any(each.burst_survey for each in await analyses(world, [*copies, 2000]))
    world.now += BURST_QUIET_PERIOD
    for _ in range(3):
        await world.keeper.run_pass()
    state = await world.state("sdss")
    assert state.check is not None
    assert (state.state, state.check.images) == (SurveyState.OWN, 41)
    await world.ingest(others, "sdss")
    assert any(each.burst_survey for each in await analyses(world, others)), "so many pictures are a burst"


@pytest.mark.parametrize(
    ("observation", "analyzed_at", "fit"),
    [
        ({"injected": True, "simulated": True}, None, "own"),
        ({"survey": "simulated-lsst"}, None, "own"),
        ({}, "2026-05-01T12:00:00Z", "own"),
        ({}, None, "pooled"),
        ({}, None, "survey-model"),
    ],
)
def test_these_are_never_marked(
    observation: dict[str, Any], analyzed_at: str | None, fit: str, analysis: Analysis
) -> None:
    detector = BurstDetector()
    anomaly = analysis.model_copy(update={"verdict": Verdict.ANOMALY, "calibration_fit": fit})
    whole = {"survey": "sdss", "injected": False, "simulated": False, **observation}
    for seed in range(60):
        document = {"image_id": image_id(seed), "observation": whole, "analyzed_at": analyzed_at}
        assert detector.mark({"i": document}, {"i": anomaly})["i"] == anomaly


def test_the_window_forgets(analysis: Analysis) -> None:
    detector = BurstDetector()

    def mark(seed: int, verdict: Verdict) -> str | None:
        observation = {"survey": "sdss", "injected": False, "simulated": False}
        document = {"image_id": image_id(seed), "observation": observation, "analyzed_at": None}
        judged = analysis.model_copy(update={"verdict": verdict, "calibration_fit": "own"})
        return detector.mark({"i": document}, {"i": judged})["i"].burst_survey

    assert [mark(seed, Verdict.ANOMALY) for seed in range(4)] == [None, None, "sdss", "sdss"]
    for seed in range(100, 100 + bursts.WINDOW):
        assert mark(seed, Verdict.ORDINARY) is None
    assert mark(200, Verdict.ANOMALY) is None
    assert [mark(200, Verdict.ANOMALY) for _ in range(20)] == [None] * 20, "one image counts once"
