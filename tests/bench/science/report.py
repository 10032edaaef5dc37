"""The report: one Markdown page of tables, made from the figures alone."""

from typing import Any

from tests.bench.science.answers import LOOKS
from tests.bench.science.baselines import FOREST
from tests.bench.science.seeds import seed_rows
from tests.bench.science.targets import target_rows
from tests.bench.science.text import percent, table, with_interval, with_spread

_OWN_FLAGGED = ("own_flagged_at_0.01", "own_flagged_at_0.05")


def render(figures: dict[str, Any]) -> str:
    """The page."""
    bundles, baselines = figures["bundles"], figures["baselines"]
    parts = [
        "# Science benchmark",
        "Intervals are 95 % (bootstrap; exact for rates). `docs/science.md` says what each column means.",
        "## What is asked",
        _targets(figures),
        "## Oddities against ordinary galaxies of the same survey, report half",
        _oddities(bundles, "test"),
        'The same without the "ordinary" images that a review found not to be ordinary (`reviewed.csv`):',
        _oddities(bundles, "test_reviewed"),
        "The half to choose by:",
        _oddities(bundles, "choose"),
        "## By kind of oddity, report half",
        _kinds(bundles),
        "## By detector and baseline: AUROC, report half",
        _detectors(bundles, baselines),
        "## Which drawn kinds find real oddities, half to choose by, rings apart",
        _drawn_kinds(bundles),
        "## Ordinary galaxies of the test split",
        _ordinary(bundles),
        "## New skies",
        _new_skies(bundles, baselines),
        "## Images that the pipeline refused before any detector",
        _refused(figures["refused"]),
        "## First looks and cost",
        _looks(bundles),
    ]
    if all("shifts" in own for own in bundles.values()):
        parts += ["## Ordinary test images, changed: flagged at 1 %", _shifts(bundles)]
        parts += ["## Where: share of maps whose largest cell lies within a drawn oddity", _where(bundles)]
        parts += ["## Oddities found with so many looks, in the pool of first looks", _answers(bundles)]
    differences = _differences(bundles)
    if differences:
        parts += ["## AUROC minus that of the first bundle, paired", differences]
    seeds = seed_rows(bundles)
    if seeds:
        head = ("recipe", "seeds", *next(iter(seeds.values()))["figures"])
        rows = [
            (name, own["seeds"], *(with_spread(figure) for figure in own["figures"].values()))
            for name, own in seeds.items()
        ]
        parts += ["## Mean and spread over seeds", table(head, rows)]
    return "\n\n".join(parts) + "\n"


def _targets(figures: dict[str, Any]) -> str:
    rows = target_rows(figures)
    return table(rows[0], [row.values() for row in rows])


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


def _detectors(bundles: dict[str, Any], baselines: dict[str, Any]) -> str:
    surveys = list(baselines["known"])
    rows = [
        (bundle, name, *(own["test"][survey]["oddities"]["auroc"].get(name, "") for survey in surveys))
        for bundle, own in bundles.items()
        for name in own["test"][surveys[0]]["oddities"]["auroc"]
    ]
    rows += [
        ("no bundle", name, *(baselines["known"][survey][name]["auroc"] for survey in surveys))
        for name in baselines["known"][surveys[0]]
    ]
    return table(("bundle", "score", *surveys), rows)


def _drawn_kinds(bundles: dict[str, Any]) -> str:
    rows = [
        (bundle, survey, kind, one["auroc"], with_interval(one["loss_without"], one["loss_interval"]))
        for bundle, own in bundles.items()
        for survey, kinds in own["drawn_kinds"].items()
        for kind, one in kinds.items()
    ]
    return table(("bundle", "survey", "drawn kind", "AUROC of its log odds", "lost without it"), rows)


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
            own["cost"]["survey_model_cpu_ms_per_image"],
        )
        for bundle, own in bundles.items()
    ]
    head = ("bundle", "odd among the first 100", "graph CPU-ms", "engine CPU-ms", "engine with a survey model CPU-ms")
    return table(head, rows)


