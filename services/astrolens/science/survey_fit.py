"""Whether recent images of a survey look like those that its calibration was made from.

Two tests that need no labels. The pooled feature maps: the distance between the means of both samples, in standard
deviations along the principal components (Hotelling 1931). The p-values: an excess of small ones over the uniform
distribution (one-sided Kolmogorov-Smirnov). Another pixel scale, other bands or another stretch show in both.

A difference must be significant and large. With enough images every sample differs a little from every other: another
field has other kinds of galaxies, and is no new sky for that.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as f_distribution

from astrolens.science.density import NeighbourDensity, Taps
from astrolens.science.survey_model import SurveyModel

Floats = NDArray[np.float64]

MINIMUM_SAMPLE: Final = 30
"""Images: the largest deviation of a mean of 30 is half a standard deviation."""
FALSE_ALARM_RATE: Final = 0.001
"""Of one comparison: one look a day goes wrong in three years at most."""
LARGE_SHIFT: Final = 2.0
"""Standard deviations. Galaxies of one class of a survey are 0.3 to 1.5 from those of all classes, another survey or
another pixel scale 2.5 to 7 (SDSS, Galaxy Zoo 2's own pictures, EFIGI, Legacy Survey, Euclid)."""
LARGE_EXCESS: Final = 0.40
"""Share of images. A sample of one class has 0.05 to 0.33 too many small p-values, a folder that is half strange up to
half, another survey 0.6 to 0.9."""
_COMPONENTS: Final = 16
"""Principal components that are compared: few enough for 30 images, and for axes that were fitted on one sample."""


@dataclass(frozen=True)
class FitTest:
    """A comparison of n recent images with those of a calibration.

    Attributes:
        statistic: The shift of the mean features, in standard deviations, beyond what chance explains on average.
        p_value: Probability of a difference at least as significant between two samples of one survey.
        fits: False where the difference is significant and large.
        n: Recent images.
        excess: Largest excess of small p-values over the uniform distribution, share of images.
    """

    statistic: float
    p_value: float
    fits: bool
    n: int
    excess: float

    @property
    def detail(self) -> str:
        """What was measured, one sentence."""
        return (
            f"the mean features of {self.n} images are shifted by {self.statistic:.1f} standard deviations, and "
            f"{100 * self.excess:.0f} % too many have small p-values (p = {self.p_value:.2g})"
        )


def fits_calibration(
    reference: SurveyModel,
    taps: Taps,
    *,
    p_values: Floats | None = None,
    calibration_images: int | None = None,
    false_alarm_rate: float = FALSE_ALARM_RATE,
) -> FitTest:
    """Compare recent images of a survey with the images of its calibration.

    Args:
        reference: Fitted on images of the survey: its revision, or a sample of the survey that a bundle keeps.
        taps: Pooled feature maps, each [n, d], of images that the reference was not fitted on.
        p_values: Their p-values [n] where another calibration than the reference's serves the survey.
        calibration_images: Images of that calibration; by default those of the reference.
        false_alarm_rate: Of this look; divide it by the number of looks that are meant to go right together.

    Raises:
        ValueError: There are fewer than `MINIMUM_SAMPLE` images, or a tap does not fit the reference.
    """
    density = next((found for found in reference.detectors if isinstance(found, NeighbourDensity)), None)
    if density is None:
        raise ValueError(f"survey model {reference.digest} has no density detector whose images could be compared")
    recent = density.project(taps)[:, :_COMPONENTS]
    n = len(recent)
    if n < MINIMUM_SAMPLE:
        raise ValueError(f"a comparison needs {MINIMUM_SAMPLE} images, not {n}: wait for more")
    if p_values is None:
        p_values = reference.score(taps).p_value
    shift, shift_p = _shift(density.references[:, :_COMPONENTS], recent)
    excess, excess_p = _excess(p_values, calibration_images or reference.manifest.images)
    p = min(1.0, 2.0 * min(shift_p, excess_p))
    large = (shift > LARGE_SHIFT and 2.0 * shift_p < false_alarm_rate) or (
        excess > LARGE_EXCESS and 2.0 * excess_p < false_alarm_rate
    )
    return FitTest(statistic=shift, p_value=p, fits=not large, n=n, excess=excess)


def _shift(first: Floats, second: Floats) -> tuple[float, float]:
    """Distance of the means in pooled standard deviations without its expectation, and Hotelling's p-value."""
    a, b, d = len(first), len(second), first.shape[1]
    one, other = first - first.mean(axis=0), second - second.mean(axis=0)
    covariance = (one.T @ one + other.T @ other) / (a + b - 2)
    # A component without variance has no say.
    covariance[np.diag_indices(d)] += 1e-9 * max(float(np.trace(covariance)) / d, 1e-12)
    gap = first.mean(axis=0) - second.mean(axis=0)
    squared = float(gap @ np.linalg.solve(covariance, gap))
    ratio = squared * a * b / (a + b) * (a + b - d - 1) / ((a + b - 2) * d)
    p = float(f_distribution.sf(ratio, d, a + b - d - 1))
    return float(np.sqrt(max(0.0, squared - d * (1.0 / a + 1.0 / b)))), p


def _excess(p_values: Floats, calibration_images: int) -> tuple[float, float]:
    """The one-sided Kolmogorov-Smirnov distance of p-values [n] towards small ones, and its p-value.

    Both samples are finite, so that the distance is compared with that of two samples (Smirnov 1939).
    """
    ordered = np.sort(p_values)
    n = len(ordered)
    distance = float((np.arange(1, n + 1) / n - ordered).max())
    effective = n * calibration_images / (n + calibration_images)
    return distance, float(np.exp(-2.0 * effective * max(distance, 0.0) ** 2))
