"""Drift without labels: how far the p-values of the recent stream are from uniform.

A calibrated p-value of an ordinary image is uniform. When seeing, stretch or an instrument changes, the p-values of
ordinary images crowd together, long before anybody has looked at an alert.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

WINDOW: Final = 500
"""Images: at 1 % significance a distance of 0.073 is seen, and a night's change within minutes."""


def distance_from_uniform(p_values: NDArray[np.float64]) -> float:
    """The Kolmogorov-Smirnov distance between p-values [n] and the uniform distribution: 0 is none, 1 the largest."""
    ordered = np.sort(p_values)
    n = len(ordered)
    above = float((np.arange(1, n + 1) / n - ordered).max())
    below = float((ordered - np.arange(n) / n).max())
    return max(above, below)


@dataclass(frozen=True)
class Drift:
    """The drift of one detector's p-values under one calibration, over `images` recent images."""

    calibration: str
    detector: str
    distance: float
    images: int


class DriftMonitor:
    """Remembers the last p-values of every calibration and detector; memory and time are bounded by the window."""

    def __init__(self, window: int = WINDOW) -> None:
        self._window = window
        self._recent: dict[str, dict[str, deque[float]]] = {}

    def add(self, calibration: str, p_values: Mapping[str, float]) -> None:
        """Take in one image's p-values, by detector."""
        detectors = self._recent.get(calibration)
        if detectors is None:
            detectors = self._recent[calibration] = {}
        for name, p_value in p_values.items():
            recent = detectors.get(name)
            if recent is None:
                recent = detectors[name] = deque(maxlen=self._window)
            recent.append(p_value)

    def clear(self) -> None:
        """Forget everything: another model's p-values say nothing of this one's."""
        self._recent.clear()

    def measure(self) -> Iterator[Drift]:
        """The drift of everything that was taken in."""
        for calibration, detectors in self._recent.items():
            for name, recent in detectors.items():
                values = np.fromiter(recent, dtype=np.float64, count=len(recent))
                yield Drift(calibration, name, distance_from_uniform(values), len(recent))
