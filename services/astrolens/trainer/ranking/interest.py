"""The interest ranking of a pool, learned from answers.

Two logistic heads on the features: *interesting* against everything else, and *artefact* against everything else. A
sample of unanswered images stands for the ordinary ones with little weight, because nobody labels those. The order is
`rank(interest) + w · rank(strangeness)` with `w = 20 / (20 + n)` after n answers: without answers it is that of the
bundle, and each answer gives it less weight. The bundle's rank is also a feature of the *interesting* head, less
penalised: answers say how much it is worth, so that it stays where it finds and goes where it does not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from astrolens.contracts.rankings import MAX_QUEUED
from astrolens.contracts.records import Answer
from astrolens.trainer.ranking.features import PoolFeatures, Rows

PRIOR_ANSWERS: Final = 20
"""Answers after which the bundle's own rank weighs half as much as theirs."""
UNANSWERED: Final = 400
"""Unanswered images that stand for the ordinary ones, at most."""
UNANSWERED_WEIGHT: Final = {Answer.INTERESTING: 0.3, Answer.ARTEFACT: 0.1}
"""Of one, before classes are balanced. Who looks at the strangest first answers *ordinary* of strange images only."""
INVERSE_PENALTY: Final = {Answer.INTERESTING: 0.003, Answer.ARTEFACT: 0.3}
"""`C` of each logistic head, on features of unit spread. The one that ranks does best with a strong penalty; with that,
the artefact score would stay near one half."""
RANK_SCALE: Final = 2.0
"""Spread of the bundle's rank as a feature, where others have one: its weight costs a quarter of theirs. With 3 it
finds no more, and where features alone tell what interests, answers take longer to show it."""
ARTEFACT_PENALTY: Final = 0.1
"""Rank that an image loses while only artefacts were named."""
_FIRST_IMAGES: Final = 50
"""Images whose kinds say what a ranking prefers, at most."""
_NAMED_KINDS: Final = 3
_SIMILARITY_PENALTY: Final = 0.01
_UNCERTAINTY_SHARE: Final = 0.005
"""Shares in the queue, in ranks. More diversity finds less in the first 50 looks: 12.8 with .02, 13.7 with .01."""


@dataclass(frozen=True)
class LearnedRanking:
    """A ranking of a pool of n images.

    Attributes:
        order: [n] rows, the most interesting first.
        interest: [n] by row, 0 to 1: the share of the pool that interests less.
        artefact: [n] by row, 0 to 1: the score of the artefact head; zero while nobody has named one.
        queue: Rows of unanswered images in the order that is most useful to answer.
        prefers, avoids: Kinds of strangeness that the first images have more, or less, of than the candidates.
    """

    order: NDArray[np.int64]
    interest: Rows
    artefact: Rows
    queue: NDArray[np.int64]
    prefers: tuple[str, ...]
    avoids: tuple[str, ...]


def learn_ranking(pool: PoolFeatures, answers: Mapping[str, Answer], *, seed: int = 0) -> LearnedRanking:
    """Rank a pool by answers; those about images outside the pool are left out.

    Args:
        pool: The images.
        answers: By image id.
        seed: Of the sample of unanswered images.
    """
    row_of = {image: row for row, image in enumerate(pool.image_ids)}
    rows = {row_of[image]: answer for image, answer in answers.items() if image in row_of}
    strangeness = ranks(pool.strangeness)
    # −ln of the share that is stranger: of unit spread, and it tells the first ten from the first hundred.
    stranger = -RANK_SCALE * np.log1p(-strangeness)
    interesting = _logits(np.column_stack([pool.features, stranger]), rows, Answer.INTERESTING, seed=seed)
    artefact = _logits(pool.features, rows, Answer.ARTEFACT, seed=seed)
    score = strangeness
    if interesting is not None:
        score = ranks(interesting) + PRIOR_ANSWERS / (PRIOR_ANSWERS + len(rows)) * strangeness
    elif artefact is not None:
        # Nothing interesting was found yet: what is like the artefacts goes behind what is as strange.
        score = strangeness - ARTEFACT_PENALTY * _probability(artefact)
    order = np.argsort(-score, kind="stable")
    unanswered = np.array([row for row in order if row not in rows], dtype=np.int64)
    prefers, avoids = _kinds(pool, order) if interesting is not None else ((), ())
    return LearnedRanking(
        order=order,
        interest=ranks(score),
        artefact=np.zeros(len(pool)) if artefact is None else _probability(artefact),
        queue=_queue(pool, ranks(score), interesting, unanswered),
        prefers=prefers,
        avoids=avoids,
    )


