"""Surveys that a bundle does not know: scored by the pooled calibration, and by a survey model of 300 own images.

A split keeps all tiles of one picture on one side. A survey model sees 300 images as they come, oddities among them and
no label; the images of all other pictures are evaluated. Everything is measured on the same images of each split.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from astrolens.science.detectors import Features
from astrolens.science.survey_model import SurveyScores, fit_survey_model
from astrolens.trainer.dataset import CALIBRATED_PACKS
from astrolens.trainer.evaluation import (
    BUDGETS,
    Half,
    auroc,
    p_values_of,
    rank_values,
    recall_at_false_alarms,
    split_groups,
)
from numpy.typing import NDArray

from tests.bench.science.baselines import FOREST, forest_scores, oracle_auroc
from tests.bench.science.bundles import BundleUnderTest
from tests.bench.science.measures import MEASURES, PIXEL_STATISTICS
from tests.bench.science.pictures import Cutouts
from tests.bench.science.tables import ImageTable

OWN_IMAGES: Final = 300
SPLITS: Final = 6
LONG_SPLITS: Final = 12
LOOKED_AT: Final = 40
"""Images that a person looks at in the reviewed variant: the strangest of the survey model's own."""
_UNKNOWN: Final = "unknown-sky"
"""A survey name that no bundle knows."""
_MIN_IMAGES: Final = 2 * OWN_IMAGES
"""A pack with fewer images has not enough for a survey model and a rest."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """Odd against ordinary images of one pack.

    Attributes:
        name: For people.
        pack: Folder of the pack.
        kind: The kind of oddity that counts, others are left out; None for all.
        part_of_mean: One of the four tasks whose mean is reported.
        also_as: A known survey that the images could be taken for.
    """

    name: str
    pack: str
    kind: str | None = None
    part_of_mean: bool = True
    also_as: str | None = None


_TASKS: Final = (
    Task("decals-dr1", "decals-dr1"),
    Task("euclid merger", "euclid-q1-vis", "merger"),
    Task("euclid bright-neighbour", "euclid-q1-vis", "bright-neighbour"),
    Task("sdss-gz2-paper", "sdss-gz2-paper", also_as="sdss"),
    Task("catalina-css", "catalina-css", part_of_mean=False),
    Task("spitzer-mwp", "spitzer-mwp", part_of_mean=False),
    Task("hst-cosmos-colour", "hst-cosmos-colour", part_of_mean=False),
)


@dataclass(frozen=True)
class Split:
    """Rows of one split: the survey's own images, and those that are evaluated."""

    own: NDArray[np.int64]
    rest: NDArray[np.int64]


@dataclass(frozen=True)
class Sky:
    """The images of one task, and its splits.

    Attributes:
        name: For people.
        table: Name of the table that the images are of.
        rows: Rows of that table's cutouts, n.
        cutouts: Those rows.
        splits: In rows of `cutouts`.
        group: `pack` (one of the four of the mean), `left-out` (a known survey as if it were new), or `small`.
        also_as: A known survey that the images could be taken for.
    """

    name: str
    table: str
    rows: NDArray[np.int64]
    cutouts: Cutouts
    splits: tuple[Split, ...]
    group: str
    also_as: str | None = None

    @property
    def odd(self) -> NDArray[np.bool_]:
        """[n] which images are odd."""
        return ~self.cutouts.table.ordinary

    @property
    def has_both(self) -> bool:
        """Whether there are odd and ordinary images."""
        return bool(self.odd.any()) and not self.odd.all()

    @property
    def has_own(self) -> bool:
        """Whether there are enough images for a survey model."""
        return len(self.splits[0].own) > 0


def new_skies(galaxies: Mapping[str, Cutouts], packs: Mapping[str, Cutouts], *, splits: int) -> list[Sky]:
    """All skies that the bundle is to take as new."""
    skies = []
    for task in _TASKS:
        if task.pack not in packs:
            continue
        cutouts = packs[task.pack]
        rows = np.flatnonzero(_taking_part(task, cutouts.table))
        own = cutouts.where(rows)
        drawn = _pack_splits(own.table, splits)
        group = "pack" if task.part_of_mean else "small"
        skies.append(Sky(task.name, task.pack, rows, own, drawn, group, task.also_as))
    for name, cutouts in galaxies.items():
        rows = np.arange(len(cutouts.table))
        drawn = _left_out_splits(cutouts.table, splits)
        skies.append(Sky(f"{name} left out", name, rows, cutouts, drawn, "left-out"))
    return skies


def baseline_figures(sky: Sky) -> dict[str, Any]:
    """AUROC of the one-number measures in the right direction (an oracle's), and of IsolationForest on own pixels."""
    if not sky.has_both:
        return {}
    odd, cutouts = sky.odd, sky.cutouts
    made: dict[str, Any] = {
        name: _mean_and_spread(
            [oracle_auroc(odd[split.rest], cutouts.measures[split.rest, at]) for split in sky.splits]
        )
        for at, name in enumerate(MEASURES)
    }
    best = {
        key: max(names, key=lambda name: made[name]["mean"])
        for key, names in (("best_pixel_statistic", PIXEL_STATISTICS), ("best_measure", MEASURES))
    }
    if sky.has_own:
        pixels = cutouts.thumbnails
        made[FOREST] = _mean_and_spread(
            [auroc(odd[split.rest], forest_scores(pixels[split.own], pixels[split.rest])) for split in sky.splits]
        )
    return {"auroc": made, **best, "group": sky.group}


