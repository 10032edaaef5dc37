"""The report: one Markdown page of tables, made from the figures alone."""

from collections.abc import Iterable
from typing import Any


def render(figures: dict[str, Any]) -> str:
    """The page."""
    bundles = figures["bundles"]
    parts = [
        "# Science benchmark",
        "## Oddities against ordinary galaxies of the same survey, report half",
        _oddities(bundles, "test"),
        'The same without the "ordinary" images that a review found not to be ordinary (`reviewed.csv`):',
        _oddities(bundles, "test_reviewed"),
        "## By kind of oddity, report half",
        _kinds(bundles),
        "## By detector: AUROC, report half",
        _detectors(bundles),
        "## Ordinary galaxies of the test split",
        _ordinary(bundles),
        "## First looks and cost",
        _looks(bundles),
    ]
    return "\n\n".join(parts) + "\n"


def table(head: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    """A Markdown table."""
    titles = tuple(head)
    lines = [titles, tuple("---" for _ in titles), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def with_interval(value: float, interval: list[float]) -> str:
    """A figure and its interval."""
    return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"


def percent(share: float) -> str:
    """A share in per cent."""
    return f"{100 * share:.1f} %"


def _oddities(bundles: dict[str, Any], key: str) -> str:
    rows = []
    for bundle, own in bundles.items():
        for survey, figures in own[key].items():
            odd = figures["oddities"]
            one, five = odd["budgets"]["0.01"], odd["budgets"]["0.05"]
            rows.append(
                (
                    bundle,
                    survey,
                    odd["n"],
                    with_interval(odd["auroc"]["combined"], odd["auroc_interval"]),
                    odd["auprc_at_prevalence"]["0.01"],
                    odd["auprc_at_prevalence"]["0.05"],
                    with_interval(one["by_verdict"]["recall"], one["by_verdict"]["recall_interval"]),
                    with_interval(one["by_rank"]["recall"], one["by_rank"]["recall_interval"]),
                    one["by_verdict"]["precision_at_prevalence"]["0.01"],
                    five["by_verdict"]["recall"],
                    five["by_rank"]["recall"],
                    five["by_verdict"]["precision_at_prevalence"]["0.05"],
                    odd["fpr95"]["combined"],
                )
            )
    head = (
        *("bundle", "survey", "odd", "AUROC", "AUPRC at 1 %", "AUPRC at 5 %"),
        *("recall at p ≤ 1 %", "recall at rank 1 %", "precision at p ≤ 1 % (1 % odd)"),
        *("recall at p ≤ 5 %", "recall at rank 5 %", "precision at p ≤ 5 % (5 % odd)", "FPR95"),
    )
    return table(head, rows)


def _kinds(bundles: dict[str, Any]) -> str:
    rows = [
        (
            bundle,
            survey,
            kind,
            own["n"],
            with_interval(own["auroc"], own["auroc_interval"]),
            own["budgets"]["0.01"]["by_verdict"]["recall"],
            own["budgets"]["0.05"]["by_verdict"]["recall"],
        )
        for bundle, figures in bundles.items()
        for survey, test in figures["test"].items()
        for kind, own in test["oddities"]["by_kind"].items()
        if "auroc" in own
    ]
    return table(("bundle", "survey", "kind", "n", "AUROC", "recall at p ≤ 1 %", "recall at p ≤ 5 %"), rows)


def _detectors(bundles: dict[str, Any]) -> str:
    surveys = list(next(iter(bundles.values()))["test"])
    rows = [
        (bundle, name, *(own["test"][survey]["oddities"]["auroc"].get(name, "") for survey in surveys))
        for bundle, own in bundles.items()
        for name in own["test"][surveys[0]]["oddities"]["auroc"]
    ]
    return table(("bundle", "detector", *surveys), rows)


def _ordinary(bundles: dict[str, Any]) -> str:
    rows = []
    for bundle, own in bundles.items():
        for survey, figures in own["test"].items():
            morphology, alarms = figures["morphology"], figures["false_alarms"]
            one, five = alarms["at"]["0.01"], alarms["at"]["0.05"]
            rows.append(
                (
                    bundle,
                    survey,
                    morphology["n"],
                    with_interval(morphology["accuracy"], morphology["accuracy_interval"]),
                    with_interval(morphology["macro_f1"], morphology["macro_f1_interval"]),
                    morphology["expected_calibration_error"],
                    f"{percent(one['rate'])} [{percent(one['interval'][0])}, {percent(one['interval'][1])}]",
                    f"{percent(five['rate'])} [{percent(five['interval'][0])}, {percent(five['interval'][1])}]",
                    f"{alarms['p_value_ks']} (p = {alarms['p_value_ks_significance']})",
                )
            )
    head = ("bundle", "survey", "n", "accuracy", "macro-F1", "ECE", "flagged at 1 %", "flagged at 5 %", "p-value KS")
    return table(head, rows)


def _looks(bundles: dict[str, Any]) -> str:
    rows = [
        (
            bundle,
            f"{own['first_looks']['found']} ± {own['first_looks']['spread']} of {own['first_looks']['odd']}"
            f" (pool {own['first_looks']['pool']})",
            own["cost"]["graph_cpu_ms_per_image"],
            own["cost"]["engine_cpu_ms_per_image"],
        )
        for bundle, own in bundles.items()
    ]
    return table(("bundle", "odd among the first 100", "graph CPU-ms", "engine CPU-ms"), rows)
