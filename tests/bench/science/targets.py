"""The acceptance rows: each with what the measured bundle reaches, what is asked at least, and what is aimed at."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

from tests.bench.science.measures import MEASURES
from tests.bench.science.text import percent, with_interval

Figures = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """One row.

    Attributes:
        title: What is measured.
        least: Asked at least, for people.
        aim: Aimed at, for people.
        value: What a bundle reaches, for people, from its figures and those of the baselines.
        reached: Whether that is at least what is asked; None where there is nothing to compare with.
    """

    title: str
    least: str
    aim: str
    value: Callable[[Figures, Figures], str]
    reached: Callable[[Figures, Figures], bool | None]


def target_rows(figures: Figures) -> list[dict[str, str]]:
    """All rows as text: title, what each bundle reaches, at least, aim.

    A second column of each bundle has the figures without the reviewed images, where they differ.
    """
    rows = []
    for target in _TARGETS:
        row = {"": target.title}
        for bundle, own in figures["bundles"].items():
            labelled = _cell(target, own, figures["baselines"])
            reviewed = _cell(target, _without_reviewed(own), figures["baselines"])
            row[bundle] = labelled
            row[f"{bundle}, reviewed ones left out"] = reviewed if reviewed != labelled else ""
        rows.append(row | {"at least": target.least, "aim": target.aim})
    return rows


def pack_mean(own: Figures, score: str) -> float:
    """Mean AUROC of `score` over the four packs as new skies."""
    return _mean(own, "pack", score, "auroc")


def margin_over_measures(own: Figures, baselines: Figures) -> dict[str, float]:
    """By how much survey models beat the one-number measures, over all skies with 300 images of their own.

    Returns:
        `mean`, mean AUROC of the survey models; and what remains of it after that of the best pixel statistic of each
        sky, of the best measure of each sky, and of the one measure that is best over all skies. Each measure counts in
        the direction that is right on each sky, which no method could know.
    """
    skies = [name for name, sky in own["new_skies"].items() if "survey_model" in sky]
    mean = fmean(own["new_skies"][name]["survey_model"]["auroc"]["mean"] for name in skies)
    by_sky = [baselines["new_skies"][name] for name in skies]
    single = max(fmean(one["auroc"][measure]["mean"] for one in by_sky) for measure in MEASURES)
    return {
        "mean": round(mean, 4),
        "over_pixel_statistics": round(mean - fmean(_best(one, "best_pixel_statistic") for one in by_sky), 4),
        "over_measures": round(mean - fmean(_best(one, "best_measure") for one in by_sky), 4),
        "over_one_measure": round(mean - single, 4),
    }


def ring_score(own: Figures) -> tuple[str, Figures]:
    """The score that finds rings best on the half to choose by, and its figures on the other."""
    name = max(own["rings"], key=lambda name: own["rings"][name]["auroc_to_choose_by"])
    return name, own["rings"][name]


def _cell(target: Target, own: Figures, baselines: Figures) -> str:
    mark = {True: " ✓", False: " ✗", None: ""}[target.reached(own, baselines)]
    return target.value(own, baselines) + mark


def _without_reviewed(own: Figures) -> Figures:
    """The figures of a bundle, those without the reviewed images in the place of those with them."""
    return own | {"test": own["test_reviewed"], "first_looks": own["first_looks_reviewed"]}


def _best(sky: Figures, key: str) -> float:
    return float(sky["auroc"][sky[key]]["mean"])


def _mean(own: Figures, group: str, score: str, figure: str) -> float:
    skies = [sky for sky in own["new_skies"].values() if sky["group"] == group and score in sky]
    return fmean(sky[score][figure]["mean"] for sky in skies)


def _kind(survey: str, kind: str | None) -> Callable[[Figures], tuple[float, list[float], float, float]]:
    """AUROC, its interval, and recall at 1 % by verdict and by rank."""

    def read(own: Figures) -> tuple[float, list[float], float, float]:
        odd = own["test"][survey]["oddities"]
        part = odd if kind is None else odd["by_kind"][kind]
        found = part["auroc"]["combined"] if kind is None else part["auroc"]
        one = part["budgets"]["0.01"]
        return found, part["auroc_interval"], one["by_verdict"]["recall"], one["by_rank"]["recall"]

    return read


def _oddity_target(title: str, survey: str, kind: str | None, least: tuple[float, float], aim: str) -> Target:
    read = _kind(survey, kind)

    def value(own: Figures, _baselines: Figures) -> str:
        found, interval, verdict, rank = read(own)
        return f"{with_interval(found, interval)} / {verdict:.2f} (by rank {rank:.2f})"

    def reached(own: Figures, _baselines: Figures) -> bool:
        found, _, verdict, _ = read(own)
        return found >= least[0] and verdict >= least[1]

    return Target(title, f"{least[0]:.2f} / {least[1]:.2f}", aim, value, reached)


def _macro_f1(own: Figures) -> list[Figures]:
    return [own["test"][survey]["morphology"] for survey in ("sdss", "efigi")]


def _alarms(own: Figures) -> tuple[list[Figures], float]:
    """Rates at 1 %: of the known surveys with their intervals, and the mean over the packs after 300 images."""
    known = [own["test"][survey]["false_alarms"]["at"]["0.01"] for survey in ("sdss", "efigi")]
    return known, _mean(own, "pack", "survey_model", "flagged_at_0.01")


def _alarms_text(own: Figures, _baselines: Figures) -> str:
    known, new = _alarms(own)
    parts = [f"{percent(one['rate'])} [{', '.join(percent(end) for end in one['interval'])}]" for one in known]
    return f"{', '.join(parts)} / {percent(new)}"


def _gz2(own: Figures) -> tuple[Figures, Figures]:
    sky = own["new_skies"]["sdss-gz2-paper"]
    return sky["survey_model"], sky["as_known"]


def _gz2_text(own: Figures, _baselines: Figures) -> str:
    new, known = _gz2(own)
    return (
        f"{new['auroc']['mean']:.2f} ± {new['auroc']['spread']:.2f} / {percent(new['flagged_at_0.01']['mean'])}"
        f" (taken for sdss {known['auroc']['mean']:.2f} / {percent(known['flagged_at_0.01']['mean'])})"
    )


def _margin_text(own: Figures, baselines: Figures) -> str:
    margin = margin_over_measures(own, baselines)
    return (
        f"{margin['mean']:.3f}: {margin['over_pixel_statistics']:+.3f} over the best pixel statistic of each sky, "
        f"{margin['over_measures']:+.3f} over the best measure of each, "
        f"{margin['over_one_measure']:+.3f} over the best single measure"
    )


def _ring_text(own: Figures, _baselines: Figures) -> str:
    name, figures = ring_score(own)
    return f"{with_interval(figures['auroc'], figures['auroc_interval'])} ({name})"


_TARGETS: Final = (
    _oddity_target("SDSS oddities, AUROC / recall at 1 %", "sdss", None, (0.92, 0.40), "0.95 / 0.55"),
    _oddity_target(
        "EFIGI oddities, rings apart, AUROC / recall at 1 %", "efigi", "all-but-rings", (0.82, 0.25), "0.88 / 0.40"
    ),
    Target(
        "sdss-gz2-paper as a new survey, after 300 of its images: AUROC / ordinary flagged at 1 %",
        "0.70 / ≤ 2 %",
        "0.80 / ≤ 1.5 %",
        _gz2_text,
        lambda own, _: _gz2(own)[0]["auroc"]["mean"] >= 0.70 and _gz2(own)[0]["flagged_at_0.01"]["mean"] <= 0.02,
    ),
    Target(
        "survey left out (300 own images), mean AUROC above the best one-number measure",
        "+0.03",
        "+0.10",
        _margin_text,
        lambda own, baselines: margin_over_measures(own, baselines)["over_pixel_statistics"] >= 0.03,
    ),
    Target(
        "EFIGI rings, by their own score, AUROC",
        "0.72",
        "0.85",
        _ring_text,
        lambda own, _: ring_score(own)[1]["auroc"] >= 0.72,
    ),
    Target(
        "four packs as new skies, 300 own unlabelled images, mean AUROC",
        "0.83",
        "0.90",
        lambda own, _: (
            f"{pack_mean(own, 'survey_model'):.3f} (pooled {pack_mean(own, 'pooled'):.3f}, "
            f"after a person's look {pack_mean(own, 'survey_model_reviewed'):.3f})"
        ),
        lambda own, _: pack_mean(own, "survey_model") >= 0.83,
    ),
    Target(
        "macro-F1, SDSS / EFIGI",
        "0.82 / 0.82",
        "0.86 / 0.87",
        lambda own, _: " / ".join(with_interval(one["macro_f1"], one["macro_f1_interval"]) for one in _macro_f1(own)),
        lambda own, _: all(one["macro_f1"] >= 0.82 for one in _macro_f1(own)),
    ),
    Target(
        "realised false alarms at 1 %: SDSS, EFIGI / after 300 images of a new survey",
        "0.5–1.5 % / ≤ 2 %",
        "",
        _alarms_text,
        lambda own, _: all(0.005 <= one["rate"] <= 0.015 for one in _alarms(own)[0]) and _alarms(own)[1] <= 0.02,
    ),
    Target(
        "first looks: oddities among the first 100",
        "45",
        "55",
        lambda own, _: (
            f"{own['first_looks']['found']:g} ± {own['first_looks']['spread']:g}"
            f" ({own['first_looks']['odd']} odd in {own['first_looks']['pool']:,})"
        ),
        lambda own, _: own["first_looks"]["found"] >= 45,
    ),
    Target(
        "engine, CPU-ms an image: decode, graph, score on one thread",
        "≤ 5",
        "≤ 3",
        lambda own, _: (
            f"{own['cost']['engine_cpu_ms_per_image']:g} (graph {own['cost']['graph_cpu_ms_per_image']:g}),"
            f" with a survey model {own['cost']['survey_model_cpu_ms_per_image']:g}"
        ),
        lambda own, _: own["cost"]["engine_cpu_ms_per_image"] <= 5.0,
    ),
)
