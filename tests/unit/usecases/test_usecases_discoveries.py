"""The discovery list of a night: what it tests, lists, and promises."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, RecordStore
from astrolens.usecases.discoveries import CACHE_TTL_S, Discoveries, NightImage, listed_count
from astrolens.usecases.errors import InvalidRequest

from tests.made_records import NIGHT, make_image

EVENING = date(2026, 3, 1)


class Clock:
    def __init__(self) -> None:
        self.now = NIGHT + timedelta(hours=4)
        self.seconds = 0.0


def made(records: RecordStore, clock: Clock) -> Discoveries:
    return Discoveries(records, clock=lambda: clock.now, timer=lambda: clock.seconds)


async def add(
    records: RecordStore, names: list[str], *, changes: dict[str, Any] | None = None, **given: Any
) -> list[str]:
    images = [make_image(name, **given)[0] for name in names]
    await records.insert(Collection.IMAGES, images)
    ids = [image.image_id for image in images]
    if changes:
        await records.apply(Collection.IMAGES, [Change(id=image, set=changes) for image in ids])
    return ids


async def test_what_stands_out_is_listed_the_strangest_first(records: RecordStore) -> None:
    await add(records, [f"ordinary {n}" for n in range(95)], p_value=0.5)
    odd = [(await add(records, [f"odd {n}"], p_value=0.001, rank_score=3.0 + n))[0] for n in range(5)]
    found = await made(records, Clock()).of_night(EVENING, q=0.1)
    assert (found.tested, found.listed, found.threshold) == (100, 5, 0.001)
    assert [card.image_id for card in found.items] == odd[::-1]
    assert found.limited is None
    assert "At most 10 % of the listed are expected to be ordinary, that is 0.5 of 5" in found.promise


async def test_the_smallest_p_value_is_first_whatever_the_rank_scores_of_two_surveys_are(records: RecordStore) -> None:
    await add(records, [f"ordinary {n}" for n in range(95)], p_value=0.5)
    (second,) = await add(records, ["of 300 images"], p_value=0.0033, rank_score=2.420)
    (first,) = await add(records, ["of 383 images"], p_value=0.0026, rank_score=2.417)
    found = await made(records, Clock()).of_night(EVENING, q=0.2)
    assert [card.image_id for card in found.items] == [first, second]


async def test_a_list_that_is_limited_by_its_calibration_says_so(records: RecordStore) -> None:
    await add(records, [f"ordinary {n}" for n in range(99)], p_value=0.5)
    await add(records, ["odd"], p_value=0.01, rank_score=9.0)
    found = await made(records, Clock()).of_night(EVENING)
    assert (found.listed, found.threshold, found.items) == (0, None, [])
    assert found.promise.startswith("No image stands out at q = 0.1")
    assert found.limited is not None
    assert "the smallest possible p-value is 1/100, and of 100 tested images" in found.limited
    assert "a list at q = 0.1 needs at least 10 that reach it, and 1 did" in found.limited
    assert "One alone would be listed with 999 calibration images" in found.limited


async def test_a_night_that_can_list_nothing_says_so_before_anything_strange_comes(records: RecordStore) -> None:
    await add(records, [f"ordinary {n}" for n in range(11)], p_value=0.5, changes={"analysis.calibration_images": 99})
    found = await made(records, Clock()).of_night(EVENING)
    assert found.limited is not None
    assert found.limited.startswith("No image of this night can be listed by itself, however strange it is")
    assert "needs at least 2 that reach it, and 0 did" in found.limited


async def test_a_short_night_whose_first_image_could_be_listed_is_not_limited(records: RecordStore) -> None:
    await add(records, [f"ordinary {n}" for n in range(10)], p_value=0.5, changes={"analysis.calibration_images": 99})
    assert (await made(records, Clock()).of_night(EVENING)).limited is None


async def test_images_that_a_longer_list_still_keeps_back_are_named(records: RecordStore) -> None:
    await add(records, [f"ordinary {n}" for n in range(89)], p_value=0.5)
    changes = {"analysis.calibration_images": 9999, "analysis.p_value_at_most": True}
    await add(records, [f"odd {n}" for n in range(10)], p_value=0.0001, rank_score=9.0, changes=changes)
    await add(records, ["kept back"], p_value=0.05, rank_score=8.0, changes={"analysis.p_value_at_most": True})
    found = await made(records, Clock()).of_night(EVENING)
    assert found.listed == 10
    assert found.limited is not None
    assert found.limited.startswith("1 image is stranger than all images that their survey was calibrated on")


async def test_only_images_of_the_night_whose_p_values_promise_something_are_tested(records: RecordStore) -> None:
    (tested,) = await add(records, ["tested"], p_value=0.01)
    await add(records, ["next night"], p_value=0.01, minutes=16 * 60)
    await add(records, ["simulated"], p_value=0.01, changes={"observation.simulated": True})
    await add(records, ["injected"], p_value=0.01, changes={"observation.injected": True})
    await add(records, ["pooled"], p_value=0.01, changes={"analysis.calibration_fit": "pooled"})
    await add(records, ["burst"], p_value=0.01, changes={"analysis.burst_survey": "sdss"})
    await add(records, ["waits"], p_value=None)
    found = await made(records, Clock()).of_night(EVENING)
    assert [card.image_id for card in found.items] == [tested]
    assert found.left_out == {"simulated": 2, "no-promise": 2, "not-analysed": 1}
    assert (found.since, found.until) == (datetime(2026, 3, 1, 12, tzinfo=UTC), datetime(2026, 3, 2, 12, tzinfo=UTC))


async def add_copies(records: RecordStore, first: str, names: list[str], **given: Any) -> list[str]:
    """Images that are near-duplicates of the one before, the first of them of `first`."""
    before, found = first, []
    for number, name in enumerate(names, start=1):
        links = [{"image_id": before, "distance": number % 5}]
        (before,) = await add(records, [name], minutes=number, changes={"near_duplicates": links}, **given)
        found.append(before)
    return found


async def test_copies_of_one_picture_are_one_test_and_the_first_stands_for_them(records: RecordStore) -> None:
    await add(records, [f"ordinary {n}" for n in range(98)], p_value=0.5)
    await add(records, ["just ordinary"], p_value=0.01)
    (odd,) = await add(records, ["odd"], p_value=0.001)
    copies = await add_copies(records, odd, [f"variant {n}" for n in range(30)], p_value=0.0005)
    found = await made(records, Clock()).of_night(EVENING)
    assert (found.tested, found.copies_merged, found.listed, found.threshold) == (100, 30, 1, 0.001)
    assert [card.image_id for card in found.items] == [odd], "each counted, they would list `just ordinary` too"
    assert found.copies[odd].count == 30
    assert found.copies[odd].image_ids == copies[:20]
    assert "30 copies were merged with the first image of the same picture" in found.promise


async def test_the_first_image_stands_for_its_copies_whatever_their_p_values(records: RecordStore) -> None:
    await add(records, [f"ordinary {n}" for n in range(9)], p_value=0.5)
    (first,) = await add(records, ["first"], p_value=0.4)
    await add_copies(records, first, ["copy"], p_value=0.0001)
    found = await made(records, Clock()).of_night(EVENING)
    assert (found.tested, found.copies_merged, found.listed, found.copies) == (10, 1, 0, {})


async def test_copies_of_a_picture_of_an_earlier_night_are_one_test(records: RecordStore) -> None:
    (before,) = await add(records, ["the night before"], p_value=0.001, minutes=-24 * 60)
    for name in ("one", "two"):
        await add(records, [name], p_value=0.001, changes={"near_duplicates": [{"image_id": before, "distance": 0}]})
    found = await made(records, Clock()).of_night(EVENING)
    assert (found.tested, found.copies_merged) == (1, 1)


async def test_what_only_looks_alike_stays_two_tests(records: RecordStore) -> None:
    (here,) = await add(records, ["here"], position=(10.0, 20.0))
    links = {"near_duplicates": [{"image_id": here, "distance": 1}]}
    await add(records, ["elsewhere"], position=(10.1, 20.0), minutes=1, changes=links)
    await add(records, ["far hash"], changes={"near_duplicates": [{"image_id": here, "distance": 5}]}, minutes=2)
    assert (await made(records, Clock()).of_night(EVENING)).tested == 3
    await add(records, ["the same place"], position=(10.001, 20.0), minutes=3, changes=links)
    found = await made(records, Clock()).of_night(EVENING)
    assert (found.tested, found.copies_merged) == (3, 1)


async def test_the_night_without_a_date_is_the_last_one_and_one_to_come_is_refused(records: RecordStore) -> None:
    clock = Clock()
    clock.now = datetime(2026, 3, 2, 11, 59, tzinfo=UTC)
    assert (await made(records, clock).of_night()).night == EVENING
    with pytest.raises(InvalidRequest, match="still to come"):
        await made(records, clock).of_night(date(2026, 3, 2))


async def test_p_values_are_read_again_after_a_minute(records: RecordStore) -> None:
    clock = Clock()
    discoveries = made(records, clock)
    assert (await discoveries.of_night(EVENING)).tested == 0
    await add(records, ["one"], p_value=0.001)
    assert (await discoveries.of_night(EVENING)).tested == 0
    clock.seconds = CACHE_TTL_S
    assert (await discoveries.of_night(EVENING)).tested == 1


@pytest.mark.parametrize(
    ("p_values", "tested", "q", "expected"),
    [
        ([0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298], 15, 0.05, 4),  # Benjamini and Hochberg's example
        ([0.02, 0.02, 0.02], 10, 0.1, 3),
        ([0.02, 0.02], 10, 0.1, 2),
        ([0.02], 10, 0.1, 0),
        ([], 10, 0.1, 0),
    ],
)
def test_the_step_up_procedure(p_values: list[float], tested: int, q: float, expected: int) -> None:
    assert listed_count(p_values, tested=tested, q=q) == expected


@pytest.mark.parametrize("prevalence", [0.01, 0.05])
def test_the_promise_holds_for_p_values_that_share_their_calibration(prevalence: float) -> None:
    rng = np.random.default_rng(3)
    shares = []
    for _ in range(200):
        calibration = np.sort(rng.normal(size=600))
        odd = rng.random(2000) < prevalence
        scores = rng.normal(size=2000) + 4.0 * odd
        p_values = (1.0 + 600 - np.searchsorted(calibration, scores)) / 601
        order = np.argsort(p_values, kind="stable")
        listed = order[: listed_count(p_values[order].tolist(), tested=2000, q=0.1)]
        shares.append(float((~odd[listed]).mean()) if len(listed) else 0.0)
    assert np.mean(shares) <= 0.12
    assert prevalence < 0.05 or np.mean(shares) > 0.03, "it lists something, and is not empty by design"


async def test_on_the_assumption_of_a_tail_the_list_goes_on_and_says_so(records: RecordStore) -> None:
    changes = {"analysis.calibration_images": 999}
    await add(records, [f"ordinary {n}" for n in range(398)], p_value=0.5, changes=changes)
    await add(records, ["stranger than all"], p_value=0.001, rank_score=4.5)
    await add(records, ["just beyond all"], p_value=0.001, rank_score=3.1)
    plain = await made(records, Clock()).of_night(EVENING)
    assert (plain.listed, plain.listed_with_tail, plain.tail_assumed) == (0, 1, False)
    found = await made(records, Clock()).of_night(EVENING, assume_tail=True)
    assert (found.tested, found.listed, found.tail_assumed, found.limited) == (400, 1, True, None)
    assert len(found.items) == 1
    assert found.items[0].rank_score == 4.5
    assert "assumes that beyond the calibration images" in found.promise
    assert "assumes" not in plain.promise


async def test_the_assumed_tail_ends_and_never_enlarges_a_p_value(records: RecordStore) -> None:
    beyond = [
        NightImage("a", 0.001, rank, at_most=True, calibration_images=999).assumed_p_value for rank in (3.0, 4.0, 9.0)
    ]
    assert beyond == [0.001, pytest.approx(0.0005), 0.0001]
    assert NightImage("a", 0.02, 9.0, at_most=False, calibration_images=999).assumed_p_value == 0.02