def ranks(values: Rows) -> Rows:
    """Ranks from 0 (smallest) to just below 1; equal values in the order of their rows."""
    return np.argsort(np.argsort(values, kind="stable"), kind="stable") / len(values)


def _logits(features: Rows, rows: Mapping[int, Answer], wanted: Answer, *, seed: int) -> Rows | None:
    """Logits [n] of a head for one answer on features [n, d]; None while nobody has given it."""
    positive = [row for row, answer in rows.items() if answer is wanted]
    if not positive:
        return None
    negative = [row for row, answer in rows.items() if answer is not wanted]
    others = np.setdiff1d(np.arange(len(features)), np.fromiter(rows, dtype=np.int64))
    sample = np.random.default_rng(seed).permutation(others)[:UNANSWERED]
    chosen = np.concatenate([positive, negative, sample]).astype(np.int64)
    truth = np.arange(len(chosen)) < len(positive)
    if truth.all():
        return None
    weights = np.concatenate([np.ones(len(rows)), np.full(len(sample), UNANSWERED_WEIGHT[wanted])])
    for side in (truth, ~truth):
        weights[side] *= 0.5 * len(rows) / weights[side].sum()
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - see `features.feature_rows`

    head = LogisticRegression(C=INVERSE_PENALTY[wanted], max_iter=300)
    head.fit(features[chosen], truth, sample_weight=weights)
    return np.asarray(head.decision_function(features))


def _probability(logits: Rows) -> Rows:
    return 1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0)))


def _queue(pool: PoolFeatures, interest: Rows, logits: Rows | None, unanswered: NDArray[np.int64]) -> NDArray[np.int64]:
    """The order that is most useful to answer: interesting, doubtful, and unlike what stands before it.

    Maximal marginal relevance [Carbonell & Goldstein 1998] with the cosine of the features as similarity.
    """
    shortlist = unanswered[: 2 * MAX_QUEUED]
    if not len(shortlist):
        return shortlist
    value = interest[shortlist].copy()
    if logits is not None:
        chance = _probability(logits[shortlist])
        value += _UNCERTAINTY_SHARE * (1.0 - np.abs(2.0 * chance - 1.0))
    vectors = pool.features[shortlist]
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    nearest = np.zeros(len(shortlist))
    chosen: list[int] = []
    open_rows = np.ones(len(shortlist), dtype=bool)
    for _ in range(min(MAX_QUEUED, len(shortlist))):
        best = int(np.argmax(np.where(open_rows, value - _SIMILARITY_PENALTY * nearest, -np.inf)))
        open_rows[best] = False
        chosen.append(best)
        nearest = np.maximum(nearest, vectors @ vectors[best])
    return shortlist[chosen]


def _kinds(pool: PoolFeatures, order: NDArray[np.int64]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Kinds that the first images have more, and less, of than the candidates on the whole."""
    if not pool.kind_names or not pool.is_candidate.any():
        return (), ()
    # A quarter of the candidates at most: the first images of a short list are nearly all of it.
    first = order[: max(1, min(_FIRST_IMAGES, int(pool.is_candidate.sum()) // 4))]
    excess = pool.kinds[first].mean(axis=0) - pool.kinds[pool.is_candidate].mean(axis=0)
    by_excess = np.argsort(-excess, kind="stable")
    more = tuple(pool.kind_names[row] for row in by_excess[:_NAMED_KINDS] if excess[row] > 0)
    less = tuple(pool.kind_names[row] for row in by_excess[::-1][:_NAMED_KINDS] if excess[row] < 0)
    return more, less
