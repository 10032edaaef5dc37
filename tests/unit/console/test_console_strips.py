"""A score on its calibration: quantiles, densities, and the drawing."""

import pytest
from astrolens.console.pages.strips import Distribution, strip
from astrolens.contracts.p_values import p_value_words

HEAVY = Distribution([0.0, 0.5, 0.9, 1.0], [0.0, 1.0, 2.0, 6.0])


def test_a_distribution_is_read_from_its_quantiles() -> None:
    assert HEAVY.quantile(0.7) == pytest.approx(1.5)
    assert (HEAVY.quantile(0.0), HEAVY.quantile(1.0)) == (0.0, 6.0)
    assert HEAVY.share_below(4.0) == pytest.approx(0.95)
    assert (HEAVY.share_below(-1.0), HEAVY.share_below(7.0)) == (0.0, 1.0)


def test_a_density_holds_everything_and_a_constant_has_none() -> None:
    bars = HEAVY.density(0.0, 6.0)
    assert sum((end - begin) * height for begin, end, height in bars) == pytest.approx(1.0)
    assert Distribution([0.0, 1.0], [3.0, 3.0]).density(3.0, 3.0) == []


def test_a_strip_says_in_words_what_it_draws_and_text_stays_text() -> None:
    said = p_value_words(0.001)
    drawn = strip("<b>energy", said, p_value=0.001, score=60.0, distribution=HEAVY, alpha=0.01)
    assert "this one lies beyond" in drawn
    assert "v-anomaly" in drawn
    assert "&lt;b&gt;energy: score 60, p = 0.001, 1 in 1,000 ordinary images is at least as strange" in drawn
    assert "<b>energy" not in drawn
    plain = strip("energy", said, p_value=0.001, score=6.0, distribution=None, alpha=None)
    assert "<svg" not in plain
    # A constant score has no density, and must not divide by nothing.
    constant = Distribution([0.0, 0.5, 1.0], [3.0, 3.0, 3.0])
    assert "<svg" in strip("energy", said, p_value=0.5, score=3.0, distribution=constant, alpha=0.01)
