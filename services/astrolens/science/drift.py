"""Drift detection without labels: the distance of recent p-values from the uniform distribution.

Calibrated p-values of ordinary images are uniform. When seeing, stretch or an instrument changes, they concentrate,
which shows before a person has reviewed any alert.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

WINDOW: Final = 500
"""Images: a distance of 0.073 is significant at 1 %, and a change shows within minutes."""


def distance_from_uniform(p_values: NDArray[np.float64]) -> float:
    """The Kolmogorov-Smirnov distance, 0 to 1, between p-values [n] and the uniform distribution."""
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
    """Holds the last p-values of each calibration and detector; memory and time are bounded by the window."""

    def __init__(self, window: int = WINDOW) -> None:
        self._window = window
        self._recent: dict[str, dict[str, deque[float]]] = {}

    def add(self, calibration: str, p_values: Mapping[str, float]) -> None:
        """Add the p-values of one image, by detector."""
        detectors = self._recent.get(calibration)
        if detectors is None:
            detectors = self._recent[calibration] = {}
        for name, p_value in p_values.items():
            recent = detectors.get(name)
            if recent is None:
                recent = detectors[name] = deque(maxlen=self._window)
            recent.append(p_value)

    def clear(self) -> None:
        """Remove all p-values. Call this when the model changes: p-values of two models are not comparable."""
        self._recent.clear()

    def measure(self) -> Iterator[Drift]:
        """The drift of each calibration and detector with p-values."""
        for calibration, detectors in self._recent.items():
            for name, recent in detectors.items():
                values = np.fromiter(recent, dtype=np.float64, count=len(recent))
                yield Drift(calibration, name, distance_from_uniform(values), len(recent))
