"""Detectors, calibration and figures agree with their formulas."""

from dataclasses import replace

import numpy as np
import pytest
from astrolens.contracts.verdicts import Verdict
from astrolens.science.bundle import Combination, DetectorEntry
from astrolens.science.calibration import ClassUnits, ScoreCalibration, load_calibrations
from astrolens.science.detectors import Detector, Features, load_detector, logsumexp
from astrolens.science.scoring import DetectorScore, ImageScores
from astrolens.trainer import evaluation
from astrolens.trainer.fitting import (
    LabelledFeatures,
    calibrate,
    carry_over,
    coarse_centroids,
    fit_detectors,
    p_values_without_own,
    residual_whitener,
    whitener,
)

ENTRIES = (
    DetectorEntry(name="msp", kind="msp", title="MSP"),
    DetectorEntry(name="mahalanobis", kind="mahalanobis", title="Mahalanobis", by_class=True),
    DetectorEntry(name="residual", kind="residual", title="Residual"),
    DetectorEntry(name="vim", kind="vim", title="ViM"),
    DetectorEntry(name="tap", kind="mahalanobis", title="Mahalanobis of a tap", feature="early"),
    DetectorEntry(name="oddity", kind="oddity", title="Oddity"),
)


def scored(count: int, seed: int) -> LabelledFeatures:
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 4, count)
    surveys = np.array(["sdss", "efigi", "simulated-sdss", "simulated-lsst"])[rng.integers(0, 4, count)]
    embedding = rng.normal(size=(count, 6)) + classes[:, None] + (surveys == "sdss")[:, None] * 3.0
    features = Features(
        rng.normal(size=(count, 4)), embedding, rng.normal(size=(count, 3)), {"early": rng.normal(size=(count, 5))}
    )
    return LabelledFeatures(features, classes, surveys)


def fitted(own: LabelledFeatures) -> dict[str, Detector]:
    made = fit_detectors(own, ENTRIES)
    arrays = {name: array for detector in made for name, array in detector.arrays.items()}
    return {detector.entry.name: load_detector(detector.entry, arrays) for detector in made}


def test_the_whitener_whitens() -> None:
    rng = np.random.default_rng(1)
    mixing = np.tril(rng.normal(size=(5, 5))) + 3 * np.eye(5)
    residuals = rng.normal(size=(50_000, 5)) @ mixing.T
    white = residuals @ whitener(residuals).T
    # Ledoit and Wolf shrink the spread of the eigenvalues a little.
    assert np.cov(white.T) == pytest.approx(np.eye(5), abs=0.06)


def test_each_survey_family_has_its_own_means() -> None:
    own = scored(4000, 0)
    detector = fitted(own)["mahalanobis"]
    assert detector.arrays["means"].shape == (4 * 3, 6)
    distances = detector.score(own.features)
    assert distances.mean() < 6.5
    far = replace(own.features, embedding=own.features.embedding + np.array([0, 0, 0, 0, 0, 9.0]))
    assert detector.score(far).mean() > 5 * distances.mean()


def test_each_survey_family_has_its_own_covariance() -> None:
    own = scored(4000, 0)
    wide = own.surveys == "sdss"
    embedding = np.where(wide[:, None], 5.0 * own.features.embedding, own.features.embedding)
    detector = fitted(replace(own, features=replace(own.features, embedding=embedding)))["mahalanobis"]
    assert set(detector.families) == {"sdss", "efigi", "simulated"}
    rows = own.features.rows(wide)
    scaled = replace(rows, embedding=5.0 * rows.embedding)
    # In the covariance of its own survey an ordinary image is as far as the number of dimensions.
    assert detector.score(scaled, "sdss").mean() == pytest.approx(6.0, rel=0.15)
    assert detector.score(scaled, "efigi").mean() > 60.0
    assert np.array_equal(detector.score(scaled, "unheard-of"), detector.score(scaled))


