"""What the API shows of a p-value, of its calibration and of the kinds of strangeness."""

from collections.abc import Mapping
from typing import Any, Final, Self

from pydantic import Field

from astrolens.contracts.base import Contract
from astrolens.contracts.kinds import distinguishable_kinds
from astrolens.contracts.p_values import PValueWords, p_value_words, promises_rate
from astrolens.contracts.verdicts import CalibrationFit, calibration_fit_of

Document = dict[str, Any]

_SHOWN_KINDS: Final = 5
"""Kinds of strangeness that are shown; the analysis has all."""


class PValueView(Contract):
    """A p-value and its meaning."""

    p_value: float
    at_most: bool = Field(description="Whether the p-value is an upper bound.")
    one_in: float | None = Field(
        description="One ordinary image in so many is as strange; fewer where `at_most` is true; null at p = 0, and "
        "where the calibration promises no such rate."
    )
    words: PValueWords

    @classmethod
    def of(
        cls,
        p_value: float,
        *,
        at_most: bool,
        fit: CalibrationFit = "own",
        older: bool = False,
        too_small: bool = False,
        in_burst: bool = False,
    ) -> Self:
        """The meaning of a p-value; see `p_value_words`."""
        return cls(
            p_value=p_value,
            at_most=at_most,
            one_in=1.0 / p_value if p_value and promises_rate(fit) and not (too_small or in_burst) else None,
            words=p_value_words(p_value, at_most=at_most, fit=fit, older=older, too_small=too_small, in_burst=in_burst),
        )


class KindShare(Contract):
    """The probability of one kind of strangeness."""

    kind: str = Field(examples=["blend"])
    probability: float


def combined_p_value(document: Document) -> PValueView | None:
    """The p-value of an image with its meaning; None until it is analysed."""
    p_value, analysis = document.get("p_value"), document.get("analysis") or {}
    if p_value is None:
        return None
    return PValueView.of(
        p_value,
        at_most=bool(analysis.get("p_value_at_most")),
        fit=calibration_fit_of(analysis),
        older=analysis.get("calibration_images") is None,
        too_small=bool(analysis.get("too_small")),
        in_burst=analysis.get("burst_survey") is not None,
    )


def detector_p_values(analysis: Mapping[str, Any]) -> dict[str, PValueView]:
    """The p-value of each detector with its meaning."""
    older, fit = analysis.get("calibration_images") is None, calibration_fit_of(analysis)
    small, in_burst = bool(analysis.get("too_small")), analysis.get("burst_survey") is not None
    return {
        name: PValueView.of(
            result["p_value"],
            at_most=bool(result.get("at_most")),
            fit=fit,
            older=older,
            too_small=small,
            in_burst=in_burst,
        )
        for name, result in (analysis.get("detectors") or {}).items()
    }


def top_kinds(kinds: Mapping[str, float]) -> list[KindShare]:
    """The most probable kinds of strangeness."""
    ranked = sorted(distinguishable_kinds(kinds).items(), key=lambda item: (-item[1], item[0]))
    return [KindShare(kind=kind, probability=share) for kind, share in ranked[:_SHOWN_KINDS]]


def calibration_detail(analysis: Document) -> str:
    """Whose ordinary images a p-value is measured against, how many, and under which budget the verdict was given."""
    own = analysis.get("false_alarms_per_1000")
    budget = "" if own is None else f"; judged under the survey's own budget of {own:g} false alarms per 1,000"
    return f"{_calibration(analysis)}{budget}"


def _calibration(analysis: Document) -> str:
    images, survey = analysis.get("calibration_images"), analysis["calibration_survey"]
    counted = "ordinary images" if images is None else f"{images:,} ordinary images"
    match calibration_fit_of(analysis):
        case "survey-model":
            return f"survey model of {survey}: {images or 'some'} of its own images"
        case "pooled":
            return f"pooled, {counted} of other surveys: the bundle does not know the survey"
        case "does-not-fit":
            return f"pooled, does not fit: the survey's images do not look like the bundle's {counted}"
        case "own" if analysis.get("adjusted_p_value") is not None:
            adjusted = analysis["adjusted_p_value"]
            return f"{counted} of {survey}; its images have drifted since, and the verdict goes by p = {adjusted:.2g}"
        case "own":
            return f"{counted} of {survey}"
