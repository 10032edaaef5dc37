"""Morphology of the object in a cutout: the numbers that astronomers compare galaxies by."""

from enum import StrEnum
from typing import Final, Literal

from pydantic import Field

from astrolens.contracts.base import Contract, UtcTime

MORPHOLOGY_VERSION: Final = 1
"""Of the measurement: raised when its numbers change."""
_MAX_DETAIL: Final = 500
"""Characters of the sentence in a record."""


class MorphologyQuality(StrEnum):
    """How far the numbers can be trusted.

    `good`, `suspect` and `bad` are statmorph's flag 0, 1 and 2 or 3: suspect where the object touches another one or
    its masks differ, bad where there is no sky around it or a radius was not found. `fallback`: statmorph failed, and
    only simple properties of the object's pixels are known. `failed`: nothing is known; `detail` says why.
    """

    GOOD = "good"
    SUSPECT = "suspect"
    BAD = "bad"
    FALLBACK = "fallback"
    FAILED = "failed"


class Morphology(Contract):
    """Morphology measured on the luminance of the cutout as it is displayed: 8 bits, after the survey's stretch.

    The numbers are not photometry. They compare objects of one survey at one pixel scale; a stretch lowers
    concentration, Gini and Sérsic index against published values, which are measured on calibrated flux.

    Definitions: Conselice (2003) for concentration, asymmetry and smoothness; Lotz et al. (2004) for Gini, M20 and the
    signal to noise of a pixel; Sérsic (1963) for the index. A number that could not be measured is None.
    """

    method: Literal["statmorph", "segmentation", "none"] = Field(description="What measured it.")
    version: int = Field(description="Version of the measurement; numbers of different versions do not compare.")
    quality: MorphologyQuality = Field(description="How far the numbers can be trusted.")
    detail: str | None = Field(default=None, description="Why it is not measured by statmorph, where it is not.")
    concentration: float | None = Field(default=None, description="5 log10(r80 / r20).")
    asymmetry: float | None = Field(default=None, description="Difference from itself rotated by 180°, less the sky's.")
    smoothness: float | None = Field(default=None, description="Light in clumps; large is clumpy.")
    gini: float | None = Field(default=None, description="Inequality of the pixels' light, 0 to 1.")
    m20: float | None = Field(default=None, description="Second moment of the brightest 20 % of the light, log10.")
    sersic_index: float | None = Field(default=None, description="1 is an exponential disc, 4 an elliptical.")
    sersic_quality: MorphologyQuality | None = Field(default=None, description="Of the fit that gave the index.")
    ellipticity: float | None = Field(default=None, description="1 - b/a of the light's second moments.")
    half_light_radius_px: float | None = Field(
        default=None, description="Semi-major axis of the ellipse with half of the light, pixels of the cutout."
    )
    sn_per_pixel: float | None = Field(default=None, description="Mean signal to noise of the object's pixels.")
    ring_score: float | None = Field(
        default=None, description="Largest rise of the profile's logarithmic slope with radius: large is ring-like."
    )
    measured_at: UtcTime | None = None


def not_measured(detail: str, *, ring: float | None = None) -> Morphology:
    """The record of an image without morphology, and why it has none."""
    return Morphology(
        method="none",
        version=MORPHOLOGY_VERSION,
        quality=MorphologyQuality.FAILED,
        detail=detail[:_MAX_DETAIL],
        ring_score=ring,
    )
