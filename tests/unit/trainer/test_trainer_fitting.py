"""Detectors, calibration and figures agree with their formulas."""

import numpy as np
import pytest
from astrolens.contracts.verdicts import Verdict
from astrolens.science.bundle import Combination
from astrolens.science.calibration import ScoreCalibration, fisher_statistic
from astrolens.science.detectors import Features, load_detector
from astrolens.science.scoring import DetectorScore, ImageScores
from astrolens.trainer import evaluation
from astrolens.trainer.fitting import (
    DETECTORS,
    LabelledFeatures,
    calibrate,
    coarse_centroids,
    fit_detectors,
    residual_whitener,
    whitener,
)


def scored(count: int, seed: int) -> LabelledFeatures:
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 4, count)
    surveys = np.array(["sdss", "efigi", "simulated-sdss", "simulated-lsst"])[rng.integers(0, 4, count)]
    embedding = rng.normal(size=(count, 6)) + classes[:, None] + (surveys == "sdss")[:, None] * 3.0
    return LabelledFeatures(Features(rng.normal(size=(count, 4)), embedding), classes, surveys)


def test_the_whitener_whitens() -> None:
    rng = np.random.default_rng(1)
    mixing = np.tril(rng.normal(size=(5, 5))) + 3 * np.eye(5)
    residuals = rng.normal(size=(50_000, 5)) @ mixing.T
    white = residuals @ whitener(residuals).T
    # Ledoit and Wolf shrink the spread of the eigenvalues a little.
    assert np.cov(white.T) == pytest.approx(np.eye(5), abs=0.06)


def test_each_survey_family_has_its_own_means() -> None:
    own = scored(4000, 0)
    arrays = fit_detectors(own)
    assert arrays["mahalanobis.means"].shape == (4 * 3, 6)
    detector = load_detector(DETECTORS[2], arrays)
    distances = detector.score(own.features)
    assert distances.mean() < 6.5
    far = Features(own.features.logits, own.features.embedding + np.array([0, 0, 0, 0, 0, 9.0]))
    assert detector.score(far).mean() > 5 * distances.mean()


def test_the_residual_whitener_keeps_the_directions_of_least_variance() -> None:
    rng = np.random.default_rng(6)
    residuals = rng.normal(size=(20_000, 4)) * np.array([5.0, 0.1, 3.0, 0.5])
    made = residual_whitener(residuals)
    assert np.abs(made) == pytest.approx(np.array([[0, 10, 0, 0], [0, 0, 0, 2]]), abs=0.1)


def test_calibration_is_by_survey_and_pooled_in_equal_parts() -> None:
    first, second = scored(2000, 1), scored(1500, 2)
    arrays = fit_detectors(scored(2000, 3))
    combination = Combination(detectors=("msp", "mahalanobis"))
    kept = calibrate(DETECTORS, arrays, combination, first=first, second=second, seed=1)
    surveys = {"sdss", "efigi", "simulated-sdss", "simulated-lsst", "pooled"}
    assert set(kept) == {
        f"{s}/{name}" for s in surveys for name in ("msp", "energy", "mahalanobis", "residual", "combined")
    }
    assert all((np.diff(scores) >= 0).all() for scores in kept.values())
    fewest = min((first.surveys == "sdss").sum(), (first.surveys == "efigi").sum())
    assert len(kept["pooled/msp"]) == 3 * fewest
    assert len(kept["sdss/combined"]) == (second.surveys == "sdss").sum()
    rows = second.surveys == "efigi"
    p = [
        ScoreCalibration(kept[f"efigi/{entry.name}"]).extrapolated_p_values(
            load_detector(entry, arrays).score(second.features)[rows]
        )
        for entry in (DETECTORS[0], DETECTORS[2])
    ]
    assert kept["efigi/combined"] == pytest.approx(np.sort(fisher_statistic(p)))


def test_centroids_are_of_unit_length_and_repeatable() -> None:
    embeddings = np.random.default_rng(0).normal(size=(500, 8))
    made = coarse_centroids(embeddings, count=16, seed=2)
    assert made.shape == (16, 8)
    assert np.linalg.norm(made, axis=1) == pytest.approx(np.ones(16), rel=1e-5)
    assert np.array_equal(made, coarse_centroids(embeddings, count=16, seed=2))


def image(p_value: float, predicted: str, score: float) -> ImageScores:
    verdict = Verdict.ANOMALY if p_value <= 0.01 else Verdict.ORDINARY
    shares = {"a": 0.8, "b": 0.2} if predicted == "a" else {"a": 0.2, "b": 0.8}
    return ImageScores(
        class_probabilities=shares,
        predicted_class=predicted,
        detectors={"msp": DetectorScore(score, p_value)},
        p_value=p_value,
        p_value_at_most=False,
        calibration_images=999,
        calibration_survey="sdss",
        calibration_fit="own",
        rank_score=float(-np.log10(p_value)),
        verdict=verdict,
    )


def test_figures_of_a_survey() -> None:
    scored = evaluation.ScoredImages(
        scores=[
            image(0.5, "a", 0.1),
            image(0.009, "a", 0.4),
            image(0.7, "b", 0.0),
            image(0.3, "b", 0.2),
            image(0.001, "a", 0.3),
            image(0.6, "b", 0.05),
        ],
        classes=np.array([0, 0, 1, 0, -1, -1]),
        oddities=np.array(["", "", "", "", "ring", "merger"]),
    )
    made = evaluation.figures(scored, ("a", "b"), seed=0)
    assert made["morphology"]["accuracy"] == 0.75
    assert made["morphology"]["recall"] == pytest.approx({"a": 0.6667, "b": 1.0})
    assert made["morphology"]["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2, abs=1e-4)
    assert made["false_alarms"]["flagged"] == 1
    assert made["oddities"]["recall_by_kind"] == {"merger": 0.0, "ring": 1.0}
    # By p-value the ring beats all four ordinary pictures and the merger one; by score they beat three and one.
    assert made["oddities"]["auroc"] == pytest.approx({"combined": 5 / 8, "msp": 4 / 8})
