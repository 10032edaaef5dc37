"""Compares recent images of a survey that the bundle knows with those that the bundle was calibrated on.

The p-values of ordinary images are uniform. Another pixel scale, other bands or another stretch bend them; some strange
images among them bend them by their share at most.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from math import sqrt
from typing import Final

import numpy as np

from astrolens.contracts.base import utc_now
from astrolens.contracts.survey_models import FitCheck
from astrolens.inference.survey_models.images import SurveyImage

STRANGE_SHARE: Final = 0.10
"""Share of strange images that is no sign of another sky: they add their share to the small p-values at most."""
ORDINARY_SHARE: Final = 0.40
"""Excess of large p-values that is none: images that the bundle was trained on look more ordinary than others."""
KOLMOGOROV_0_001: Final = 1.949
"""Distance times √n that n uniform p-values exceed in one of 1,000 comparisons (Kolmogorov's distribution)."""


class SurveyChecker:
    """The comparison, of the p-values that the records have.

    Args:
        clock: The present time.
    """

    def __init__(self, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock

    async def check(self, images: Sequence[SurveyImage]) -> FitCheck:
        """Compare images, which were judged by the bundle's calibration of their survey, with ordinary ones."""
        ordered = np.sort(np.array([image.p_value for image in images], dtype=np.float64))
        n = len(ordered)
        small = float((np.arange(1, n + 1) / n - ordered).max())
        large = float((ordered - np.arange(n) / n).max())
        chance = KOLMOGOROV_0_001 / sqrt(n)
        fits = small <= STRANGE_SHARE + chance and large <= ORDINARY_SHARE + chance
        share, kind = (small, "small") if small > STRANGE_SHARE + chance or small >= large else (large, "large")
        return FitCheck(
            images=n,
            fits=fits,
            detail=(
                f"of {n} recent images {100 * share:.0f} % too many have {kind} p-values "
                f"(Kolmogorov-Smirnov; chance alone explains {100 * chance:.0f} %)"
            ),
            checked_at=self._clock(),
        )
