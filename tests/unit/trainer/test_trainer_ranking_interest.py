import numpy as np
import pytest
from astrolens.contracts.records import Answer
from astrolens.trainer.ranking.features import PoolFeatures, feature_rows
from astrolens.trainer.ranking.interest import learn_ranking, ranks

ORDINARY, STRANGE = 300, 60


@pytest.fixture(scope="module")
def pool() -> PoolFeatures:
    """300 ordinary images, and 60 strange ones of which every other is an arc and the rest trails."""
    rng = np.random.default_rng(3)
    n = ORDINARY + STRANGE
    embeddings = rng.normal(size=(n, 40))
    arcs, trails = arc_rows(), trail_rows()
    embeddings[arcs, 0] += 4.0
    embeddings[trails, 1] += 4.0
    p_values = rng.uniform(0.02, 1.0, size=(n, 2))
    p_values[ORDINARY:] = rng.uniform(0.001, 0.02, size=(STRANGE, 2))
    kinds = np.full((n, 2), 0.1)
    kinds[arcs, 0] = kinds[trails, 1] = 0.9
    return PoolFeatures(
        image_ids=tuple(f"{row:032x}" for row in range(n)),
        features=feature_rows(embeddings, p_values, kinds),
        strangeness=-np.log10(p_values).sum(axis=1),
        kinds=kinds,
        kind_names=("arc", "trail"),
        is_candidate=np.arange(n) >= ORDINARY,
    )


def arc_rows() -> list[int]:
    return list(range(ORDINARY, ORDINARY + STRANGE, 2))


def trail_rows() -> list[int]:
    return list(range(ORDINARY + 1, ORDINARY + STRANGE, 2))


def answers(pool: PoolFeatures, *, arcs: int = 0, trails: int = 0, ordinary: int = 0) -> dict[str, Answer]:
    given = dict.fromkeys((pool.image_ids[row] for row in arc_rows()[:arcs]), Answer.INTERESTING)
    given |= dict.fromkeys((pool.image_ids[row] for row in trail_rows()[:trails]), Answer.ARTEFACT)
    return given | dict.fromkeys(pool.image_ids[:ordinary], Answer.ORDINARY)


def test_without_answers_the_order_is_that_of_the_bundle(pool: PoolFeatures) -> None:
    learned = learn_ranking(pool, {})
    assert learned.order.tolist() == np.argsort(-pool.strangeness, kind="stable").tolist()
    assert (learned.prefers, learned.avoids) == ((), ())
    assert not learned.artefact.any()


def test_answers_bring_what_is_alike_to_the_front(pool: PoolFeatures) -> None:
    before = learn_ranking(pool, {})
    after = learn_ranking(pool, answers(pool, arcs=6, trails=6, ordinary=4))
    unseen = set(arc_rows()[6:])

    def found(order: np.ndarray) -> int:
        return len(unseen & set(order[:40].tolist()))

    assert found(after.order) > found(before.order) + 5
    assert (after.prefers, after.avoids) == (("arc",), ("trail",))


def test_artefacts_have_a_score_of_their_own(pool: PoolFeatures) -> None:
    learned = learn_ranking(pool, answers(pool, arcs=5, trails=5))
    assert learned.artefact[trail_rows()[5:]].mean() > learned.artefact[arc_rows()[5:]].mean() + 0.2
    assert ((learned.artefact >= 0) & (learned.artefact <= 1)).all()


def test_while_only_artefacts_were_named_strange_images_stay_first(pool: PoolFeatures) -> None:
    learned = learn_ranking(pool, answers(pool, trails=8))
    first = set(learned.order[:STRANGE].tolist())
    assert set(arc_rows()) <= first, "the most ordinary image is least like an artefact, and no discovery"
    place = {int(row): rank for rank, row in enumerate(learned.order)}
    assert np.mean([place[row] for row in arc_rows()]) < np.mean([place[row] for row in trail_rows()[8:]])


def test_an_answer_that_was_taken_back_leaves_no_trace(pool: PoolFeatures) -> None:
    given = answers(pool, arcs=4, trails=4)
    learn_ranking(pool, given | {pool.image_ids[0]: Answer.INTERESTING})
    again = learn_ranking(pool, given)
    assert again.order.tolist() == learn_ranking(pool, given).order.tolist()


def test_the_queue_has_unanswered_images_only_and_no_two_alike_first(pool: PoolFeatures) -> None:
    given = answers(pool, arcs=6, trails=6)
    learned = learn_ranking(pool, given)
    assert len(set(learned.queue.tolist())) == len(learned.queue) == 200
    assert not {pool.image_ids[row] for row in learned.queue} & given.keys()


def test_answers_about_other_images_are_left_out(pool: PoolFeatures) -> None:
    learned = learn_ranking(pool, {"f" * 32: Answer.INTERESTING})
    assert learned.order.tolist() == learn_ranking(pool, {}).order.tolist()


def test_where_answers_follow_the_bundle_its_rank_stays_and_where_they_do_not_it_goes() -> None:
    """Noise for features: only the bundle's own rank can tell what is interesting."""
    rng = np.random.default_rng(5)
    n, given = 400, 120
    features = rng.normal(size=(n, 20))
    strangeness = np.arange(n, dtype=np.float64)
    ids = tuple(f"{row:032x}" for row in range(n))
    pool = PoolFeatures(ids, features, strangeness, np.zeros((n, 0)), (), np.ones(n, dtype=bool))
    shown = rng.permutation(n)[:given].tolist()

    def order(interesting: list[int]) -> np.ndarray:
        answers = dict.fromkeys((ids[row] for row in shown), Answer.ORDINARY)
        return learn_ranking(pool, answers | {ids[row]: Answer.INTERESTING for row in interesting}).order

    followed = order(sorted(shown)[-12:])
    unrelated = order(shown[:12])
    strangest = set(range(n - 80, n))
    assert len(strangest & set(followed[:80].tolist())) > len(strangest & set(unrelated[:80].tolist())) + 15


def test_everything_answered_alike_teaches_nothing() -> None:
    rng = np.random.default_rng(1)
    features = feature_rows(rng.normal(size=(3, 5)), rng.uniform(size=(3, 1)), np.zeros((3, 0)))
    pool = PoolFeatures(("a", "b", "c"), features, np.arange(3.0), np.zeros((3, 0)), (), np.ones(3, dtype=bool))
    learned = learn_ranking(pool, dict.fromkeys(pool.image_ids, Answer.INTERESTING))
    assert learned.order.tolist() == [2, 1, 0]
    assert learned.queue.tolist() == []


def test_ranks() -> None:
    assert ranks(np.array([5.0, 1.0, 3.0, 3.0])).tolist() == [0.75, 0.0, 0.25, 0.5]
