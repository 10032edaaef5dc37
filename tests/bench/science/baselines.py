"""What a score must beat: one-number measures, and IsolationForest on small pictures."""

from typing import Any

import numpy as np
from astrolens.trainer.evaluation import Half, auroc, recall_at_false_alarms
from numpy.typing import NDArray

from tests.bench.science.measures import MEASURES
from tests.bench.science.pictures import Cutouts
from tests.bench.science.tables import FIT

FOREST = "IsolationForest on pixels"


def known_survey_baselines(cutouts: Cutouts) -> dict[str, dict[str, Any]]:
    """AUROC and recall of each baseline on the report half of a survey.

    The direction of a measure is fixed on the choose half; the forest is fitted on ordinary images of `train`.
    """
    table = cutouts.table
    choose, report = table.roles == Half.CHOOSE, table.roles == Half.REPORT
    odd = ~table.ordinary
    made = {}
    for place, name in enumerate(MEASURES):
        values = cutouts.measures[:, place]
        sign = 1.0 if auroc(odd[choose], values[choose]) >= 0.5 else -1.0
        made[name] = _figures(odd[report], sign * values[report])
    forest = forest_scores(cutouts.thumbnails[table.roles == FIT], cutouts.thumbnails[report])
    made[FOREST] = _figures(odd[report], forest)
    return made


def oracle_auroc(odd: NDArray[np.bool_], values: NDArray[np.float64]) -> float:
    """AUROC of a measure in the direction that happens to be right: no method knows it beforehand."""
    found = auroc(odd, values)
    return max(found, 1.0 - found)


def forest_scores(own: NDArray[np.uint8], images: NDArray[np.uint8], *, seed: int = 0) -> NDArray[np.float64]:
    """Scores [n] of IsolationForest on the pixels of `images`, fitted on `own`, both [n, side, side, 3]."""
    from sklearn.ensemble import IsolationForest  # of the trainer's extra, which an installation may lack

    forest = IsolationForest(n_estimators=200, random_state=seed).fit(own.reshape(len(own), -1))
    return np.asarray(-forest.score_samples(images.reshape(len(images), -1)))


def _figures(odd: NDArray[np.bool_], values: NDArray[np.float64]) -> dict[str, Any]:
    return {
        "auroc": round(auroc(odd, values), 4),
        "recall_at_0.01": round(recall_at_false_alarms(odd, values, 0.01), 4),
        "recall_at_0.05": round(recall_at_false_alarms(odd, values, 0.05), 4),
    }
