"""What a person finds with so many looks: by the bundle's rank alone, by Astronomaly's way, by the interest ranking.

Astronomaly [Lochner & Bassett 2021] learns a person's scores U from the images seen so far, and ranks by
`S · tanh(δ − 1 + artanh(Ũ))`: S is the score of strangeness, Ũ = 0.1 + 0.85 U/5, δ = exp(d/d₀), d the distance to the
nearest image seen, d₀ its mean. Far from all that was seen, S alone counts; near it, what the person said.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from astrolens.contracts.records import Answer
from astrolens.science.scoring import ImageScores
from astrolens.trainer.evaluation import Half, rank_values
from astrolens.trainer.ranking.features import PoolFeatures, feature_rows
from astrolens.trainer.ranking.interest import learn_ranking
from numpy.typing import NDArray

from tests.bench.science.pictures import Cutouts

Values = NDArray[np.float64]

RANK: Final = "rank alone"
NEIGHBOUR_SCORE: Final = "NeighbourScore"
INTEREST: Final = "interest ranking"
LOOKS: Final = (50, 100, 200)
_AT_ONCE: Final = 10
_ANSWERS_PER_FIT: Final = 5
_ARTEFACTS: Final = frozenset({"contaminated", "dont-know"})
_COMPONENTS: Final = 32
_ODD_IN_POOL: Final = 100
_POOLS: Final = 5


@dataclass(frozen=True)
class AnsweredImages:
    """n images of one survey, as rankings see them.

    Attributes:
        cutouts: With their labels.
        scores: n.
        embeddings: [n, d].
        rank: n values of another bundle that rank in place of this one's, where given.
    """

    cutouts: Cutouts
    scores: list[ImageScores]
    embeddings: Values
    rank: Values | None = None


@dataclass(frozen=True)
class _Pool:
    """What a person would say of each image, and what rankings know: strangeness [n], embeddings [n, d], features."""

    answers: list[Answer]
    strangeness: Values
    embeddings: Values
    features: Values
    kinds: Values

    @property
    def interesting(self) -> NDArray[np.bool_]:
        return np.array([answer is Answer.INTERESTING for answer in self.answers])


def answer_figures(
    by_survey: Mapping[str, AnsweredImages], *, half: Half = Half.REPORT, seed: int = 0
) -> dict[str, Any]:
    """Interesting images found after 50, 100 and 200 looks in the pool of first looks, mean and spread over pools.

    Artefacts (EFIGI's `contaminated`, SDSS's `dont-know`) are answered as such and do not count.

    Args:
        by_survey: The images.
        half: Whose oddities are in the pools.
        seed: Of the pools.
    """
    found = found_in_pools(by_survey, half=half, seed=seed)
    return {
        name: {
            str(looks): {"mean": round(float(np.mean(own)), 1), "spread": round(float(np.std(own)), 1)}
            for looks, own in zip(LOOKS, zip(*rows, strict=True), strict=True)
        }
        for name, rows in found.items()
    }


def found_in_pools(
    by_survey: Mapping[str, AnsweredImages], *, half: Half, seed: int, weak: str = "", pools: int = _POOLS
) -> dict[str, list[list[int]]]:
    """Interesting images found after `LOOKS` looks, by ranking and pool.

    Args:
        by_survey: The images.
        half: Whose oddities are in the pools.
        seed: Of the pools.
        weak: Detector that ranks alone in place of the bundle's rank, for a weak ranking; empty: the bundle's.
        pools: Number of pools.
    """
    found: dict[str, list[list[int]]] = {RANK: [], NEIGHBOUR_SCORE: [], INTEREST: []}
    for draw in range(pools):
        pool = _draw_pool(by_survey, half, np.random.default_rng([seed, draw]), weak)
        orders = {
            RANK: np.argsort(-pool.strangeness, kind="stable"),
            NEIGHBOUR_SCORE: _neighbour_order(pool.interesting, pool.strangeness, pool.embeddings, seed=draw),
            INTEREST: _interest_order(pool),
        }
        for name, order in orders.items():
            found[name].append(_found(pool.interesting, order))
    return found


def neighbour_score(strangeness: Values, answers: Values, distance: Values) -> Values:
    """Astronomaly's score [n].

    Args:
        strangeness: [n], at least 0.
        answers: [n] what a person is expected to answer, 0 to 5.
        distance: [n] to the nearest image that was answered.
    """
    reach = np.exp(distance / max(float(distance.mean()), 1e-12))
    return strangeness * np.tanh(reach - 1.0 + np.arctanh(0.1 + 0.85 * answers / 5.0))


def _draw_pool(by_survey: Mapping[str, AnsweredImages], half: Half, rng: np.random.Generator, weak: str = "") -> _Pool:
    share = _ODD_IN_POOL // len(by_survey)
    oddities: list[str] = []
    scores: list[ImageScores] = []
    embeddings = []
    ranks = []
    for images in by_survey.values():
        table = images.cutouts.table
        ordinary = np.flatnonzero(table.ordinary & np.isin(table.roles, list(Half)))
        odd = rng.choice(np.flatnonzero(~table.ordinary & (table.roles == half)), share, replace=False)
        rows = np.concatenate((ordinary, odd))
        oddities += table.oddities[rows].tolist()
        scores += [images.scores[row] for row in rows]
        embeddings.append(images.embeddings[rows].astype(np.float64))
        ranks.append((rank_values(images.scores) if images.rank is None else images.rank)[rows])
    names = sorted(scores[0].detectors)
    kind_names = sorted(scores[0].kinds)
    p_values = np.array([[each.detectors[name].p_value for name in names] for each in scores])
    kinds = np.array([[each.kinds[name] for name in kind_names] for each in scores]).reshape(len(scores), -1)
    whole = np.concatenate(embeddings)
    return _Pool(
        answers=[_answer(oddity) for oddity in oddities],
        strangeness=1.0 - p_values[:, names.index(weak)] if weak else np.concatenate(ranks),
        embeddings=whole,
        features=feature_rows(whole, p_values, kinds),
        kinds=kinds,
    )


def _answer(oddity: str) -> Answer:
    if not oddity:
        return Answer.ORDINARY
    return Answer.ARTEFACT if _ARTEFACTS & set(oddity.split("+")) else Answer.INTERESTING


def _interest_order(pool: _Pool) -> NDArray[np.int64]:
    """The images in the order of the product's queue, which learns after every few answers."""
    n = len(pool.answers)
    ids = tuple(f"{row:032x}" for row in range(n))
    names = tuple(str(place) for place in range(pool.kinds.shape[1]))
    known = PoolFeatures(ids, pool.features, pool.strangeness, pool.kinds, names, np.ones(n, dtype=bool))
    seen: list[int] = []
    given: dict[str, Answer] = {}
    while len(seen) < LOOKS[-1]:
        for row in learn_ranking(known, given).queue[:_ANSWERS_PER_FIT].tolist():
            seen.append(row)
            given[ids[row]] = pool.answers[row]
    return np.array(seen)


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
