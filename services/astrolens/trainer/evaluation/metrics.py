"""Metrics of detection and calibration, as plain numbers. A larger score is stranger."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kstest, rankdata

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def auroc(odd: Mask, scores: Floats) -> float:
    """Area under the ROC curve: the share of pairs (odd, ordinary) in which the odd one scores higher, ties half.

    Args:
        odd: [n], with at least one True and one False.
        scores: [n].
    """
    positives = int(odd.sum())
    negatives = len(odd) - positives
    # The statistic of Mann & Whitney (1947); a hundred times faster than drawing the curve, which the bootstrap needs.
    ranks = float(rankdata(scores)[odd].sum())
    return (ranks - positives * (positives + 1) / 2.0) / (positives * negatives)


def average_precision(odd: Mask, scores: Floats, *, prevalence: float | None = None) -> float:
    """Area under the precision-recall curve, as a step function over the distinct scores.

    Args:
        odd: [n], with at least one True and one False.
        scores: [n].
        prevalence: Share of odd images to weigh the two groups to; None keeps the share of the sample.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, found = scores[order], np.cumsum(odd[order])
    last = np.flatnonzero(np.append(np.diff(ranked) != 0, True))  # the last image of each group of equal scores
    recall = found[last] / odd.sum()
    alarms = (last + 1 - found[last]) / (~odd).sum()
    share = odd.mean() if prevalence is None else prevalence
    # The first group of equal scores holds an image, so that the sum is never zero.
    precision = share * recall / (share * recall + (1.0 - share) * alarms)
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def fpr_at_recall(scores: Floats, odd: Mask, recall: float) -> float:
    """False-positive rate at the threshold that finds `recall` of the oddities."""
    threshold = np.quantile(scores[odd], 1.0 - recall, method="lower")
    return float((scores[~odd] >= threshold).mean())


def recall_at_false_alarms(odd: Mask, scores: Floats, rate: float) -> float:
    """Share of oddities above the score that at most `rate` of these ordinary images reach."""
    ordinary = np.sort(scores[~odd])[::-1]
    allowed = int(rate * len(ordinary) + 1e-9)
    if allowed >= len(ordinary):
        return 1.0
    return float((scores[odd] > ordinary[allowed]).mean())


def precision_at_prevalence(recall: float, false_alarms: float, prevalence: float) -> float:
    """Share of oddities among the flagged images, where `prevalence` of all images are odd; 0 if none is flagged."""
    flagged = prevalence * recall + (1.0 - prevalence) * false_alarms
    return prevalence * recall / flagged if flagged > 0.0 else 0.0


def macro_f1(truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: NDArray[np.int64]) -> float:
    """Mean of the F1 of each of `classes`; 0 for a class that is neither true nor predicted.

    Args:
        truth: [n] class index.
        predicted: [n] class index.
        classes: Indices of the classes that count; predicting another one is only an error.
    """
    count = 1 + int(max(truth.max(), predicted.max(), classes.max()))
    right = np.bincount(truth[truth == predicted], minlength=count)
    both = np.bincount(truth, minlength=count) + np.bincount(predicted, minlength=count)
    return float((2.0 * right[classes] / np.maximum(both[classes], 1)).mean())


def uniformity(p_values: Floats) -> tuple[float, float]:
    """Kolmogorov-Smirnov distance of p-values [n] from uniform, and the p-value of that distance."""
    result = kstest(p_values, "uniform")
    return float(result.statistic), float(result.pvalue)


def expected_calibration_error(probabilities: Floats, truth: NDArray[np.int64], *, bins: int = 15) -> float:
    """Mean difference between confidence and accuracy over bins of confidence of equal width [Guo et al. 2017].

    Args:
        probabilities: [n, classes].
        truth: [n] class index.
        bins: Number of bins between 0 and 1.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    gap = 0.0
    for place in np.unique(places):
        rows = places == place
        gap += rows.mean() * abs(right[rows].mean() - confidence[rows].mean())
    return float(gap)
