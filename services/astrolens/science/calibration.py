"""From scores to p-values: conformal, per survey, with a tail for ranking; then Fisher, and conformal again.

`calibration.npz` holds, sorted ascending in float64, for each survey and for `pooled`:
`<survey>/<detector>` the scores of the detector split, `<survey>/combined` Fisher's statistic on a split of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from astrolens.science.bundle import Arrays

Floats = NDArray[np.float64]

POOLED: Final = "pooled"
"""The calibration of a survey that has none of its own."""
COMBINED: Final = "combined"
_SMALLEST_P: Final = 1e-30
"""Far below what any tail is known for: it only keeps `ln p` finite."""


@dataclass(frozen=True)
class Tail:
    """p-values against the scores of held-out ordinary images.

    `p(s) = (1 + #{s_i ≥ s}) / (n + 1)`, and beyond the start of the tail, where ties would end every ranking,
    `p(s) = p(start) · exp(−(s − start) / mean excess)`.

    Attributes:
        scores: [n] ascending.
        tail_share: Share of the scores that gives the mean excess.
        exact: Start the exponential only beyond the largest score: every `p ≥ 1/(n+1)` then keeps the finite-sample
            guarantee of conformal prediction. Otherwise it starts at the quantile `1 − tail_share`.
    """

    scores: Floats
    tail_share: float = 0.02
    exact: bool = False

    @cached_property
    def _start(self) -> tuple[float, float, float]:
        """Where the tail starts, the p-value there, and the mean excess."""
        n = len(self.scores)
        beyond = min(n - 1, max(1, int(self.tail_share * n)))
        quantile = float(self.scores[n - 1 - beyond])
        excess = float((self.scores[n - beyond :] - quantile).sum()) / max(beyond, 1)
        # Scores that are all alike would make the tail a cliff; a hair of width keeps it a function.
        width = max(excess, 1e-12 * max(1.0, abs(quantile)))
        if self.exact:
            return float(self.scores[-1]), 1.0 / (n + 1), width
        return quantile, (1.0 + beyond) / (n + 1), width

    def p_values(self, scores: Floats) -> Floats:
        """[n] p-values; never zero, never rising with the score."""
        n = len(self.scores)
        at_least = n - np.searchsorted(self.scores, scores, side="left")
        conformal = (1.0 + at_least) / (n + 1.0)
        start, p_start, width = self._start
        beyond = np.maximum(scores - start, 0.0)
        tail = np.maximum(p_start * np.exp(-beyond / width), _SMALLEST_P)
        return np.asarray(np.where(scores > start, tail, conformal), dtype=np.float64)

    def quantiles(self, count: int = 101) -> Floats:
        """`count` evenly spaced quantiles, for drawing a score on the strip of its distribution."""
        return np.asarray(np.quantile(self.scores, np.linspace(0.0, 1.0, count)), dtype=np.float64)


def fisher(p_values: Sequence[Floats]) -> Floats:
    """`T = −2 Σ_j ln p_j` [Fisher 1932]; larger is stranger."""
    total = np.zeros_like(p_values[0])
    for p in p_values:
        total = total - 2.0 * np.log(p)
    return total


@dataclass(frozen=True)
class SurveyCalibration:
    """The calibration of one survey, or the pooled one."""

    detectors: Mapping[str, Tail]
    combined: Tail
    combining: tuple[str, ...]

    def detector_p_values(self, scores: Mapping[str, Floats]) -> dict[str, Floats]:
        """p-values [n] of each detector's scores [n]."""
        return {name: self.detectors[name].p_values(values) for name, values in scores.items()}

    def statistic(self, p_values: Mapping[str, Floats]) -> Floats:
        """Fisher's statistic [n] of the detectors that count."""
        return fisher([p_values[name] for name in self.combining])


def calibrations(
    arrays: Arrays, *, detectors: Sequence[str], combining: Sequence[str], tail_share: float
) -> dict[str, SurveyCalibration]:
    """All calibrations of a bundle, by survey.

    Raises:
        KeyError: A survey lacks the scores of a detector.
        ValueError: An array is empty, or not sorted.
    """
    for name, scores in arrays.items():
        if scores.ndim != 1 or len(scores) == 0 or bool((np.diff(scores) < 0).any()):
            raise ValueError(f"calibration scores {name} are not a sorted list")
    surveys = sorted({name.split("/")[0] for name in arrays})
    return {
        survey: SurveyCalibration(
            detectors={name: Tail(_floats(arrays[f"{survey}/{name}"]), tail_share) for name in detectors},
            combined=Tail(_floats(arrays[f"{survey}/{COMBINED}"]), tail_share, exact=True),
            combining=tuple(combining),
        )
        for survey in surveys
    }


def _floats(array: NDArray[Any]) -> Floats:
    return np.asarray(array, dtype=np.float64)
