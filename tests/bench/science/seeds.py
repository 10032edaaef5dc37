"""Mean and spread over bundles of one recipe: those of one name with different seeds."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from tests.bench.science.targets import pack_mean

_FIGURES: Final[Mapping[str, Callable[[dict[str, Any]], float]]] = {
    "SDSS AUROC": lambda own: own["test"]["sdss"]["oddities"]["auroc"]["combined"],
    "SDSS recall at 1 %": lambda own: own["test"]["sdss"]["oddities"]["budgets"]["0.01"]["by_verdict"]["recall"],
    "EFIGI AUROC, rings apart": lambda own: own["test"]["efigi"]["oddities"]["by_kind"]["all-but-rings"]["auroc"],
    "EFIGI recall at 1 %": lambda own: own["test"]["efigi"]["oddities"]["budgets"]["0.01"]["by_verdict"]["recall"],
    "SDSS macro-F1": lambda own: own["test"]["sdss"]["morphology"]["macro_f1"],
    "EFIGI macro-F1": lambda own: own["test"]["efigi"]["morphology"]["macro_f1"],
    "four packs AUROC": lambda own: pack_mean(own, "survey_model"),
    "first looks": lambda own: own["first_looks"]["found"],
}


def seed_rows(bundles: dict[str, Any]) -> dict[str, Any]:
    """For each name with two bundles or more: `seeds`, and mean and spread of each figure."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for own in bundles.values():
        by_name.setdefault(own["name"], []).append(own)
    return {
        name: {
            "seeds": ", ".join(str(own["seed"]) for own in group),
            "figures": {title: mean_and_spread([read(own) for own in group]) for title, read in _FIGURES.items()},
        }
        for name, group in by_name.items()
        if len(group) > 1
    }


def mean_and_spread(values: list[float]) -> dict[str, float]:
    return {"mean": round(float(np.mean(values)), 4), "spread": round(float(np.std(values, ddof=1)), 4)}
