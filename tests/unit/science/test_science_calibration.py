"""p-values are valid and end at 1/(n+1), rank scores do not; Fisher's statistic agrees with the textbook."""

import math

import numpy as np
import pytest
from astrolens.science.calibration import ScoreCalibration, fisher_statistic, load_calibrations
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

LISTS = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=200)


def test_the_conformal_p_value_counts_what_is_at_least_as_strange() -> None:
    tail = ScoreCalibration(np.array([1.0, 2.0, 2.0, 4.0]), exact=True)
    assert tail.p_values(np.array([0.0, 1.0, 1.5, 2.0, 3.0, 4.0])) == pytest.approx([1.0, 1.0, 0.8, 0.8, 0.4, 0.4])


def test_a_score_beyond_all_has_an_upper_bound() -> None:
    calibration = ScoreCalibration(np.array([1.0, 2.0, 2.0, 4.0]))
    asked = np.array([3.9, 4.0, np.nextafter(4.0, 5.0), 1e9])
    assert calibration.p_values(asked) == pytest.approx([0.4, 0.4, 0.2, 0.2])
    assert calibration.beyond(asked).tolist() == [False, False, True, True]
    assert calibration.smallest_p == pytest.approx(0.2)


def test_the_exact_tail_starts_beyond_the_largest_score() -> None:
    tail = ScoreCalibration(np.arange(100.0), tail_share=0.02, exact=True)
    # Two scores lie beyond the start of the tail, 97: their mean excess is 1.5.
    expected = [2 / 101, math.exp(-3.0 / 1.5) / 101]
    assert tail.extrapolated_p_values(np.array([99.0, 102.0])) == pytest.approx(expected)


def test_the_ranking_tail_starts_at_its_quantile() -> None:
    tail = ScoreCalibration(np.arange(100.0), tail_share=0.02)
    expected = [4 / 101, 3 / 101 * math.exp(-1.0 / 1.5), 3 / 101 * math.exp(-10.0 / 1.5)]
    assert tail.extrapolated_p_values(np.array([97.0, 98.0, 107.0])) == pytest.approx(expected)


def test_rank_scores_are_minus_log_p_up_to_the_largest_score_and_the_tail_beyond() -> None:
    calibration = ScoreCalibration(np.arange(100.0), tail_share=0.02, exact=True)
    inside = calibration.rank_scores(np.array([-5.0, 0.0, 97.0, 99.0]))
    assert inside == pytest.approx([0.0, math.log10(101 / 101), math.log10(101 / 4), math.log10(101 / 2)])
    assert calibration.rank_scores(np.array([98.5])) == pytest.approx((math.log10(101 / 3) + math.log10(101 / 2)) / 2)
    outside = calibration.rank_scores(np.array([99.0 + 1e-9, 102.0]))
    assert outside == pytest.approx([math.log10(101), math.log10(101) + 2.0 / math.log(10.0)])


@given(LISTS, st.lists(st.floats(-1e7, 1e7), min_size=2, max_size=50, unique=True), st.booleans())
@settings(max_examples=150, deadline=None)
def test_p_values_decrease_and_rank_scores_grow_with_the_score(
    scores: list[float], asked: list[float], exact: bool
) -> None:
    calibration = ScoreCalibration(np.sort(scores), exact=exact)
    ordered = np.sort(asked)
    for p in (calibration.p_values(ordered), calibration.extrapolated_p_values(ordered)):
        assert (np.diff(p) <= 0).all()
        assert (p > 0).all()
        assert (p <= 1).all()
    p = calibration.p_values(ordered)
    assert (p >= 1 / (len(scores) + 1)).all()
    assert (calibration.beyond(ordered) == (p < 1.5 / (len(scores) + 1))).all()
    ranks = calibration.rank_scores(ordered)
    assert np.isfinite(ranks).all()
    # The interpolation rounds: scores that differ by less than a rounding error may change places by one.
    assert (np.diff(ranks) >= -1e-12 * (1.0 + np.abs(ranks[:-1]))).all()


