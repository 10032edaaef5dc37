"""A bundle's figures on its test split in words: what was measured, with intervals, by survey."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from astrolens.console.format import count, figure
from astrolens.console.pages.charts import TEXT, axis
from astrolens.console.pages.marks import DETECTORS

Measure = tuple[str, Callable[[Mapping[str, Any]], str]]


def _number(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda found: figure(found.get(name))


def _counted(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda found: count(found.get(name))


def _with_interval(name: str, interval: str) -> Callable[[Mapping[str, Any]], str]:
    def shown(found: Mapping[str, Any]) -> str:
        low_high = found.get(interval)
        ends = f" ({figure(low_high[0])} – {figure(low_high[1])})" if low_high else ""
        return figure(found.get(name)) + ends

    return shown


def _of_combined(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda found: figure((found.get(name) or {}).get("combined"))


def _auroc(found: Mapping[str, Any]) -> str:
    return _with_interval("value", "interval")(
        {"value": (found.get("auroc") or {}).get("combined"), "interval": found.get("auroc_interval")}
    )


SECTIONS: Final[Mapping[str, tuple[str, Sequence[Measure]]]] = {
    "morphology": (
        "Classes on ordinary images",
        (
            ("Images", _counted("n")),
            ("Accuracy (95 %)", _with_interval("accuracy", "accuracy_interval")),
            ("Macro F1 (95 %)", _with_interval("macro_f1", "macro_f1_interval")),
            ("Calibration error", _number("expected_calibration_error")),
        ),
    ),
    "false_alarms": (
        "False alarms on ordinary images",
        (
            ("Images", _counted("n")),
            ("Flagged", _counted("flagged")),
            ("Rate (95 %)", _with_interval("rate", "interval")),
            ("Distance of p from uniform (KS)", _number("p_value_ks")),
        ),
    ),
    "oddities": (
        "Odd objects against ordinary ones",
        (
            ("Odd objects", _counted("n")),
            ("AUROC (95 %)", _auroc),
            ("AUPRC", _of_combined("auprc")),
            ("False alarms at 95 % recall", _of_combined("fpr95")),
            ("Found within the budget", _number("recall_at_budget")),
        ),
    ),
}
"""What is shown of each section of a survey's figures: its title, and columns with what fills them."""


def tables(figures: Mapping[str, Any]) -> list[tuple[str, list[str], dict[str, list[str]]]]:
    """Title, columns, and cells by survey, of everything that the test split has figures of."""
    surveys = figures.get("test") or {}
    found = []
    for section, (title, measures) in SECTIONS.items():
        rows = {
            survey: [shown(measured[section]) for _, shown in measures]
            for survey, measured in sorted(surveys.items())
            if measured.get(section)
        }
        if rows:
            found.append((title, [name for name, _ in measures], rows))
    detectors = {
        survey: measured["oddities"]["auroc"]
        for survey, measured in sorted(surveys.items())
        if (measured.get("oddities") or {}).get("auroc")
    }
    if detectors:
        names = sorted({name for each in detectors.values() for name in each}, key=lambda name: name != "combined")
        rows = {survey: [figure(each.get(name)) for name in names] for survey, each in detectors.items()}
        found.append(("AUROC by detector", [DETECTORS.get(name, name) for name in names], rows))
    return found


def recall_options(figures: Mapping[str, Any]) -> dict[str, Any] | None:
    """A chart of the share of odd objects found against the false alarms allowed, a line a survey; None without."""
    curves = {
        survey: measured["oddities"]["curve"]
        for survey, measured in sorted((figures.get("test") or {}).items())
        if (measured.get("oddities") or {}).get("curve")
    }
    if not curves:
        return None
    return {
        "legend": {
            "top": 0,
            "left": 0,
            "textStyle": {"color": TEXT},
            "itemWidth": 14,
            "itemHeight": 8,
            "type": "scroll",
        },
        "grid": {"left": 16, "right": 24, "top": 40, "bottom": 28, "containLabel": True},
        "xAxis": axis("log", name="false alarms allowed, share of ordinary images", nameLocation="middle", nameGap=28),
        "yAxis": axis(name="odd objects found", nameLocation="middle", nameGap=36, max=1),
        "series": [
            {"type": "line", "name": survey, "symbol": "none", "data": tuple(tuple(point) for point in curve)}
            for survey, curve in curves.items()
        ],
    }


_FACTS: Final = {
    "cpu_ms_per_image": ("Cost", "ms of one processor core an image"),
    "parity": ("Parity", "largest difference to the trained network"),
}


def facts(figures: Mapping[str, Any]) -> dict[str, str]:
    """What was measured of the bundle as a whole."""
    return {
        title: f"{figure(figures[name])} {unit}"
        for name, (title, unit) in _FACTS.items()
        if isinstance(figures.get(name), int | float)
    }
