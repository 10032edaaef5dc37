"""Every formula against numbers worked out by hand."""

import math

import numpy as np
import pytest
from astrolens.science.bundle import DetectorEntry
from astrolens.science.detectors import DETECTOR_KINDS, Features, load_detector, logsumexp, softmax

LOGITS = np.log(np.array([[0.7, 0.2, 0.1], [1.0, 1.0, 2.0]]))
EMBEDDING = np.array([[1.0, 0.0], [3.0, 4.0]])
FEATURES = Features.of(LOGITS, EMBEDDING)


def score(kind: str, arrays: dict[str, np.ndarray] | None = None, **parameters: float) -> np.ndarray:
    entry = DetectorEntry(name="tested", kind=kind, title="Tested", parameters=parameters)
    own = {f"tested.{name}": array for name, array in (arrays or {}).items()}
    return load_detector(entry, own).score(FEATURES)


def test_msp() -> None:
    assert score("msp") == pytest.approx([0.3, 0.5])


def test_energy() -> None:
    assert score("energy", temperature=1.0) == pytest.approx([-math.log(1.0), -math.log(4.0)])
    # At T = 2 each term is the root of what it was.
    roots = math.sqrt(0.7) + math.sqrt(0.2) + math.sqrt(0.1)
    assert score("energy", temperature=2.0)[0] == pytest.approx(-2.0 * math.log(roots))


def test_gen() -> None:
    expected = (0.7 * 0.3) ** 0.1 + (0.2 * 0.8) ** 0.1 + (0.1 * 0.9) ** 0.1
    assert score("gen", gamma=0.1)[0] == pytest.approx(expected)


def test_mahalanobis() -> None:
    # Σ = diag(4, 1): the whitener is diag(1/2, 1).
    arrays = {"means": np.array([[1.0, 0.0], [1.0, 3.0]]), "whitener": np.diag([0.5, 1.0])}
    # (3, 4) lies (2, 1) from the second mean: 2²/4 + 1² = 2.
    assert score("mahalanobis", arrays) == pytest.approx([0.0, 2.0])


def test_mahalanobis_with_correlation() -> None:
    covariance = np.array([[2.0, 1.0], [1.0, 3.0]])
    arrays = {"means": np.zeros((1, 2)), "whitener": np.linalg.inv(np.linalg.cholesky(covariance))}
    # zᵀ Σ⁻¹ z with Σ⁻¹ = [[3, −1], [−1, 2]] / 5 and z = (3, 4).
    assert score("mahalanobis", arrays)[1] == pytest.approx((3 * 9 - 2 * 12 + 2 * 16) / 5)


def test_rmds() -> None:
    arrays = {
        "means": np.array([[1.0, 0.0]]),
        "whitener": np.eye(2),
        "mean_0": np.zeros(2),
        "whitener_0": np.eye(2) / 2.0,
    }
    # Unit embeddings (1, 0) and (0.6, 0.8): own distances 0 and 0.8, background 1/4 each.
    assert score("rmds", arrays) == pytest.approx([-0.25, 0.8 - 0.25])


def test_residual() -> None:
    # Only the second direction counts, and its standard deviation is 2: (4 − 1)² / 4.
    arrays = {"mean_0": np.array([5.0, 1.0]), "whitener_0": np.array([[0.0, 0.5]])}
    assert score("residual", arrays) == pytest.approx([1 / 4, 9 / 4])


def test_softmax_and_logsumexp_do_not_overflow() -> None:
    huge = np.array([[1e4, 1e4 - 1.0], [-1e4, -1e4]])
    assert softmax(huge)[1] == pytest.approx([0.5, 0.5])
    assert logsumexp(huge) == pytest.approx([1e4 + math.log(1 + math.exp(-1)), -1e4 + math.log(2)])


@pytest.mark.parametrize("kind", sorted(DETECTOR_KINDS))
def test_a_score_does_not_depend_on_the_batch(kind: str) -> None:
    rng = np.random.default_rng(4)
    d, classes = 64, 4
    everything = {
        "means": rng.normal(size=(classes, d)),
        "whitener": np.tril(rng.normal(size=(d, d))),
        "mean_0": rng.normal(size=d),
        "whitener_0": np.tril(rng.normal(size=(d, d))),
        "origin": rng.normal(size=d),
        "residual": rng.normal(size=(d // 2, d)),
    }
    entry = DetectorEntry(name="tested", kind=kind, title="Tested")
    detector = load_detector(entry, {f"tested.{name}": array for name, array in everything.items()})
    features = Features.of(rng.normal(size=(40, classes)), rng.normal(size=(40, d)), rng.normal(size=(40, 5)))
    whole = detector.score(features)
    for size in (1, 2, 7, 39):
        rows = slice(40 - size, 40)
        part = detector.score(features.rows(rows))
        assert np.array_equal(part, whole[rows])


def test_an_unknown_formula_or_a_missing_array_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="gradnorm"):
        load_detector(DetectorEntry(name="x", kind="gradnorm", title="X"), {})
    with pytest.raises(KeyError, match="means"):
        load_detector(DetectorEntry(name="x", kind="mahalanobis", title="X"), {})


def test_the_oddity_score_is_the_log_odds_of_any_kind() -> None:
    features = Features.of(np.zeros((2, 2)), np.zeros((2, 3)), np.log([[0.5, 0.25, 0.25], [0.8, 0.1, 0.1]]))
    made = load_detector(DetectorEntry(name="x", kind="oddity", title="X"), {}).score(features)
    assert made == pytest.approx(np.log([0.5 / 0.5, 0.2 / 0.8]))
    with pytest.raises(KeyError, match="kinds"):
        load_detector(DetectorEntry(name="x", kind="oddity", title="X"), {}).score(FEATURES)


def test_a_detector_reads_the_tap_of_its_entry() -> None:
    entry = DetectorEntry(name="x", kind="mahalanobis", title="X", feature="early")
    arrays = {"x.means": np.zeros((1, 2)), "x.whitener": np.eye(2)}
    features = Features.of(np.zeros((1, 2)), np.zeros((1, 7)), taps={"early": np.array([[3.0, 4.0]])})
    assert load_detector(entry, arrays).score(features) == pytest.approx([25.0])