def test_a_detector_of_a_tap_reads_the_tap() -> None:
    own = scored(500, 0)
    detector = fitted(own)["tap"]
    moved = replace(own.features, embedding=own.features.embedding + 9.0)
    assert np.array_equal(detector.score(moved), detector.score(own.features))
    far = replace(own.features, taps={"early": own.features.taps["early"] + 9.0})
    assert detector.score(far).min() > detector.score(own.features).mean()


def test_the_virtual_logit_has_the_scale_of_the_largest_logit() -> None:
    own = scored(500, 0)
    detector = fitted(own)["vim"]
    virtual = detector.score(own.features) + logsumexp(own.features.logits)
    assert virtual.mean() == pytest.approx(own.features.logits.max(axis=1).mean(), rel=1e-5)


def test_the_residual_whitener_keeps_the_directions_of_least_variance() -> None:
    rng = np.random.default_rng(6)
    residuals = rng.normal(size=(20_000, 4)) * np.array([5.0, 0.1, 3.0, 0.5])
    made = residual_whitener(residuals)
    assert np.abs(made) == pytest.approx(np.array([[0, 10, 0, 0], [0, 0, 0, 2]]), abs=0.1)


def test_calibration_is_by_survey_and_pooled_in_equal_parts() -> None:
    units, ordinary = scored(2000, 4), scored(2000, 1)
    detectors = fitted(scored(2000, 3))
    combination = Combination(detectors=("msp", "mahalanobis"))
    kept = calibrate(list(detectors.values()), combination, units=units, ordinary=ordinary, seed=1)
    surveys = {"sdss", "efigi", "simulated-sdss", "simulated-lsst", "pooled"}
    assert {name for name in kept if name.count("/") == 1} == {
        f"{s}/{name}" for s in surveys for name in (*detectors, "combined")
    }
    assert {name for name in kept if name.count("/") == 2} == {
        f"{s}/mahalanobis/{unit}" for s in surveys for unit in ("median", "width")
    }
    assert all((np.diff(scores) >= 0).all() for name, scores in kept.items() if name.count("/") == 1)
    fewest = min((ordinary.surveys == "sdss").sum(), (ordinary.surveys == "efigi").sum())
    assert len(kept["pooled/msp"]) == 3 * fewest
    assert len(kept["sdss/combined"]) == (ordinary.surveys == "sdss").sum()
    loaded = load_calibrations(
        kept, detectors=tuple(detectors), combined_detectors=combination.detectors, tail_share=combination.tail_share
    )["efigi"]
    rows = ordinary.surveys == "efigi"
    scores = {name: detector.score(ordinary.features.rows(rows), "efigi") for name, detector in detectors.items()}
    standardised = loaded.standardised(scores, ordinary.features.logits[rows].argmax(axis=1))
    assert np.array_equal(standardised["msp"], scores["msp"])
    # Compared with themselves too, which makes little difference to so many.
    assert np.median(kept["efigi/combined"]) == pytest.approx(np.median(loaded.statistic(standardised)), rel=0.02)


