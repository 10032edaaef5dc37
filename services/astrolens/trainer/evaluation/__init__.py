"""Evaluation: metrics with known answers, their intervals, the halves of the data, and the figures of a survey.

The model card and the science benchmark use these functions, so that both print the same figures.
"""

from astrolens.trainer.evaluation.figures import (
    BUDGETS,
    ScoredImages,
    detection_figures,
    false_alarm_figures,
    figures,
    morphology_figures,
    oddity_figures,
    p_values_of,
    rank_values,
)
from astrolens.trainer.evaluation.halves import Half, half_of, source_group, split_groups
from astrolens.trainer.evaluation.intervals import bootstrap, clopper_pearson
from astrolens.trainer.evaluation.kinds import RINGS, RINGS_APART, kind_masks
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

__all__ = [
    "BUDGETS",
    "RINGS",
    "RINGS_APART",
    "Half",
    "ScoredImages",
    "auroc",
    "average_precision",
    "bootstrap",
    "clopper_pearson",
    "detection_figures",
    "expected_calibration_error",
    "false_alarm_figures",
    "figures",
    "fpr_at_recall",
    "half_of",
    "kind_masks",
    "macro_f1",
    "morphology_figures",
    "oddity_figures",
    "p_values_of",
    "precision_at_prevalence",
    "rank_values",
    "recall_at_false_alarms",
    "source_group",
    "split_groups",
    "uniformity",
]
