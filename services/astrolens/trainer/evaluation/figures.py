"""Figures of one survey: morphology, false alarms, and detection of oddities, with 95 % intervals, as JSON values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from astrolens.contracts.verdicts import Verdict
from astrolens.science.scoring import ImageScores
from astrolens.trainer.evaluation.intervals import bootstrap, clopper_pearson
from astrolens.trainer.evaluation.kinds import kind_masks
from astrolens.trainer.evaluation.metrics import (
    auroc,
    average_precision,
    expected_calibration_error,
    fpr_at_recall,
    macro_f1,
    precision_at_prevalence,
    recall_at_false_alarms,
    uniformity,
)

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

BUDGETS: Final = (0.01, 0.05)
"""Shares of ordinary images that may be flagged."""
PREVALENCES: Final = (0.01, 0.05)
"""Shares of odd images that precision is stated for; the labelled sets hold far more than any sky does."""
CURVE: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""False-alarm rates at which the recall is given, for a plot."""
_QUANTILES: Final = 21
_MIN_OF_KIND: Final = 5
"""A kind with fewer objects gets its number only."""


@dataclass(frozen=True)
class ScoredImages:
    """Scores of n images of one survey, with their labels.

    Attributes:
        scores: Results of the bundle, n.
        classes: [n] class index, -1 where unknown.
        oddities: [n] names, empty for ordinary objects.
    """

    scores: list[ImageScores]
    classes: NDArray[np.int64]
    oddities: NDArray[np.str_]

    @property
    def ordinary(self) -> Mask:
        """[n] whether the object is ordinary."""
        return np.asarray(self.oddities == "", dtype=np.bool_)


def figures(scored: ScoredImages, classes: tuple[str, ...], *, seed: int) -> dict[str, Any]:
    """All figures of one survey.

    Args:
        scored: Images with labels.
        classes: Names, in the order of the class indices.
        seed: Of the bootstrap.
    """
    if not scored.ordinary.any():
        return {"oddities": oddity_figures(scored, seed=seed)}
    ordinary = [score for score, keep in zip(scored.scores, scored.ordinary, strict=True) if keep]
    truth = scored.classes[scored.ordinary]
    known = truth >= 0
    made: dict[str, Any] = {}
    if known.any():
        probabilities = np.array([[score.class_probabilities[name] for name in classes] for score in ordinary])
        made["morphology"] = morphology_figures(probabilities[known], truth[known], classes, seed=seed)
    flagged = sum(score.verdict is Verdict.ANOMALY for score in ordinary)
    made["false_alarms"] = false_alarm_figures(p_values_of(ordinary), flagged=flagged)
    return made | {"oddities": oddity_figures(scored, seed=seed)}


def morphology_figures(
    probabilities: Floats, truth: NDArray[np.int64], classes: tuple[str, ...], *, seed: int
) -> dict[str, Any]:
    """Accuracy, macro-F1 over the classes that occur, recall of each class, and expected calibration error.

    Args:
        probabilities: [n, classes].
        truth: [n] class index.
        classes: Names.
        seed: Of the bootstrap.
    """
    predicted = probabilities.argmax(axis=1)
    present = np.unique(truth)

    return {
        "n": len(truth),
        "accuracy": _rounded((predicted == truth).mean()),
        "accuracy_interval": bootstrap(lambda rows: float((predicted[rows] == truth[rows]).mean()), truth, seed=seed),
        "macro_f1": _rounded(macro_f1(truth, predicted, present)),
        "macro_f1_interval": bootstrap(lambda rows: macro_f1(truth[rows], predicted[rows], present), truth, seed=seed),
        "recall": {
            name: _rounded((predicted[truth == index] == index).mean())
            for index, name in enumerate(classes)
            if (truth == index).any()
        },
        "expected_calibration_error": _rounded(expected_calibration_error(probabilities, truth)),
    }


def false_alarm_figures(p_values: Floats, *, flagged: int) -> dict[str, Any]:
    """How many ordinary images were flagged, at the verdict's budget and at fixed budgets; uniformity of p-values.

    Args:
        p_values: [n] of ordinary images.
        flagged: How many of them got the verdict `anomaly`.
    """
    n = len(p_values)
    distance, significance = uniformity(p_values)
    by_budget = {}
    for budget in BUDGETS:
        count = int((p_values <= budget).sum())
        by_budget[f"{budget:g}"] = {
            "flagged": count,
            "rate": _rounded(count / n),
            "interval": clopper_pearson(count, n),
        }
    return {
        "n": n,
        "flagged": flagged,
        "rate": _rounded(flagged / n),
        "interval": clopper_pearson(flagged, n),
        "at": by_budget,
        "p_value_quantiles": [_rounded(value) for value in np.quantile(p_values, np.linspace(0.0, 1.0, _QUANTILES))],
        "p_value_ks": _rounded(distance),
        "p_value_ks_significance": _rounded(significance),
    }