def _new_skies(bundles: dict[str, Any], baselines: dict[str, Any]) -> str:
    rows: list[tuple[Any, ...]] = []
    for bundle, own in bundles.items():
        for name, sky in own["new_skies"].items():
            for score in ("pooled", "as_known", "survey_model", "survey_model_reviewed"):
                if score not in sky:
                    continue
                figures = sky[score]
                seen = " (has seen this survey)" if score == "pooled" and sky["pooled_has_seen"] else ""
                rows.append(
                    (
                        bundle,
                        name,
                        f"{sky['odd']} of {sky['evaluated']}",
                        score.replace("_", " ") + seen,
                        with_spread(figures["auroc"]) if "auroc" in figures else "",
                        percent(figures["flagged_at_0.01"]["mean"]),
                        percent(figures["flagged_at_0.05"]["mean"]),
                        percent(figures["recall_at_0.05"]["mean"]) if "recall_at_0.05" in figures else "",
                        " / ".join(percent(figures[name]["mean"]) for name in _OWN_FLAGGED if name in figures),
                    )
                )
    for name, sky in baselines["new_skies"].items():
        if sky:
            scores = {f"{sky[key]}, right direction": sky[key] for key in ("best_pixel_statistic", "best_measure")}
            scores |= {name: name for name in sky["auroc"].keys() & {FOREST}}
            rows += [
                ("no bundle", name, "", title, with_spread(sky["auroc"][score]), "", "", "", "")
                for title, score in scores.items()
            ]
    reads = {
        bundle: next(sky["survey_model_reads"] for sky in own["new_skies"].values() if "survey_model_reads" in sky)
        for bundle, own in bundles.items()
    }
    read = "; ".join(f"{bundle}: {', '.join(taps)}" for bundle, taps in reads.items())
    head = (
        "bundle",
        "sky",
        "odd (first split)",
        "score",
        "AUROC",
        "flagged at 1 %",
        "flagged at 5 %",
        "recall at p ≤ 5 %",
        "of its own 300 flagged at 1 % / 5 %",
    )
    return f"Survey models read: {read}.\n\n{table(head, rows)}"


def _differences(bundles: dict[str, Any]) -> str:
    rows = [
        (bundle, survey, with_interval(one["difference"], one["interval"]))
        for bundle, own in bundles.items()
        for survey, one in own.get("against_first", {}).items()
    ]
    return table(("bundle", "survey", "difference"), rows) if rows else ""


def _shifts(bundles: dict[str, Any]) -> str:
    rows = [
        (bundle, survey, *(percent(one["flagged"]) for one in shifts.values()))
        for bundle, own in bundles.items()
        for survey, shifts in own["shifts"].items()
    ]
    first = next(iter(next(iter(bundles.values()))["shifts"].values()))
    return table(("bundle", "survey", *first), rows)


def _where(bundles: dict[str, Any]) -> str:
    rows = [
        (
            name,
            survey,
            half,
            found["pictures"],
            percent(found["chance"]),
            *(percent(found["hits"][each]) for each in ("brightness", "rotation residual", "profile residual")),
            f"{percent(found['hits']['codebook'])} ± {percent(found['spread'])}",
        )
        for name, own in bundles.items()
        for survey, halves in own["patch_maps"].items()
        for half, found in halves.items()
        if found
    ]
    trivial = ("brightness", "less itself turned", "less its profile")
    return table(("bundle", "survey", "half", "pictures", "chance", *trivial, "codebook"), rows)


def _answers(bundles: dict[str, Any]) -> str:
    rows = [
        (bundle, way, *(f"{one['mean']:g} ± {one['spread']:g}" for one in looks.values()))
        for bundle, own in bundles.items()
        for way, looks in own["answers"].items()
    ]
    return table(("bundle", "ranked by", *(f"{looks} looks" for looks in LOOKS)), rows)


def _refused(refused: dict[str, Any]) -> str:
    rows = [(name, own["images"], own["odd"], own["ordinary"], ", ".join(own["ids"])) for name, own in refused.items()]
    return table(("set", "images", "odd ones refused", "ordinary ones refused", "of them"), rows)
