"""Surveys that a bundle is calibrated for: morphology, false alarms and oddities, on one half of the oddities."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from astrolens.science.cutouts import decode_cutout
from astrolens.science.rings import ring_score
from astrolens.science.scoring import ImageScores
from astrolens.science.segmentation import NoObject, detect_object
from astrolens.trainer.evaluation import RINGS, Half, ScoredImages, auroc, bootstrap, figures, kind_masks, rank_values
from numpy.typing import NDArray

from tests.bench.science.pictures import Cutouts

SEED = 0
_VOTERS = ("msp", "energy", "mahalanobis")
_LOOKS = 100
_POOLS = 50


def survey_figures(
    cutouts: Cutouts, scores: list[ImageScores], classes: tuple[str, ...], half: Half, *, reviewed: bool = False
) -> dict[str, Any]:
    """Figures of one survey on one half.

    Args:
        cutouts: Of the survey.
        scores: Of its images.
        classes: Of the bundle.
        half: Which oddities and which ordinary images.
        reviewed: Leave out the "ordinary" images that a person found not to be ordinary.
    """
    table = cutouts.table
    rows = table.roles == half
    if reviewed:
        rows &= ~table.reviewed_out
    scored = _scored(cutouts, scores, classes, rows)
    made = figures(scored, classes, seed=SEED)
    vote = _vote(scored.scores)
    if vote is not None:
        odd = ~scored.ordinary
        made["oddities"]["auroc"]["2-of-3 vote"] = round(auroc(odd, -vote), 4)
        made["oddities"]["vote"] = {
            f"{budget:g}": {
                "recall": round(float((vote[odd] <= budget).mean()), 4),
                "false_alarms": round(float((vote[~odd] <= budget).mean()), 4),
            }
            for budget in (0.01, 0.05)
        }
    return made


def ring_profile_scores(cutouts: Cutouts) -> NDArray[np.float64]:
    """The score of rings that the product gives to candidates, [n]; 0 (no rise) where a picture has no profile."""
    return np.array([_ring_profile_score(jpeg) for jpeg in cutouts.jpegs])


def ring_figures(
    cutouts: Cutouts, scores: list[ImageScores], own_scores: Mapping[str, NDArray[np.float64]]
) -> dict[str, Any]:
    """AUROC of rings against ordinary images, by the combination and by every score of their own.

    Args:
        cutouts: Of EFIGI.
        scores: Of its images.
        own_scores: Further scores [n] that are meant for rings, by name.
    """
    table = cutouts.table
    rings = kind_masks(table.oddities)[RINGS]
    values = {"combined": rank_values(scores), **own_scores}
    values |= {
        f"detector {name}": np.array([score.detectors[name].score for score in scores])
        for name in scores[0].detectors
        if "ring" in name
    }
    taking_part = rings | table.ordinary
    choose, report = (np.flatnonzero((table.roles == half) & taking_part) for half in (Half.CHOOSE, Half.REPORT))
    return {
        name: {
            "n": int(rings[report].sum()),
            "auroc_to_choose_by": round(auroc(rings[choose], own[choose]), 4),
            "auroc": round(auroc(rings[report], own[report]), 4),
            "auroc_interval": bootstrap(
                lambda drawn, own=own: auroc(rings[report][drawn], own[report][drawn]), rings[report], seed=SEED
            ),
        }
        for name, own in values.items()
    }


def auroc_difference(cutouts: Cutouts, one: list[ImageScores], two: list[ImageScores], half: Half) -> dict[str, Any]:
    """AUROC of the first bundle minus that of the second, with the paired interval."""
    rows = np.flatnonzero(cutouts.table.roles == half)
    odd = ~cutouts.table.ordinary[rows]
    first = rank_values([one[row] for row in rows])
    second = rank_values([two[row] for row in rows])
    return {
        "difference": round(auroc(odd, first) - auroc(odd, second), 4),
        "interval": bootstrap(lambda own: auroc(odd[own], first[own]) - auroc(odd[own], second[own]), odd, seed=SEED),
    }


def first_looks(
    by_survey: Mapping[str, tuple[Cutouts, list[ImageScores]]], *, reviewed: bool = False
) -> dict[str, Any]:
    """Oddities among the first 100 of a pool: all ordinary `val` and `test` images, and 100 odd ones.

    The odd ones come from the report half, equal numbers of each survey. They are drawn 50 times, because it matters
    much which ones they are.

    Args:
        by_survey: Images and scores of each survey.
        reviewed: Leave out the "ordinary" images that a person found not to be ordinary.
    """
    odd_values, ordinary_values = [], []
    for cutouts, scores in by_survey.values():
        values = rank_values(scores)
        table = cutouts.table
        ordinary = table.ordinary & np.isin(table.roles, list(Half))
        ordinary_values.append(values[ordinary & ~table.reviewed_out if reviewed else ordinary])
        odd_values.append(values[~table.ordinary & (table.roles == Half.REPORT)])
    all_ordinary = np.concatenate(ordinary_values)
    share = _LOOKS // len(odd_values)
    rng = np.random.default_rng(SEED)
    found = []
    for _ in range(_POOLS):
        odd = np.concatenate([rng.choice(own, share, replace=False) for own in odd_values])
        found.append(_found_first(odd, all_ordinary, rng))
    return {
        "pool": len(all_ordinary) + share * len(odd_values),
        "odd": share * len(odd_values),
        "looks": _LOOKS,
        "pools": _POOLS,
        "found": round(float(np.mean(found)), 1),
        "spread": round(float(np.std(found)), 1),
    }


def _found_first(odd: NDArray[np.float64], ordinary: NDArray[np.float64], rng: np.random.Generator) -> int:
    values = np.concatenate((odd, ordinary))
    # Equal scores in random order: no image is first because of its place in the list.
    order = np.lexsort((rng.random(len(values)), -values))
    return int((order[:_LOOKS] < len(odd)).sum())


def _scored(
    cutouts: Cutouts, scores: list[ImageScores], classes: tuple[str, ...], rows: NDArray[np.bool_]
) -> ScoredImages:
    table = cutouts.table.where(rows)
    truth = np.array([classes.index(name) if name in classes else -1 for name in table.morphology], dtype=np.int64)
    return ScoredImages([scores[row] for row in np.flatnonzero(rows)], truth, table.oddities)


def _vote(scores: list[ImageScores]) -> NDArray[np.float64] | None:
    """The p-value that two of the three classic detectors reach, [n]: the middle one of theirs."""
    if not set(_VOTERS) <= scores[0].detectors.keys():
        return None
    p_values = np.array([[score.detectors[name].p_value for name in _VOTERS] for score in scores])
    return np.asarray(np.sort(p_values, axis=1)[:, 1])


def _ring_profile_score(jpeg: bytes) -> float:
    try:
        return ring_score(detect_object(decode_cutout(jpeg))) or 0.0
    except NoObject:
        return 0.0
