"""How many oddities a person finds with so many looks: by the bundle's rank alone, and by Astronomaly's way.

Astronomaly [Lochner & Bassett 2021] learns a person's scores U from the images seen so far, and ranks by
`S · tanh(δ − 1 + artanh(Ũ))`: S is the score of strangeness, Ũ = 0.1 + 0.85 U/5, δ = exp(d/d₀), d the distance to the
nearest image seen, d₀ its mean. Far from all that was seen, S alone counts; near it, what the person said.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from astrolens.trainer.evaluation import Half
from numpy.typing import NDArray

from tests.bench.science.pictures import Cutouts

Values = NDArray[np.float64]

LOOKS: Final = (50, 100, 200)
_AT_ONCE: Final = 10
_COMPONENTS: Final = 32
_ODD_IN_POOL: Final = 100
_POOLS: Final = 5


def answer_figures(by_survey: Mapping[str, tuple[Cutouts, Values, Values]], *, seed: int = 0) -> dict[str, Any]:
    """Oddities found after 50, 100 and 200 looks in the pool of first looks, mean and spread over five pools.

    Args:
        by_survey: Cutouts, rank values [n] and embeddings [n, d].
        seed: Of the pools.
    """
    found: dict[str, list[list[int]]] = {"rank alone": [], "NeighbourScore": []}
    for draw in range(_POOLS):
        rng = np.random.default_rng([seed, draw])
        odd, values, embeddings = _pool(by_survey, rng)
        found["rank alone"].append(_found(odd, np.argsort(-values, kind="stable")))
        found["NeighbourScore"].append(_found(odd, _neighbour_order(odd, values, embeddings, seed=draw)))
    return {
        name: {
            str(looks): {"mean": round(float(np.mean(own)), 1), "spread": round(float(np.std(own)), 1)}
            for looks, own in zip(LOOKS, zip(*rows, strict=True), strict=True)
        }
        for name, rows in found.items()
    }


def neighbour_score(strangeness: Values, answers: Values, distance: Values) -> Values:
    """Astronomaly's score [n].

    Args:
        strangeness: [n], at least 0.
        answers: [n] what a person is expected to answer, 0 to 5.
        distance: [n] to the nearest image that was answered.
    """
    reach = np.exp(distance / max(float(distance.mean()), 1e-12))
    return strangeness * np.tanh(reach - 1.0 + np.arctanh(0.1 + 0.85 * answers / 5.0))


def _pool(
    by_survey: Mapping[str, tuple[Cutouts, Values, Values]], rng: np.random.Generator
) -> tuple[NDArray[np.bool_], Values, Values]:
    share = _ODD_IN_POOL // len(by_survey)
    parts = []
    for cutouts, values, embeddings in by_survey.values():
        table = cutouts.table
        ordinary = np.flatnonzero(table.ordinary & np.isin(table.roles, list(Half)))
        odd = rng.choice(np.flatnonzero(~table.ordinary & (table.roles == Half.REPORT)), share, replace=False)
        rows = np.concatenate((ordinary, odd))
        parts.append((~table.ordinary[rows], values[rows], embeddings[rows]))
    odd, values, embeddings = (np.concatenate(own) for own in zip(*parts, strict=True))
    return odd, values, embeddings


def _neighbour_order(odd: NDArray[np.bool_], values: Values, embeddings: Values, *, seed: int) -> NDArray[np.int64]:
    from sklearn.decomposition import PCA  # of the trainer's extra, which an installation may lack
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.neighbors import NearestNeighbors

    standard = (embeddings - embeddings.mean(axis=0)) / np.maximum(embeddings.std(axis=0), 1e-9)
    features = PCA(_COMPONENTS, random_state=seed).fit_transform(standard)
    strangeness = np.argsort(np.argsort(values, kind="stable"), kind="stable") / len(values)
    seen = np.argsort(-strangeness, kind="stable")[:_AT_ONCE].tolist()
    while len(seen) < LOOKS[-1]:
        forest = RandomForestRegressor(100, random_state=seed).fit(features[seen], 5.0 * odd[seen])
        distance = NearestNeighbors(n_neighbors=1).fit(features[seen]).kneighbors(features)[0][:, 0]
        score = neighbour_score(strangeness, forest.predict(features), distance)
        score[seen] = -np.inf
        seen += np.argsort(-score, kind="stable")[:_AT_ONCE].tolist()
    return np.array(seen)


def _found(odd: NDArray[np.bool_], order: NDArray[np.int64]) -> list[int]:
    return [int(odd[order[:looks]].sum()) for looks in LOOKS]
