"""Which drawn kinds of oddity find real ones: each kind's own log odds, and the oddity score without the kind."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from astrolens.science.detectors import logsumexp
from astrolens.trainer.evaluation import RINGS, Half, auroc, bootstrap, kind_masks
from numpy.typing import NDArray

from tests.bench.science.known_surveys import SEED
from tests.bench.science.tables import ImageTable

Values = NDArray[np.float64]


def drawn_kind_figures(table: ImageTable, log_odds: Mapping[str, Values]) -> dict[str, dict[str, Any]]:
    """AUROC of each kind's log odds, and what the score of all kinds loses without it, with a paired interval.

    On the half to choose by, rings apart: these figures are for whoever sets the weights of the kinds. The network
    stays as it was trained, so that a kind which only taught the others what to look for seems to find nothing.

    Args:
        table: Of one survey, n images.
        log_odds: [n] of each kind against `ordinary`, by name; empty where a bundle tells no kinds.
    """
    if not log_odds:
        return {}
    rings = kind_masks(table.oddities).get(RINGS, np.zeros(len(table), dtype=np.bool_))
    rows = np.flatnonzero((table.roles == Half.CHOOSE) & ~rings)
    odd = ~table.ordinary[rows]
    values = {name: own[rows] for name, own in log_odds.items()}
    whole = _score(values)
    made = {}
    for name, own in values.items():
        without = _score({other: kept for other, kept in values.items() if other != name})
        made[name] = {
            "auroc": round(auroc(odd, own), 4),
            "loss_without": round(auroc(odd, whole) - auroc(odd, without), 4),
            "loss_interval": bootstrap(
                lambda drawn, without=without: auroc(odd[drawn], whole[drawn]) - auroc(odd[drawn], without[drawn]),
                odd,
                seed=SEED,
            ),
        }
    return made


def _score(log_odds: Mapping[str, Values]) -> Values:
    return logsumexp(np.stack(list(log_odds.values()), axis=1))