@pytest.mark.parametrize("by_class", [False, True])
def test_a_calibration_that_is_carried_over_gives_other_outputs_of_an_image_the_same_p_value(*, by_class: bool) -> None:
    """Where the score is a linear function of the one before, in each survey another, p-values do not change."""
    entry = DetectorEntry(name="oddity", kind="oddity", title="Oddity", by_class=by_class)
    detectors, combination = [load_detector(entry, {})], Combination(detectors=("oddity",))
    units, ordinary, new = scored(800, 3), scored(2000, 4), scored(300, 5)
    calibration = calibrate(detectors, combination, units=units, ordinary=ordinary, seed=0)
    slopes = {"sdss": 0.8, "efigi": 1.3, "simulated-sdss": 1.0, "simulated-lsst": 0.5}

    def with_other_heads(own: LabelledFeatures) -> LabelledFeatures:
        assert own.features.kind_logits is not None
        scores = detectors[0].score(own.features, "sdss")
        kinds = own.features.kind_logits.copy()
        slope = np.array([slopes[str(survey)] for survey in own.surveys])
        kinds[:, 0] += scores - (slope * scores + 0.4)
        return replace(own, features=replace(own.features, kind_logits=kinds))

    carried = carry_over(calibration, detectors, before=ordinary, after=with_other_heads(ordinary))
    for name in slopes:
        assert np.array_equal(carried[f"{name}/combined"], calibration[f"{name}/combined"])
        p_values = []
        for arrays, part in ((calibration, new), (carried, with_other_heads(new))):
            rows = np.flatnonzero(part.surveys == name)
            scores = detectors[0].score(part.features.rows(rows), name)
            if by_class:
                own = ClassUnits(arrays[f"{name}/oddity/median"], arrays[f"{name}/oddity/width"])
                scores = own.standardise(scores, part.features.logits[rows].argmax(axis=1))
            p_values.append(ScoreCalibration(arrays[f"{name}/oddity"], 0.02).extrapolated_p_values(scores))
        assert p_values[1] == pytest.approx(p_values[0], rel=1e-6)


def test_a_survey_without_images_is_carried_over_by_those_of_all() -> None:
    detectors = [load_detector(DetectorEntry(name="oddity", kind="oddity", title="Oddity"), {})]
    calibration = {"sdss/oddity": np.arange(5.0), "sdss/combined": np.arange(5.0), "other/oddity": np.arange(5.0)}
    own = scored(400, 6)
    assert own.features.kind_logits is not None
    kinds = own.features.kind_logits - np.array([0.7, 0.0, 0.0])
    after = replace(own, features=replace(own.features, kind_logits=kinds))
    carried = carry_over(calibration, detectors, before=own, after=after)
    assert carried["other/oddity"] == pytest.approx(np.arange(5.0) + 0.7)


def test_a_calibrating_image_is_compared_with_all_others() -> None:
    scores = np.array([3.0, 1.0, 2.0, 9.0])
    found = p_values_without_own(scores, 0.3)
    for row, score in enumerate(scores):
        others = ScoreCalibration(np.sort(np.delete(scores, row)), 0.3)
        assert found[row] == others.extrapolated_p_values(np.array([score]))[0]


def test_new_ordinary_images_are_flagged_as_often_as_the_budget_says() -> None:
    """One set calibrates detectors and combination, dependent as they are: that must cost no validity."""
    rng = np.random.default_rng(8)
    shares = []
    for _ in range(40):
        common = rng.normal(size=(800, 1))
        own, new = np.split(np.exp(0.5 * rng.normal(size=(800, 2)) + common), [300])
        total = sum(-np.log(p_values_without_own(own[:, j], 0.02)) for j in range(2))
        of_new = sum(
            -np.log(ScoreCalibration(np.sort(own[:, j]), 0.02).extrapolated_p_values(new[:, j])) for j in range(2)
        )
        shares.append((ScoreCalibration(np.sort(total)).p_values(of_new) <= 0.05).mean())
    # The standard deviation of one share is .016.
    assert np.mean(shares) == pytest.approx(0.05, abs=0.008)


def test_the_units_of_a_class_put_its_median_at_0_and_its_tail_at_1() -> None:
    rng = np.random.default_rng(3)
    predicted = np.repeat([0, 1], 500)
    scores = np.where(predicted == 0, rng.normal(2.0, 1.0, 1000), rng.normal(50.0, 9.0, 1000))
    units = ClassUnits.of(scores, predicted, 3)
    made = units.standardise(scores, predicted)
    for index in (0, 1):
        assert np.median(made[predicted == index]) == pytest.approx(0.0, abs=1e-9)
        assert np.quantile(made[predicted == index], 0.95) == pytest.approx(1.0)
    # A class without images of its own gets the units of all.
    assert units.median[2] == pytest.approx(np.median(scores))


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