@given(LISTS)
@settings(max_examples=100, deadline=None)
def test_exact_p_values_are_conservative(scores: list[float]) -> None:
    """Of n + 1 exchangeable scores, at most a share α has a leave-one-out p-value at or below α ≥ 1/(n+1)."""
    n = len(scores) - 1
    p = []
    for index, score in enumerate(scores):
        others = np.sort(scores[:index] + scores[index + 1 :])
        p.append(ScoreCalibration(others, exact=True).p_values(np.array([score]))[0])
    for alpha in (1 / (n + 1), 0.1, 0.3, 0.7):
        if alpha >= 1 / (n + 1):
            assert np.mean(np.array(p) <= alpha + 1e-12) <= alpha + 1e-9


@pytest.mark.parametrize("exact", [True, False])
def test_p_values_of_fresh_ordinary_scores_are_uniform(exact: bool) -> None:
    rng = np.random.default_rng(11)
    tail = ScoreCalibration(np.sort(rng.gumbel(size=4000)), exact=exact)
    p = tail.p_values(rng.gumbel(size=4000))
    for alpha in (0.001, 0.01, 0.03, 0.1, 0.5):
        spread = 4 * math.sqrt(2 * alpha * (1 - alpha) / 4000)
        assert abs((p <= alpha).mean() - alpha) < spread


def test_rank_scores_do_not_tie() -> None:
    rng = np.random.default_rng(5)
    calibration = ScoreCalibration(np.sort(rng.normal(size=500)), exact=True)
    for asked in (np.linspace(-2.0, 2.9, 3000), np.linspace(4.0, 12.0, 30), np.array([1e3, 1e6, 1e9])):
        assert (np.diff(calibration.rank_scores(asked)) > 0).all()
    assert set(calibration.p_values(np.linspace(4.0, 12.0, 30))) == {1 / 501}


def test_equal_scores_still_calibrate() -> None:
    for exact in (True, False):
        calibration = ScoreCalibration(np.full(50, 3.0), exact=exact)
        assert calibration.p_values(np.array([2.0, 3.0, 4.0])) == pytest.approx([1.0, 1.0, 1 / 51])
        assert 0 < calibration.extrapolated_p_values(np.array([4.0]))[0] < 1 / 51
        ranks = calibration.rank_scores(np.array([2.0, 3.0, 4.0, 1e9]))
        assert ranks[0] == ranks[1] == 0.0
        assert math.log10(51) < ranks[2] <= ranks[3] < math.inf


def test_fisher() -> None:
    statistic = fisher_statistic([np.array([0.1, 1.0]), np.array([0.05, 1.0]), np.array([0.5, 1.0])])
    assert statistic == pytest.approx([-2 * math.log(0.1 * 0.05 * 0.5), 0.0])


def test_fisher_of_independent_uniforms_is_chi_squared() -> None:
    rng = np.random.default_rng(3)
    statistic = fisher_statistic(list(rng.uniform(size=(3, 20_000))))
    for quantile in (0.5, 0.9, 0.99):
        spread = 4 * math.sqrt(quantile * (1 - quantile) / 20_000)
        assert (statistic > chi2(6).ppf(quantile)).mean() == pytest.approx(1 - quantile, abs=spread)


def test_the_combined_statistic_is_calibrated_on_its_own_split() -> None:
    """With two identical detectors the chi-squared p-value is far too small; the second calibration corrects it."""
    rng = np.random.default_rng(8)
    first, second, fresh = (rng.normal(size=3000) for _ in range(3))
    own = ScoreCalibration(np.sort(first))
    chi_squared = chi2(4).sf(fisher_statistic([own.extrapolated_p_values(fresh)] * 2))
    arrays = {
        "s/a": np.sort(first),
        "s/b": np.sort(first),
        "s/combined": np.sort(fisher_statistic([own.extrapolated_p_values(second)] * 2)),
    }
    made = load_calibrations(arrays, detectors=("a", "b"), combined_detectors=("a", "b"), tail_share=0.02)["s"]
    p = made.combined.p_values(made.statistic({"a": fresh, "b": fresh}))
    assert (chi_squared <= 0.01).mean() > 0.025
    assert (p <= 0.01).mean() == pytest.approx(0.01, abs=0.006)


@pytest.mark.parametrize("wrong", [np.array([]), np.array([2.0, 1.0]), np.ones((2, 2))])
def test_calibration_scores_must_be_a_sorted_list(wrong: np.ndarray) -> None:
    arrays = {"s/a": wrong, "s/combined": np.arange(3.0)}
    with pytest.raises(ValueError, match="s/a"):
        load_calibrations(arrays, detectors=("a",), combined_detectors=("a",), tail_share=0.02)
