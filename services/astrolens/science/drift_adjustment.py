"""How far the p-values of ordinary images have moved since a calibration was made, and p-values that allow for it.

Worse seeing, another sky level or an ageing instrument make ordinary images look stranger than those that a survey was
calibrated on: too many p-values are small. In normal deviates `z = Φ⁻¹(1 − p)`, which are standard normal for ordinary
images, such a change is close to a shift and a scale of all of them. Both are measured on the bulk of recent images and
applied to every one: `p' = Φ(−(z − shift) / scale)`.

What is strange among them stays strange: the strangest twentieth takes no part, so that a burst of oddities moves
nothing, and the shift is bounded; beyond the bound the images are another sky (see `SurveyChecker`). The adjustment
makes verdicts stricter, never looser.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TRIMMED: Final = 0.05
"""Share of the strangest images that takes no part: so many oddities among recent images move nothing."""
MAX_SHIFT: Final = 1.5
"""Standard deviations. A shift of 1 turns a budget of 1 % into 9 %."""
MIN_SHIFT: Final = 0.2
"""Twice the error of the median of 200 images; a smaller one is none. It doubles a budget of 1 % at most."""
SCALES: Final = (0.7, 1.1)
"""A larger scale than 1 comes from oddities more often than from the sky."""
MIN_IMAGES: Final = 100
"""Images: the standard error of their median is an eighth of a standard deviation."""
_TAIL: Final = 0.05
"""Where the tail is compared: of 300 images 15 are expected there, of the budget's 1 % only three."""
_STEPS: Final = 21
_LOWER: Final = 0.16
"""The quantile whose distance from the median is one standard deviation: of the ordinary half, which is free of
oddities."""


@dataclass(frozen=True)
class Adjustment:
    """The change of the normal deviates of ordinary images; (0, 1) changes nothing."""

    shift: float = 0.0
    scale: float = 1.0

    def p_values(self, p_values: Floats) -> Floats:
        """p-values [n] that allow for the change; none becomes smaller."""
        from scipy.special import ndtr, ndtri  # noqa: PLC0415 - 0.4 s, which no start should wait for

        deviates = -ndtri(np.clip(p_values, 1e-30, 1.0))
        return np.asarray(np.maximum(ndtr(-(deviates - self.shift) / self.scale), p_values), dtype=np.float64)


def measure_adjustment(p_values: Floats) -> Adjustment:
    """The change that the p-values [n] of recent images show; of which some may be strange.

    Args:
        p_values: As the calibration gave them, without an adjustment; at least `MIN_IMAGES`.

    Raises:
        ValueError: There are too few.
    """
    if len(p_values) < MIN_IMAGES:
        raise ValueError(f"{len(p_values)} p-values are too few to measure a drift: {MIN_IMAGES} are needed")
    from scipy.special import ndtri  # noqa: PLC0415 - 0.4 s, which no start should wait for

    deviates = np.sort(-ndtri(np.clip(p_values, 1e-30, 1.0 - 1e-9)))
    kept = deviates[: len(deviates) - int(TRIMMED * len(deviates))]
    lower, median = np.quantile(kept, (_LOWER, 0.5))
    expected_lower, expected_median = -ndtri(1.0 - _LOWER), 0.0
    scale = float(np.clip((median - lower) / (expected_median - expected_lower), *SCALES))
    shift = min(float(median), MAX_SHIFT)
    if shift < MIN_SHIFT:
        return Adjustment()
    for part in np.linspace(0.0, 1.0, _STEPS):
        found = Adjustment(float(part) * shift, 1.0 + float(part) * (scale - 1.0))
        if (found.p_values(p_values) <= _TAIL).mean() <= _TAIL:
            break
    return found
