"""Drift of p-values: what is measured, what is allowed for, and what must not be."""

import numpy as np
import pytest
from astrolens.science.drift_adjustment import MAX_SHIFT, MIN_IMAGES, SCALES, Adjustment, measure_adjustment
from numpy.typing import NDArray
from scipy.special import ndtr

BUDGET = 0.01


def p_values(rng: np.random.Generator, images: int, *, shift: float = 0.0, scale: float = 1.0) -> NDArray[np.float64]:
    """Of ordinary images that a calibration on 600 images judges, after a drift."""
    calibration = np.sort(rng.normal(size=600))
    scores = shift + scale * rng.normal(size=images)
    conformal = (1.0 + 600 - np.searchsorted(calibration, scores)) / 601
    # Beyond the calibration images, the tail that rank scores go on with.
    return np.where(scores > calibration[-1], np.minimum(ndtr(-scores), conformal), conformal)


@pytest.mark.parametrize("shift", [0.5, 1.0])
def test_after_300_images_ordinary_ones_are_flagged_at_most_twice_as_often_as_promised(shift: float) -> None:
    before, after = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        seen = p_values(rng, 3000, shift=shift)
        found = measure_adjustment(seen[:300])
        before.append((seen[300:] <= BUDGET).mean())
        after.append((found.p_values(seen[300:]) <= BUDGET).mean())
    assert np.mean(before) > 2 * BUDGET
    assert np.mean(after) <= 2 * BUDGET
    assert np.mean(after) >= 0.2 * BUDGET, "nor are all verdicts gone"


@pytest.mark.parametrize("odd", [0.05, 0.10])
def test_a_burst_of_oddities_is_not_absorbed(odd: float) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        ordinary = p_values(rng, round(300 * (1 - odd)))
        burst = np.full(300 - len(ordinary), 1 / 601)
        found = measure_adjustment(np.concatenate([ordinary, burst]))
        assert found.shift < 0.2
        assert (found.p_values(burst) <= BUDGET).all()


def test_an_adjustment_never_makes_verdicts_looser_and_is_bounded() -> None:
    rng = np.random.default_rng(1)
    for given in (np.full(300, 0.9), np.full(300, 1.0), np.full(300, 1 / 601), rng.random(300) ** 4, rng.random(300)):
        found = measure_adjustment(given)
        assert 0.0 <= found.shift <= MAX_SHIFT
        assert SCALES[0] <= found.scale <= SCALES[1]
        assert (found.p_values(given) >= given).all()
    grid = np.geomspace(1e-6, 1.0, 200)
    assert (np.diff(Adjustment(1.0, 0.8).p_values(grid)) >= 0).all(), "the order stays"


def test_no_drift_changes_nothing_at_the_budget() -> None:
    assert Adjustment().p_values(np.array([0.001, 0.01, 1.0])) == pytest.approx([0.001, 0.01, 1.0])
    assert Adjustment(1.0).p_values(np.array([0.01])) == pytest.approx(ndtr(1.0 - 2.326348))


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match=f"{MIN_IMAGES} are needed"):
        measure_adjustment(np.full(MIN_IMAGES - 1, 0.5))
