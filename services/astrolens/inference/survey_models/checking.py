"""Compares recent images of a survey with those that its calibration is of: the bundle's, or its survey model's own.

The p-values of ordinary images are uniform: those of the verdict, and those of each detector, which measures features
of the image. Another pixel scale, other bands or another stretch bend them; some strange images among them bend them by
their share at most.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from math import sqrt
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from astrolens.contracts.base import utc_now
from astrolens.contracts.survey_models import FitCheck
from astrolens.inference.survey_models.images import SurveyImage

MIN_CHECKED: Final = 20
"""Fewest images that are compared: of fewer, chance alone may differ by half."""
MAX_EXCESS: Final = 0.40
"""Excess of small or of large p-values that is no sign of another sky: somebody may upload a folder of which half is
strange, and images that the bundle was trained on look more ordinary than others. Other skies showed 74 % and more."""
MAX_OWN_EXCESS: Final = 0.25
"""The same against a survey model: of its own survey, oddities among its images as among the later ones, 21 % at most
were measured, and 45 % and more of other surveys that a narrower one can tell (docs/science.md)."""
KOLMOGOROV_0_0001: Final = 2.225
"""Distance times √n that n uniform p-values exceed in one of 10,000 comparisons (Kolmogorov's distribution): some ten
sets of p-values are compared at a time."""


@dataclass(frozen=True)
class _Excess:
    """p-values of which too many may be small, or large."""

    of: str
    p_values: NDArray[np.float64]
    kind: Literal["small", "large"]

    @cached_property
    def share(self) -> float:
        """The share of images by which they are too many: Kolmogorov and Smirnov's one-sided distance from uniform."""
        ordered = np.sort(self.p_values)
        n = len(ordered)
        if self.kind == "small":
            return float((np.arange(1, n + 1) / n - ordered).max())
        return float((ordered - np.arange(n) / n).max())


class SurveyChecker:
    """The comparison, of the p-values that the records have.

    Args:
        clock: The present time.
    """

    def __init__(self, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock

    async def check(self, images: Sequence[SurveyImage], *, few_with_held: bool = False) -> FitCheck:
        """Compare images, which were judged by the bundle's calibration of their survey, with ordinary ones.

        Args:
            images: The images.
            few_with_held: Whether held anomalies wait for it, and the images are too few to be sure. What chance could
                explain then neither releases them nor takes the survey off its calibration: more images decide.
        """
        return self._compared(images, MAX_EXCESS, chance=sqrt(1 / len(images)), few_with_held=few_with_held)

    async def check_own(self, images: Sequence[SurveyImage], *, fitted_on: int) -> FitCheck:
        """Compare images, which a survey model judged, with the `fitted_on` images that it was fitted on."""
        # Both samples are small: the distance of two of n and m images is that of one of n m / (n + m).
        check = self._compared(images, MAX_OWN_EXCESS, chance=sqrt(1 / len(images) + 1 / fitted_on))
        return check.model_copy(update={"at_1_percent": None})  # That count is by the bundle's calibration.

    def _compared(
        self, images: Sequence[SurveyImage], most: float, *, chance: float, few_with_held: bool = False
    ) -> FitCheck:
        """Compare p-values with uniform ones: an excess of `most` says nothing, nor what `chance` may add."""
        allowed = most + KOLMOGOROV_0_0001 * chance
        verdicts, *detectors = _p_values(images).items()
        # A single detector may find images more ordinary than those it was calibrated on; a blind verdict is a fault.
        found = [_Excess(*verdicts, kind="large"), *(_Excess(*each, kind="small") for each in (verdicts, *detectors))]
        worst = max(found, key=lambda excess: excess.share)
        undecided = few_with_held and most < worst.share <= allowed
        bound = (
            f"{100 * most:.0f} to {100 * allowed:.0f} % of so few may be chance, and more images decide"
            if undecided
            else f"up to {100 * allowed:.0f} % would say nothing"
        )
        return FitCheck(
            images=len(images),
            at_1_percent=sum(image.p_value <= 0.01 for image in images),
            fits=worst.share <= allowed and not undecided,
            undecided=undecided,
            detail=(
                f"of {len(images)} recent images {100 * worst.share:.0f} % too many have {worst.kind} p-values "
                f"({worst.of}; {bound})"
            ),
            checked_at=self._clock(),
        )


def _p_values(images: Sequence[SurveyImage]) -> dict[str, NDArray[np.float64]]:
    """p-values of the verdict, and of each detector that all images have."""
    names = set(images[0].detector_p_values).intersection(*(image.detector_p_values for image in images))
    found = {"verdict": np.array([image.p_value for image in images], dtype=np.float64)}
    for name in sorted(names):
        found[name] = np.array([image.detector_p_values[name] for image in images], dtype=np.float64)
    return found