def sky_figures(bundle: BundleUnderTest, sky: Sky, features: Features, *, also_as: str | None = None) -> dict[str, Any]:
    """Figures of one bundle on one sky.

    Args:
        bundle: The bundle.
        sky: Its images and splits.
        features: Of those images.
        also_as: Also score the images as those of this known survey.
    """
    evaluated = sky.odd[sky.splits[0].rest]
    made: dict[str, Any] = {
        "group": sky.group,
        "evaluated": len(evaluated),
        "odd": int(evaluated.sum()),
        "pooled_has_seen": CALIBRATED_PACKS.get(sky.table, sky.table) in bundle.bundle.manifest.surveys,
    }
    for name, survey in {"pooled": _UNKNOWN, "as_known": also_as}.items():
        if survey is not None:
            scores = bundle.scores(features, survey)
            values, p_values = rank_values(scores), p_values_of(scores)
            made[name] = _summary(sky, [(values[split.rest], p_values[split.rest]) for split in sky.splits])
    if sky.has_own:
        _, recipe = bundle.taps(features)
        made["survey_model_reads"] = sorted({tap for entry in recipe for tap in entry.taps})
        for name, looked_at in (("survey_model", 0), ("survey_model_reviewed", LOOKED_AT)):
            found = [_survey_model(bundle, sky, features, split, looked_at) for split in sky.splits]
            made[name] = _summary(sky, [(each.rank_score, each.p_value) for each, _ in found])
            made[name] |= _own_flagged([own.p_value for _, own in found])
    return made


def _taking_part(task: Task, table: ImageTable) -> NDArray[np.bool_]:
    if task.kind is None:
        return np.ones(len(table), dtype=np.bool_)
    return table.ordinary | np.array([task.kind in str(own).split("+") for own in table.oddities])


def _pack_splits(table: ImageTable, splits: int) -> tuple[Split, ...]:
    """Splits of a task's images; a small pack has one, without images of its own."""
    if len(table) < _MIN_IMAGES:
        return (Split(np.empty(0, dtype=np.int64), np.arange(len(table))),)
    groups = table.groups.tolist()
    return tuple(Split(*split_groups(groups, count=OWN_IMAGES, seed=seed)) for seed in range(splits))


def _left_out_splits(table: ImageTable, splits: int) -> tuple[Split, ...]:
    """A known survey as if it were new: 300 of its ordinary images to choose by, evaluated on the report half."""
    ordinary = np.flatnonzero(table.ordinary & (table.roles == Half.CHOOSE))
    rest = np.flatnonzero(table.roles == Half.REPORT)
    draws = [np.random.default_rng(seed).permutation(ordinary)[:OWN_IMAGES] for seed in range(splits)]
    return tuple(Split(np.sort(own), rest) for own in draws)


def _survey_model(
    bundle: BundleUnderTest, sky: Sky, features: Features, split: Split, looked_at: int
) -> tuple[SurveyScores, SurveyScores]:
    """What a survey model says of the images that are evaluated, and of those that it was fitted on."""
    taps, recipe = bundle.taps(features)
    own = {name: values[split.own] for name, values in taps.items()}
    # Rows serve as ids: the source ids of a pack need not be unique.
    ids = [f"{row:06d}" for row in split.own]
    fit = partial(
        fit_survey_model, own, survey=_UNKNOWN, model_digest=bundle.bundle.digest, image_ids=ids, recipe=recipe
    )
    model = fit()
    odd = {f"{row:06d}" for row in split.own[sky.odd[split.own]]} & set(model.strangest_images(looked_at))
    if odd and looked_at:
        model = fit(odd_ids=odd)
    kept = np.array([int(image) for image in model.image_ids])
    rest, fitted = (model.score({name: values[rows] for name, values in taps.items()}) for rows in (split.rest, kept))
    return rest, fitted


def _own_flagged(p_values: Sequence[Values]) -> dict[str, Any]:
    """The share of the images of the fit, odd ones among them, that is flagged at each budget: never above it."""
    return {
        f"own_flagged_at_{budget:g}": _mean_and_spread([float((own <= budget).mean()) for own in p_values])
        for budget in BUDGETS
    }


def _summary(sky: Sky, scored: Sequence[tuple[Values, Values]]) -> dict[str, Any]:
    """Mean and spread over the splits of AUROC, flagged ordinary images, and recall."""
    rows: list[dict[str, float]] = []
    for split, (values, p_values) in zip(sky.splits, scored, strict=True):
        odd = sky.odd[split.rest]
        row = {f"flagged_at_{budget:g}": float((p_values[~odd] <= budget).mean()) for budget in BUDGETS}
        if sky.has_both:
            row["auroc"] = auroc(odd, values)
            for budget in BUDGETS:
                row[f"recall_at_{budget:g}"] = float((p_values[odd] <= budget).mean())
                row[f"recall_by_rank_at_{budget:g}"] = recall_at_false_alarms(odd, values, budget)
        rows.append(row)
    return {name: _mean_and_spread([row[name] for row in rows]) for name in rows[0]}


def _mean_and_spread(values: list[float]) -> dict[str, Any]:
    return {
        "mean": round(float(np.mean(values)), 4),
        "spread": round(float(np.std(values)), 4),
        "splits": [round(value, 4) for value in values],
    }
