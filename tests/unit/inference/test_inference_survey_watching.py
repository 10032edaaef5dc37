"""A known survey: whether its images are of another sky is asked before how far its sky has drifted."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from astrolens.contracts.survey_models import FitCheck, SurveyModelRecord, SurveyState
from astrolens.inference.survey_models.checking import SurveyChecker
from astrolens.inference.survey_models.tracking import DriftTracker
from astrolens.inference.survey_models.watching import BURST_QUIET_PERIOD, KnownSurveyWatcher
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change
from astrolens.platform.stores.sqlite.store import SqliteRecordStore

from tests.made_records import NIGHT, make_image

DIGEST = "d" * 64


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[SqliteRecordStore]:
    store = SqliteRecordStore(tmp_path / "records.sqlite")
    await store.open()
    yield store
    await store.close()


class Survey:
    """One known survey whose images come a minute apart, watched as an analyzer does."""

    def __init__(self, records: SqliteRecordStore) -> None:
        self.records = records
        self.now = NIGHT
        self.watcher = KnownSurveyWatcher(
            records=records,
            checker=SurveyChecker(clock=lambda: self.now),
            tracker=DriftTracker(records=records, clock=lambda: self.now),
            images_needed=300,
            clock=lambda: self.now,
        )
        self.record = SurveyModelRecord(
            survey="sdss",
            state=SurveyState.OWN,
            since=NIGHT,
            reason="the bundle is calibrated for it",
            known=True,
            model_digest=DIGEST,
            images_needed=300,
        )

    async def feed(self, p_values: Sequence[float], *, burst: bool = False, phash: str | None = None) -> None:
        came = self.record.images
        made = [make_image(f"{came + n}", p_value=p, minutes=came + n)[0] for n, p in enumerate(p_values)]
        await self.records.insert(Collection.IMAGES, made)
        held = {"analysis.burst_survey": "sdss"} if burst else {}
        picture = {"phash": phash} if phash else {}
        changes = [
            Change(
                id=each.image_id,
                set={
                    "analyzed_at": each.ingested_at.isoformat(),
                    "verdict": "anomaly" if p <= 0.01 else "ordinary",
                    **picture,
                    **(held if p <= 0.01 else {}),
                },
            )
            for each, p in zip(made, p_values, strict=True)
        ]
        await self.records.apply(Collection.IMAGES, changes)
        self.now = NIGHT + timedelta(minutes=came + len(p_values) - 1)
        self.record = self.record.model_copy(update={"images": came + len(p_values)})

    async def watch(self) -> SurveyModelRecord:
        self.record = await self.watcher.watch(self.record)
        return self.record


def spread(count: int, low: float = 0.0, high: float = 1.0) -> list[float]:
    return [low + (high - low) * ((n + 1) * 0.618 % 1) for n in range(count)]


async def test_another_sky_is_not_taken_for_a_drift(records: SqliteRecordStore) -> None:
    survey = Survey(records)
    await survey.feed(spread(160))
    known = await survey.watch()
    assert known.check is not None
    assert (known.check.fits, known.check.at_1_percent, known.adjustment) == (True, 1, None)
    await survey.feed(spread(100, 0.011, 0.15))
    found = await survey.watch()
    assert (found.state, found.adjustment) == (SurveyState.DOES_NOT_FIT, None)
    assert found.reason.startswith("another sky than the bundle's calibration of sdss: of 100 recent images")
    assert found.learn_from == NIGHT + timedelta(minutes=160), "what came before is no part of the survey model"


async def test_a_change_of_seeing_is_a_drift(records: SqliteRecordStore) -> None:
    survey = Survey(records)
    await survey.feed(spread(160))
    await survey.watch()
    await survey.feed([p**2 for p in spread(100)])
    found = await survey.watch()
    assert found.state is SurveyState.OWN
    assert found.adjustment is not None
    assert found.adjustment.shift > 0.2


async def test_held_anomalies_are_compared_before_a_drift_is_measured(records: SqliteRecordStore) -> None:
    survey = Survey(records)
    await survey.feed(spread(90))
    await survey.feed([0.004] * 30, burst=True)
    waits = await survey.watch()
    assert (waits.check, waits.drift) == (None, None)
    survey.now += BURST_QUIET_PERIOD
    found = await survey.watch()
    assert found.check is not None
    assert (found.state, found.check.images, found.drift) == (SurveyState.DOES_NOT_FIT, 30, None)
    assert found.check.at_1_percent == 30


async def test_a_simulated_sky_is_left_alone(records: SqliteRecordStore) -> None:
    survey = Survey(records)
    survey.record = survey.record.model_copy(update={"survey": "simulated-lsst"})
    before = survey.record
    assert await survey.watch() == before


async def test_another_sky_that_comes_slowly_is_compared_with_what_came_before(records: SqliteRecordStore) -> None:
    """Each image is compared, and released, before the next: such bursts put off no comparison of more images."""
    survey = Survey(records)
    await survey.feed(spread(160))
    await survey.watch()
    released = 0
    for came in range(1, 101):
        await survey.feed([0.004, 0.003, 0.02][came % 3 : came % 3 + 1], burst=came % 3 < 2)
        survey.now += BURST_QUIET_PERIOD
        if (await survey.watch()).state is SurveyState.DOES_NOT_FIT:
            break
        released += 1
        assert survey.record.check is not None
        assert survey.record.check.seen_complete == 160
    assert survey.record.check is not None
    assert 20 < released < 50
    assert survey.record.check.images == 50


async def compared(survey: Survey) -> FitCheck:
    survey.now += BURST_QUIET_PERIOD
    check = (await survey.watch()).check
    assert check is not None
    return check


async def test_a_burst_of_too_few_pictures_stays_held_until_they_can_be_compared(
    records: SqliteRecordStore,
) -> None:
    survey = Survey(records)
    await survey.feed([0.004] * 6 + spread(8, 0.02), burst=True)
    waits = await compared(survey)
    assert (survey.record.state, waits.fits, waits.undecided) == (SurveyState.OWN, False, True)
    assert waits.detail.startswith("6 anomalies among 14 different pictures are too many to raise alerts; from 20 ")
    assert (await compared(survey)) == waits, "nothing came that could decide"
    await survey.feed(spread(6, 0.02))
    decided = await compared(survey)
    assert (survey.record.state, decided.fits, decided.images) == (SurveyState.OWN, True, 20)


async def test_copies_of_one_strange_picture_are_not_released_for_being_few_pictures(
    records: SqliteRecordStore,
) -> None:
    survey = Survey(records)
    await survey.feed(spread(12, 0.02))
    await survey.feed([0.004] * 17, burst=True, phash="0f" * 8)
    waits = await compared(survey)
    assert (waits.undecided, waits.images) == (True, 13)
    assert "17 anomalies among 13 different pictures" in waits.detail


async def test_few_held_anomalies_among_few_pictures_are_released(records: SqliteRecordStore) -> None:
    survey = Survey(records)
    await survey.feed([0.004] * 3 + spread(12, 0.02), burst=True)
    check = await compared(survey)
    assert (check.fits, check.undecided) == (True, False), "scipy.stats.binom.sf(2, 15, .05) = .036"
    assert check.detail == "too few images to compare, and 3 anomalies among 15 different pictures are no burst"


async def test_what_chance_may_explain_of_few_images_releases_no_burst(records: SqliteRecordStore) -> None:
    survey = Survey(records)
    await survey.feed([0.004] * 25 + spread(18, 0.02), burst=True)
    waits = await compared(survey)
    assert (survey.record.state, waits.undecided, waits.images) == (SurveyState.OWN, True, 43)
    assert "more images decide" in waits.detail
    assert waits.last_decided_at is None
    await survey.feed(spread(40, 0.02))
    decided = await compared(survey)
    assert (survey.record.state, decided.fits, decided.images) == (SurveyState.OWN, True, 83)
