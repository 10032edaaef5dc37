"""The plots of a report, made from its figures."""

from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.science.plots import Axis, bar_plot, line_plot


def write_plots(out: Path, figures: dict[str, Any]) -> list[str]:
    """Write all plots as SVG, and return the names of the files."""
    bundles = figures["bundles"]
    surveys = list(figures["baselines"]["known"])
    rate = Axis("false-alarm rate", -3.0, 0.0, ((-3.0, "0.1 %"), (-2.0, "1 %"), (-1.0, "10 %"), (0.0, "100 %")))
    half_up = Axis(
        "AUROC", 0.3, 1.0, ((0.3, "0.3"), (0.5, "chance"), (0.7, "0.7"), (0.8, "0.8"), (0.9, "0.9"), (1.0, "1"))
    )
    plots = {}
    for survey in surveys:
        tests = {name: own["test"][survey] for name, own in bundles.items()}
        plots[f"recall-{survey}.svg"] = line_plot(
            f"{survey}: recall against false alarms, report half",
            rate,
            Axis("recall"),
            {
                name: [*((float(np.log10(alarms)), recall) for alarms, recall in own["oddities"]["curve"]), (0.0, 1.0)]
                for name, own in tests.items()
            },
        )
        plots[f"p-values-{survey}.svg"] = line_plot(
            f"{survey}: p-values of ordinary test images",
            Axis("p-value"),
            Axis("share with a smaller p-value"),
            {
                name: list(zip(own["false_alarms"]["p_value_quantiles"], np.linspace(0.0, 1.0, 21), strict=True))
                for name, own in tests.items()
            },
            diagonal=True,
        )
        plots[f"kinds-{survey}.svg"] = bar_plot(
            f"{survey}: AUROC by kind of oddity, report half", half_up, _kinds(tests)
        )
    plots["new-skies.svg"] = bar_plot("new skies: AUROC, mean and spread", half_up, _skies(figures))
    for name, content in plots.items():
        (out / name).write_text(content)
    return sorted(plots)


def _kinds(tests: dict[str, Any]) -> dict[str, dict[str, tuple[float, float, float]]]:
    kinds = {kind for own in tests.values() for kind, one in own["oddities"]["by_kind"].items() if "auroc" in one}
    return {
        kind: {
            name: (one["auroc"], *one["auroc_interval"])
            for name, own in tests.items()
            for one in [own["oddities"]["by_kind"][kind]]
        }
        for kind in sorted(kinds)
    }


def _skies(figures: dict[str, Any]) -> dict[str, dict[str, tuple[float, float, float]]]:
    bars: dict[str, dict[str, tuple[float, float, float]]] = {}
    for bundle, own in figures["bundles"].items():
        for sky, scores in own["new_skies"].items():
            for score in ("pooled", "survey_model"):
                if "auroc" in scores.get(score, {}):
                    one = scores[score]["auroc"]
                    limits = (one["mean"], one["mean"] - one["spread"], one["mean"] + one["spread"])
                    bars.setdefault(sky, {})[f"{bundle}, {score.replace('_', ' ')}"] = limits
    return bars
