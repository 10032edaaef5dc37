"""p-values are valid, monotone and untied; Fisher's statistic agrees with the textbook."""

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


def test_the_exact_tail_starts_beyond_the_largest_score() -> None:
    scores = np.arange(100.0)
    tail = ScoreCalibration(scores, tail_share=0.02, exact=True)
    # Two scores lie beyond the start of the tail, 97: their mean excess is 1.5.
    assert tail.p_values(np.array([99.0, 102.0])) == pytest.approx([2 / 101, math.exp(-3.0 / 1.5) / 101])


def test_the_ranking_tail_starts_at_its_quantile() -> None:
    tail = ScoreCalibration(np.arange(100.0), tail_share=0.02)
    expected = [4 / 101, 3 / 101 * math.exp(-1.0 / 1.5), 3 / 101 * math.exp(-10.0 / 1.5)]
    assert tail.p_values(np.array([97.0, 98.0, 107.0])) == pytest.approx(expected)


@given(LISTS, st.lists(st.floats(-1e7, 1e7), min_size=2, max_size=50), st.booleans())
@settings(max_examples=150, deadline=None)
def test_p_values_decrease_with_the_score(scores: list[float], asked: list[float], exact: bool) -> None:
    tail = ScoreCalibration(np.sort(scores), exact=exact)
    p = tail.p_values(np.sort(asked))
    assert (np.diff(p) <= 0).all()
    assert (p > 0).all()
    assert (p <= 1).all()


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


def test_scores_beyond_the_calibration_are_not_tied() -> None:
    rng = np.random.default_rng(5)
    for exact in (True, False):
        tail = ScoreCalibration(np.sort(rng.normal(size=500)), exact=exact)
        p = tail.p_values(np.linspace(4.0, 12.0, 30))
        assert (np.diff(p) < 0).all()
        assert p[0] < 1 / 501


def test_equal_scores_still_calibrate() -> None:
    for exact in (True, False):
        assert ScoreCalibration(np.full(50, 3.0), exact=exact).p_values(np.array([2.0, 3.0]))[0] == 1.0
        assert 0 < ScoreCalibration(np.full(50, 3.0), exact=exact).p_values(np.array([4.0]))[0] < 1 / 51


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
    chi_squared = chi2(4).sf(fisher_statistic([own.p_values(fresh)] * 2))
    arrays = {
        "s/a": np.sort(first),
        "s/b": np.sort(first),
        "s/combined": np.sort(fisher_statistic([own.p_values(second)] * 2)),
    }
    made = load_calibrations(arrays, detectors=("a", "b"), combined_detectors=("a", "b"), tail_share=0.02)["s"]
    p = made.combined.p_values(made.statistic(made.detector_p_values({"a": fresh, "b": fresh})))
    assert (chi_squared <= 0.01).mean() > 0.025
    assert (p <= 0.01).mean() == pytest.approx(0.01, abs=0.006)


@pytest.mark.parametrize("wrong", [np.array([]), np.array([2.0, 1.0]), np.ones((2, 2))])
def test_calibration_scores_must_be_a_sorted_list(wrong: np.ndarray) -> None:
    arrays = {"s/a": wrong, "s/combined": np.arange(3.0)}
    with pytest.raises(ValueError, match="s/a"):
        load_calibrations(arrays, detectors=("a",), combined_detectors=("a",), tail_share=0.02)