def oddity_figures(scored: ScoredImages, *, seed: int) -> dict[str, Any]:
    """Detection of oddities among ordinary objects, by each detector and by their combination.

    AUROC, AUPRC and FPR95 have a value for each score; what needs a threshold is of the combination.
    """
    odd = ~scored.ordinary
    flagged = np.array([score.verdict is Verdict.ANOMALY for score in scored.scores])
    found: dict[str, Any] = {"n": int(odd.sum())}
    if odd.any():
        kinds = scored.oddities[odd]
        found |= {"recall_at_budget": _rounded(flagged[odd].mean())}
        found |= {"recall_by_kind": {str(k): _rounded(flagged[odd][kinds == k].mean()) for k in np.unique(kinds)}}
    if not odd.any() or odd.all():
        return found
    values_by_name = {"combined": rank_values(scored.scores)}
    for name in scored.scores[0].detectors:
        values_by_name[name] = np.array([score.detectors[name].score for score in scored.scores])
    combined, p_values = values_by_name["combined"], p_values_of(scored.scores)
    found |= {
        "auroc": {name: _rounded(auroc(odd, values)) for name, values in values_by_name.items()},
        "auprc": {name: _rounded(average_precision(odd, values)) for name, values in values_by_name.items()},
        "fpr95": {name: _rounded(fpr_at_recall(values, odd, 0.95)) for name, values in values_by_name.items()},
    }
    whole = detection_figures(odd, combined, p_values, seed=seed)
    found |= {
        "auroc_interval": whole["auroc_interval"],
        "auprc_at_prevalence": whole["auprc_at_prevalence"],
        "budgets": whole["budgets"],
        "curve": [[rate, _rounded(recall_at_false_alarms(odd, combined, rate))] for rate in CURVE],
    }
    by_kind: dict[str, Any] = {}
    for name, mask in kind_masks(scored.oddities).items():
        rows = mask | scored.ordinary
        by_kind[name] = {"n": int(mask.sum())}
        if mask.sum() >= _MIN_OF_KIND:
            by_kind[name] |= detection_figures(mask[rows], combined[rows], p_values[rows], seed=seed)
            by_kind[name]["auroc_by_detector"] = {
                detector: _rounded(auroc(mask[rows], values[rows])) for detector, values in values_by_name.items()
            }
    return found | {"by_kind": by_kind}


def detection_figures(odd: Mask, scores: Floats, p_values: Floats | None = None, *, seed: int) -> dict[str, Any]:
    """AUROC, AUPRC by prevalence, and recall and precision at each budget, of one score.

    Args:
        odd: [n], with at least one True and one False.
        scores: [n], larger is stranger.
        p_values: [n], where the score has a calibration: then also what it flags at each budget.
        seed: Of the bootstrap.
    """
    budgets: Mapping[str, Any] = {
        f"{budget:g}": {
            "by_rank": _operating_point(
                recall_at_false_alarms(odd, scores, budget),
                budget,
                bootstrap(
                    lambda rows, budget=budget: recall_at_false_alarms(odd[rows], scores[rows], budget),  # type: ignore[misc]
                    odd,
                    seed=seed,
                ),
            ),
        }
        | ({} if p_values is None else {"by_verdict": _flagged(odd, p_values <= budget)})
        for budget in BUDGETS
    }
    return {
        "n": int(odd.sum()),
        "auroc": _rounded(auroc(odd, scores)),
        "auroc_interval": bootstrap(lambda rows: auroc(odd[rows], scores[rows]), odd, seed=seed),
        "auprc_at_prevalence": {
            f"{share:g}": _rounded(average_precision(odd, scores, prevalence=share)) for share in PREVALENCES
        },
        "budgets": budgets,
    }


def rank_values(scores: list[ImageScores]) -> Floats:
    """What the images are ranked by, [n]: larger is stranger."""
    return np.array([score.rank_score for score in scores], dtype=np.float64)


def p_values_of(scores: list[ImageScores]) -> Floats:
    """The p-values [n] of the combination."""
    return np.array([score.p_value for score in scores], dtype=np.float64)


def _flagged(odd: Mask, flagged: Mask) -> dict[str, Any]:
    count = int(flagged[odd].sum())
    alarms = float(flagged[~odd].mean())
    return _operating_point(count / int(odd.sum()), alarms, clopper_pearson(count, int(odd.sum())))


def _operating_point(recall: float, alarms: float, interval: list[float]) -> dict[str, Any]:
    return {
        "recall": _rounded(recall),
        "recall_interval": interval,
        "false_alarms": _rounded(alarms),
        "precision_at_prevalence": {
            f"{share:g}": _rounded(precision_at_prevalence(recall, alarms, share)) for share in PREVALENCES
        },
    }


def _rounded(value: Any) -> float:
    return round(float(value), 4)
