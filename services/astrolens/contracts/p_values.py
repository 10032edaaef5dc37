"""What a p-value says, in words: the one place that makes the sentences of console, REST, command line and messages."""

from typing import Final

from pydantic import Field

from astrolens.contracts.base import Contract
from astrolens.contracts.verdicts import CalibrationFit

_CALIBRATIONS: Final[dict[CalibrationFit, str]] = {
    "own": "",
    "survey-model": "calibration: survey model",
    "pooled": "calibration: pooled",
    "does-not-fit": "calibration: pooled, does not fit",
}
_MIN_CERTAIN_P: Final = 0.01
"""Older versions extrapolated below the end of their p-values without saying so; they had at least 100 images."""


class PValueWords(Contract):
    """A p-value for people."""

    figure: str = Field(description="Such as `p = 0.0083`, or `p ≤ 1/606` beyond the calibration images.")
    meaning: str = Field(description="Such as `1 in 120 ordinary images is at least as strange`.")
    calibration: str = Field(
        default="", description="Whose ordinary images, such as `calibration: pooled`; empty for the survey's own."
    )

    @property
    def sentence(self) -> str:
        """All of it in one line, without a full stop."""
        behind = f"; {self.calibration}" if self.calibration else ""
        return f"{self.meaning} ({self.figure}){behind}"


def p_value_words(
    p_value: float, *, at_most: bool = False, fit: CalibrationFit = "own", older: bool = False
) -> PValueWords:
    """A p-value in words.

    Args:
        p_value: 0 to 1.
        at_most: Whether it is the upper bound 1/(n+1) of an image that is stranger than all n calibration images.
        fit: Whose ordinary images it is measured against.
        older: Whether it comes from a version that did not count its calibration images, and may have extrapolated.
    """
    calibration = _CALIBRATIONS[fit]
    if at_most and p_value > 0.0:
        one_in = round(1.0 / p_value)
        return PValueWords(
            figure=f"p ≤ 1/{one_in:,}",
            meaning=f"stranger than all {one_in - 1:,} ordinary images",
            calibration=calibration,
        )
    meaning = f"{_share(p_value)} at least as strange"
    if older and p_value < _MIN_CERTAIN_P:
        meaning = f"{meaning}, extrapolated by an older version"
    return PValueWords(figure=f"p = {p_value:.2g}", meaning=meaning, calibration=calibration)


def _share(p_value: float) -> str:
    if p_value <= 0.0:
        return "no ordinary image is"
    if p_value >= 0.1:
        return f"{round(100 * p_value)} in 100 ordinary images are"
    return f"1 in {float(f'{1.0 / p_value:.2g}'):,.0f} ordinary images is"
