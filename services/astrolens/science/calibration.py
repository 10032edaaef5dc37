"""Convert scores to p-values, for each survey.

A detector's score becomes a conformal p-value (Vovk et al. 2005) with an exponential tail for ranking. Fisher's
statistic combines the detectors' p-values, and becomes a conformal p-value itself.

`calibration.npz` holds, for each survey and for `pooled`, float64 arrays sorted in ascending order:
`<survey>/<detector>`, the scores of the `calibration` split, and `<survey>/combined`, Fisher's statistic on the
`combined-calibration` split.
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
"""The calibration for surveys that have none of their own."""
COMBINED: Final = "combined"
_SMALLEST_P: Final = 1e-30
"""Keeps `ln p` finite; far below what any tail can support."""


@dataclass(frozen=True)
class ScoreCalibration:
    """p-values of one score against the scores `s_i` of n held-out ordinary images.

    Below the start of the tail `p(s) = (1 + #{s_i ≥ s}) / (n + 1)`. Beyond it, where few scores would give many ties,
    `p(s) = p(start) · exp(−(s − start) / mean excess)`.

    Attributes:
        scores: [n], ascending.
        tail_share: Share of the largest scores that the mean excess is taken from.
        exact: Start the tail at the largest score, so that every `p ≥ 1/(n+1)` keeps the finite-sample guarantee of
            conformal prediction. Otherwise it starts at the quantile `1 − tail_share`.
    """

    scores: Floats
    tail_share: float = 0.02
    exact: bool = False

    @cached_property
    def _tail(self) -> tuple[float, float, float]:
        """Score at which the tail starts, p-value there, and mean excess."""
        n = len(self.scores)
        beyond = min(n - 1, max(1, int(self.tail_share * n)))
        quantile = float(self.scores[n - 1 - beyond])
        excess = float((self.scores[n - beyond :] - quantile).sum()) / max(beyond, 1)
        # Equal scores have no mean excess: a lower bound avoids a division by zero.
        width = max(excess, 1e-12 * max(1.0, abs(quantile)))
        if self.exact:
            return float(self.scores[-1]), 1.0 / (n + 1), width
        return quantile, (1.0 + beyond) / (n + 1), width

    def p_values(self, scores: Floats) -> Floats:
        """p-values [n] of scores [n]: positive, and monotonically decreasing with the score."""
        n = len(self.scores)
        at_least = n - np.searchsorted(self.scores, scores, side="left")
        conformal = (1.0 + at_least) / (n + 1.0)
        start, p_start, width = self._tail
        beyond = np.maximum(scores - start, 0.0)
        tail = np.maximum(p_start * np.exp(-beyond / width), _SMALLEST_P)
        return np.asarray(np.where(scores > start, tail, conformal), dtype=np.float64)

    def quantiles(self, count: int = 101) -> Floats:
        """`count` evenly spaced quantiles of the calibration scores, from the minimum to the maximum."""
        return np.asarray(np.quantile(self.scores, np.linspace(0.0, 1.0, count)), dtype=np.float64)


def fisher_statistic(p_values: Sequence[Floats]) -> Floats:
    """`T = −2 Σ_j ln p_j` [Fisher 1932] of the p-values [n] of each detector; larger is stranger."""
    total = np.zeros_like(p_values[0])
    for p in p_values:
        total = total - 2.0 * np.log(p)
    return total


@dataclass(frozen=True)
class SurveyCalibration:
    """The calibration of one survey, or the pooled one.

    Attributes:
        detectors: By the detector's name.
        combined: Of Fisher's statistic.
        combined_detectors: Names of the detectors that the statistic combines.
    """

    detectors: Mapping[str, ScoreCalibration]
    combined: ScoreCalibration
    combined_detectors: tuple[str, ...]

    def detector_p_values(self, scores: Mapping[str, Floats]) -> dict[str, Floats]:
        """p-values [n] of each detector's scores [n]."""
        return {name: self.detectors[name].p_values(values) for name, values in scores.items()}

    def statistic(self, p_values: Mapping[str, Floats]) -> Floats:
        """Fisher's statistic [n] from the p-values [n] of the detectors."""
        return fisher_statistic([p_values[name] for name in self.combined_detectors])


def load_calibrations(
    arrays: Arrays, *, detectors: Sequence[str], combined_detectors: Sequence[str], tail_share: float
) -> dict[str, SurveyCalibration]:
    """The calibrations of a bundle, by survey.

    Args:
        arrays: Content of `calibration.npz`.
        detectors: Names of all detectors.
        combined_detectors: Names of those that are combined.
        tail_share: See `ScoreCalibration`.

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
            detectors={name: ScoreCalibration(_floats(arrays[f"{survey}/{name}"]), tail_share) for name in detectors},
            combined=ScoreCalibration(_floats(arrays[f"{survey}/{COMBINED}"]), tail_share, exact=True),
            combined_detectors=tuple(combined_detectors),
        )
        for survey in surveys
    }


def _floats(array: NDArray[Any]) -> Floats:
    return np.asarray(array, dtype=np.float64)
