"""What a p-value says, in words: the one place that makes the sentences of console, REST, command line and messages."""

from math import floor
from typing import Final

from pydantic import Field

from astrolens.contracts.base import Contract
from astrolens.contracts.verdicts import MIN_JUDGED_SIDE, CalibrationFit

_CALIBRATIONS: Final[dict[CalibrationFit, str]] = {
    "own": "",
    "survey-model": "calibration: survey model",
    "pooled": "calibration: pooled",
    "does-not-fit": "calibration: pooled, does not fit",
}
_UNCHECKED: Final = "calibration: may not fit, so many are anomalies"
_UNCHECKED_AMONG: Final = "ordinary images of the bundle"
_ONLY_RANKED_AMONG: Final[dict[CalibrationFit, str]] = {
    "pooled": "ordinary images of other surveys",
    "does-not-fit": "ordinary images of the bundle",
}
"""Where nobody knows how often ordinary images of the survey look so: no share of them is told."""
_MIN_CERTAIN_P: Final = 0.01
"""Older versions extrapolated below the end of their p-values without saying so; they had at least 100 images."""


class PValueWords(Contract):
    """A p-value for people."""

    figure: str = Field(
        description="Such as `p = 0.0083`, or `p ≤ 1/606` beyond the calibration images; `pooled p` where it promises "
        "no rate of false alarms, `unchecked p` while an anomaly of a burst is held."
    )
    meaning: str = Field(
        description="Such as `1 in 120 ordinary images is at least as strange`; `a ranking only` where nothing is "
        "known of how often ordinary images of the survey look so."
    )
    calibration: str = Field(
        default="", description="Whose ordinary images, such as `calibration: pooled`; empty for the survey's own."
    )

    @property
    def sentence(self) -> str:
        """All of it in one line, without a full stop."""
        behind = f"; {self.calibration}" if self.calibration else ""
        return f"{self.meaning} ({self.figure}){behind}"


def promises_rate(fit: CalibrationFit) -> bool:
    """Whether p-values by such a calibration promise a rate of false alarms; otherwise they only rank images."""
    return fit not in _ONLY_RANKED_AMONG


def p_value_words(
    p_value: float,
    *,
    at_most: bool = False,
    fit: CalibrationFit = "own",
    older: bool = False,
    too_small: bool = False,
    in_burst: bool = False,
) -> PValueWords:
    """A p-value in words.

    Args:
        p_value: 0 to 1.
        at_most: Whether it is the upper bound 1/(n+1) of an image that is stranger than all n calibration images.
        fit: Whose ordinary images it is measured against.
        older: Whether it comes from a version that did not count its calibration images, and may have extrapolated.
        too_small: Whether the picture is too small for the calibration to say anything of it.
        in_burst: Whether it came in a burst of anomalies, and nobody has looked yet whether the calibration fits.
    """
    beyond_all = at_most and p_value > 0.0
    one_in = round(1.0 / p_value) if beyond_all else 0
    figure = f"p ≤ 1/{one_in:,}" if beyond_all else f"p = {p_value:.2g}"
    if too_small:
        meaning = f"too small to judge: under {MIN_JUDGED_SIDE} pixels a side p-values promise nothing"
    elif (others := _UNCHECKED_AMONG if in_burst else _ONLY_RANKED_AMONG.get(fit)) is not None:
        below = f"all {one_in - 1:,}" if beyond_all else f"{floor(1000.0 * (1.0 - p_value)) / 10.0:g} % of the"
        figure = f"{'unchecked' if in_burst else 'pooled'} {figure}"
        meaning = f"a ranking only: above {below} {others}"
    elif beyond_all:
        meaning = f"stranger than all {one_in - 1:,} {_images(fit)[1]}"
    else:
        meaning = f"{_share(p_value, *_images(fit))} at least as strange"
        if older and p_value < _MIN_CERTAIN_P:
            meaning = f"{meaning}, extrapolated by an older version"
    return PValueWords(figure=figure, meaning=meaning, calibration=_UNCHECKED if in_burst else _CALIBRATIONS[fit])


def _images(fit: CalibrationFit) -> tuple[str, str]:
    """What the calibration images are, one and many: nobody has looked whether those of a survey model are ordinary."""
    if fit == "survey-model":
        return "image of its survey model", "images of its survey model"
    return "ordinary image", "ordinary images"


def _share(p_value: float, one: str, many: str) -> str:
    if p_value <= 0.0:
        return f"no {one} is"
    if p_value >= 0.1:
        return f"{round(100 * p_value)} in 100 {many} are"
    return f"1 in {float(f'{1.0 / p_value:.2g}'):,.0f} {many} is"
