"""Figures of the model card: morphology, false alarms, and detection of oddities, with 95 % intervals."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, kstest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from astrolens.contracts.verdicts import Verdict
from astrolens.science.scoring import ImageScores

Floats = NDArray[np.float64]


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
    def ordinary(self) -> NDArray[np.bool_]:
        """[n] whether the object is ordinary."""
        return np.asarray(self.oddities == "", dtype=np.bool_)


def figures(scored: ScoredImages, classes: tuple[str, ...], *, seed: int) -> dict[str, Any]:
    """All figures of one survey, as JSON values.

    Args:
        scored: Images with labels.
        classes: Names, in the order of the class indices.
        seed: Of the bootstrap.
    """
    if not scored.ordinary.any():
        return {"oddities": oddity_figures(scored, seed=seed)}
    ordinary = [score for score, keep in zip(scored.scores, scored.ordinary, strict=True) if keep]
    truth = scored.classes[scored.ordinary]
    probabilities = np.array([[score.class_probabilities[name] for name in classes] for score in ordinary])
    predicted = probabilities.argmax(axis=1)
    flagged = [score.verdict is Verdict.ANOMALY for score in ordinary]
    p_values = np.array([score.p_value for score in ordinary])
    return {
        "morphology": {
            "n": len(ordinary),
            "accuracy": _rounded((predicted == truth).mean()),
            "accuracy_interval": bootstrap(
                lambda rows: float((predicted[rows] == truth[rows]).mean()), truth, seed=seed
            ),
            "macro_f1": _rounded(f1_score(truth, predicted, labels=np.unique(truth), average="macro")),
            "recall": {
                name: _rounded((predicted[truth == index] == index).mean())
                for index, name in enumerate(classes)
                if (truth == index).any()
            },
            "expected_calibration_error": _rounded(expected_calibration_error(probabilities, truth)),
        },
        "false_alarms": {
            "n": len(ordinary),
            "flagged": int(sum(flagged)),
            "rate": _rounded(sum(flagged) / len(flagged)),
            "interval": clopper_pearson(int(sum(flagged)), len(flagged)),
            "p_value_ks": _rounded(kstest(p_values, "uniform").statistic),
        },
        "oddities": oddity_figures(scored, seed=seed),
    }


def oddity_figures(scored: ScoredImages, *, seed: int) -> dict[str, Any]:
    """Detection of oddities among ordinary objects, by each detector and by their combination."""
    odd = ~scored.ordinary
    flagged = np.array([score.verdict is Verdict.ANOMALY for score in scored.scores])
    found: dict[str, Any] = {"n": int(odd.sum())}
    if odd.any():
        kinds = scored.oddities[odd]
        found |= {"recall_at_budget": _rounded(flagged[odd].mean())}
        found |= {"recall_by_kind": {str(k): _rounded(flagged[odd][kinds == k].mean()) for k in np.unique(kinds)}}
    if not odd.any() or odd.all():
        return found
    values_by_name = {"combined": np.array([-np.log(score.p_value) for score in scored.scores])}
    for name in scored.scores[0].detectors:
        values_by_name[name] = np.array([score.detectors[name].score for score in scored.scores])
    return found | {
        "auroc": {name: _rounded(roc_auc_score(odd, values)) for name, values in values_by_name.items()},
        "auroc_interval": bootstrap(
            lambda rows: float(roc_auc_score(odd[rows], values_by_name["combined"][rows])), odd, seed=seed
        ),
        "auprc": {name: _rounded(average_precision_score(odd, values)) for name, values in values_by_name.items()},
        "fpr95": {name: _rounded(fpr_at_recall(values, odd, 0.95)) for name, values in values_by_name.items()},
    }


def fpr_at_recall(scores: Floats, odd: NDArray[np.bool_], recall: float) -> float:
    """False-positive rate at the threshold that finds `recall` of the oddities."""
    threshold = np.quantile(scores[odd], 1.0 - recall, method="lower")
    return float((scores[~odd] >= threshold).mean())


def expected_calibration_error(probabilities: Floats, truth: NDArray[np.int64], *, bins: int = 15) -> float:
    """Mean difference between confidence and accuracy over bins of confidence of equal width [Guo et al. 2017]."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    gap = 0.0
    for place in np.unique(places):
        rows = places == place
        gap += rows.mean() * abs(right[rows].mean() - confidence[rows].mean())
    return float(gap)


def clopper_pearson(successes: int, trials: int, *, level: float = 0.95) -> list[float]:
    """The exact binomial interval of a rate [Clopper & Pearson 1934]: its two limits."""
    rest = (1.0 - level) / 2.0
    low = beta.ppf(rest, successes, trials - successes + 1) if successes else 0.0
    high = beta.ppf(1.0 - rest, successes + 1, trials - successes) if successes < trials else 1.0
    return [_rounded(low), _rounded(high)]


def bootstrap(statistic: Callable[[NDArray[np.int64]], float], strata: NDArray[Any], *, seed: int) -> list[float]:
    """The 95 % percentile interval of `statistic(rows)` over 500 resamples within strata: its two limits."""
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(strata == value) for value in np.unique(strata)]
    draws = [statistic(np.concatenate([rng.choice(own, len(own)) for own in groups])) for _ in range(500)]
    return [_rounded(value) for value in np.quantile(draws, (0.025, 0.975))]


def _rounded(value: Any) -> float:
    return round(float(value), 4)
