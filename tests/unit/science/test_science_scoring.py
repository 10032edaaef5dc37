"""Verdicts are a pure function of image, bundle and budget; the committed bundle's are kept as golden figures."""

import json
from dataclasses import asdict
from math import log10
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from astrolens.contracts.verdicts import Verdict
from astrolens.platform.settings import PACKAGED_BUNDLE
from astrolens.science import bundle as files
from astrolens.science.bundle import Bundle, BundleDamaged, DetectorEntry, arrays_to_bytes, write_bundle
from astrolens.science.cutouts import decode_cutout, make_cutout
from astrolens.science.detectors import EMBEDDING, Features
from astrolens.science.preprocessing import preprocess_many
from astrolens.science.scoring import Scorer
from astrolens.science.simulation import simulate

from tests.unit.science.test_science_bundle import small_contents, small_manifest

GOLDEN = Path(__file__).parent / "golden" / "second_light_scores.json"
GOLDEN_IMAGES = GOLDEN.with_name("second_light_images.json")


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load(PACKAGED_BUNDLE)


@pytest.fixture(scope="module")
def outputs(bundle: Bundle) -> tuple[Features, list[str]]:
    """Outputs of an imagined backbone, near the bundle's own means and far from them."""
    rng = np.random.default_rng(17)

    def around(detector: str) -> np.ndarray:
        means = bundle.detectors[f"{detector}.means"].astype(np.float64)
        factor = np.linalg.inv(bundle.detectors[f"{detector}.whitener"].astype(np.float64))
        spread = np.geomspace(0.2, 3.0, 24)[:, None]
        return means[rng.integers(len(means), size=24)] + spread * rng.normal(size=(24, means.shape[1])) @ factor.T

    taps = {entry.feature: around(entry.name) for entry in bundle.manifest.detectors if entry.feature != EMBEDDING}
    taps |= {name: rng.normal(size=(24, d)) for name, d in bundle.manifest.model.taps.items() if name not in taps}
    kinds = rng.normal(size=(24, len(bundle.manifest.kinds))) * 3.0
    # From plainly ordinary to plainly odd, as the distances are.
    kinds[:, 0] += np.linspace(20.0, 0.0, 24)
    features = Features.of(
        rng.normal(size=(24, len(bundle.manifest.classes))) * 3.0, around("mahalanobis"), kinds, taps
    )
    surveys = [*bundle.manifest.surveys, "ska-low"]
    return features, [surveys[i % len(surveys)] for i in range(24)]


def test_the_committed_bundle_is_whole_and_small(bundle: Bundle) -> None:
    assert {"sdss", "efigi", "legacy", "euclid", "simulated-sdss", "simulated-legacy", "simulated-lsst"} <= set(
        bundle.manifest.surveys
    )
    assert bundle.manifest.classes == ("smooth", "spiral", "edge-on", "irregular")
    assert {"msp", "energy", "mahalanobis", "gen", "vim", "oddity", "asymmetry"} <= {
        entry.name for entry in bundle.manifest.detectors
    }
    assert sum(entry.size for entry in bundle.manifest.files.values()) < 30_000_000
    for word in ("/work", "/root", "/home", "/tmp"):
        assert word not in bundle.card
        assert word.encode() not in bundle.model


def test_scores_are_golden(bundle: Bundle, outputs: tuple[Features, list[str]], update_golden: bool) -> None:
    scores = [asdict(score) for score in Scorer(bundle).score(*outputs)]
    document = {"model_digest": bundle.digest, "scores": scores}
    if update_golden:
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(json.dumps(document, indent=1) + "\n")
    expected = json.loads(GOLDEN.read_text())
    assert expected["model_digest"] == bundle.digest
    for made, kept in zip(scores, expected["scores"], strict=True):
        assert made["verdict"] == kept["verdict"]
        assert made["calibration_survey"] == kept["calibration_survey"]
        assert made["predicted_class"] == kept["predicted_class"]
        for figure in ("p_value", "rank_score"):
            assert made[figure] == pytest.approx(kept[figure], rel=1e-9)
        for fact in ("p_value_at_most", "calibration_images", "calibration_fit"):
            assert made[fact] == kept[fact]
        # Another processor rounds exponentials otherwise in the last bit.
        for shares in ("class_probabilities", "kinds"):
            assert made[shares] == pytest.approx(kept[shares], rel=1e-9)
        for name, result in kept["detectors"].items():
            assert made["detectors"][name] == pytest.approx(result, rel=1e-9)


def test_simulated_images_are_golden(bundle: Bundle, update_golden: bool) -> None:
    """The whole chain on the committed bundle; loose, because another processor rounds the network otherwise."""
    images = [simulate(99, index, oddity_rate=0.3) for index in range(12)]
    inputs = preprocess_many([decode_cutout(make_cutout(image.jpeg).jpeg) for image in images], bundle.preprocessing)
    session = onnxruntime.InferenceSession(bundle.model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    values = dict(zip(names, session.run(names, {"pixels": inputs}), strict=True))
    features = Features.of(values.pop("logits"), values.pop("embedding"), values.pop("kinds"), values)
    scores = Scorer(bundle).score(features, [image.survey for image in images])
    document = [
        [image.survey, score.predicted_class, score.p_value] for image, score in zip(images, scores, strict=True)
    ]
    if update_golden:
        GOLDEN_IMAGES.parent.mkdir(exist_ok=True)
        GOLDEN_IMAGES.write_text(json.dumps(document, indent=1) + "\n")
    expected = json.loads(GOLDEN_IMAGES.read_text())
    assert [row[:2] for row in document] == [row[:2] for row in expected]
    assert np.log([row[2] for row in document]) == pytest.approx(np.log([row[2] for row in expected]), abs=0.2)


def test_a_verdict_does_not_depend_on_the_batch(bundle: Bundle, outputs: tuple[Features, list[str]]) -> None:
    features, surveys = outputs
    scorer = Scorer(bundle)
    whole = scorer.score(*outputs)
    for size in (1, 2, 7):
        parts = [
            score
            for first in range(0, 24, size)
            for score in scorer.score(features.rows(slice(first, first + size)), surveys[first : first + size])
        ]
        assert parts == whole


def test_the_golden_inputs_have_ordinary_images_and_anomalies(
    bundle: Bundle, outputs: tuple[Features, list[str]]
) -> None:
    assert {score.verdict for score in Scorer(bundle, 100.0).score(*outputs)} >= {Verdict.ANOMALY, Verdict.ORDINARY}


def test_an_unknown_survey_uses_and_reports_the_pooled_calibration(
    bundle: Bundle, outputs: tuple[Features, list[str]]
) -> None:
    scorer = Scorer(bundle)
    scores = scorer.score(*outputs)
    for score, survey in zip(scores, outputs[1], strict=True):
        assert score.calibration_survey == ("pooled" if survey == "ska-low" else survey)
        assert score.calibration_fit == ("pooled" if survey == "ska-low" else "own")
    assert scorer.calibration_survey("unknown") == "pooled"


def test_p_values_end_and_rank_scores_do_not(bundle: Bundle, outputs: tuple[Features, list[str]]) -> None:
    scores = Scorer(bundle).score(*outputs)
    beyond = [score for score in scores if score.p_value_at_most]
    assert 3 < len(beyond) < len(scores)
    for score in scores:
        end = 1 / (score.calibration_images + 1)
        assert (score.p_value == end) if score.p_value_at_most else (score.p_value > end)
        assert (score.rank_score > -log10(end)) == score.p_value_at_most
        for result in score.detectors.values():
            assert result.p_value > 1e-4
    assert len({score.rank_score for score in beyond}) == len(beyond)


def test_a_replay_gives_the_same_bits(bundle: Bundle, outputs: tuple[Features, list[str]]) -> None:
    assert Scorer(bundle).score(*outputs) == Scorer(Bundle.load(PACKAGED_BUNDLE)).score(*outputs)


def test_the_budget_decides(bundle: Bundle) -> None:
    scorer = Scorer(bundle, false_alarms_per_1000=20.0)
    assert [scorer.verdict(p) for p in (0.0199, 0.02, 0.0201, 0.06, 0.0601)] == [
        Verdict.ANOMALY,
        Verdict.ANOMALY,
        Verdict.NEAR_MISS,
        Verdict.NEAR_MISS,
        Verdict.ORDINARY,
    ]
    assert scorer.calibration_id != Scorer(bundle).calibration_id
    assert Scorer(bundle).calibration_id == Scorer(bundle, 10.0).calibration_id


@pytest.mark.parametrize("budget", [0.0, -1.0, 1000.0, float("nan")])
def test_an_impossible_budget_is_refused(bundle: Bundle, budget: float) -> None:
    with pytest.raises(ValueError, match="false_alarms_per_1000"):
        Scorer(bundle, budget)


def test_an_empty_batch_gives_an_empty_result(bundle: Bundle) -> None:
    empty = np.zeros((0, len(bundle.manifest.classes)), np.float32)
    assert Scorer(bundle).score(Features.of(empty, np.zeros((0, bundle.manifest.model.embedding_dim))), []) == []


def test_outputs_of_another_model_are_refused(bundle: Bundle) -> None:
    with pytest.raises(ValueError, match="embeddings"):
        Scorer(bundle).score(Features.of(np.zeros((2, 4)), np.zeros((2, 7))), ["sdss", "sdss"])


def test_score_quantiles_are_monotone(bundle: Bundle) -> None:
    scorer = Scorer(bundle)
    for detector in ("msp", "energy", "mahalanobis", "combined"):
        for survey in ("sdss", "never-heard-of"):
            quantiles = scorer.score_quantiles(detector, survey)
            assert len(quantiles) == 101
            assert (np.diff(quantiles) >= 0).all()


def test_the_description_is_json(bundle: Bundle) -> None:
    description = json.loads(json.dumps(Scorer(bundle).describe()))
    assert description["digest"] == bundle.digest
    assert description["alpha"] == 0.01
    assert description["surveys"]["sdss"]["n"] > 300
    assert "pooled" in description["surveys"]
    assert 0.5 < description["figures"]["test"]["sdss"]["morphology"]["accuracy"] <= 1.0


def test_by_hand(tmp_path: Path) -> None:
    """One detector, three calibration scores: every number can be worked out on paper."""
    write_bundle(tmp_path / "b", small_manifest(), small_contents())
    scorer = Scorer(Bundle.load(tmp_path / "b"), false_alarms_per_1000=300.0)
    [score] = scorer.score(Features.of(np.log([[0.85, 0.15]]), np.zeros((1, 2))), ["sdss"])
    assert score.class_probabilities == pytest.approx({"smooth": 0.85, "spiral": 0.15})
    assert score.predicted_class == "smooth"
    # 1 − 0.85 = 0.15 is reached by two of the three scores; T = −2 ln 0.75 lies above all three statistics,
    # whose tail starts at 0.3 with p = 1/4 and a mean excess of 0.1.
    assert asdict(score.detectors["msp"]) == pytest.approx({"score": 0.15, "p_value": 0.75, "at_most": False})
    assert (score.p_value, score.p_value_at_most, score.calibration_images) == (0.25, True, 3)
    assert score.rank_score == pytest.approx(np.log10(4) + (-2 * np.log(0.75) - 0.3) / (0.1 * np.log(10)))
    assert score.verdict is Verdict.ANOMALY
    assert (score.calibration_fit, score.kinds) == ("own", {})


def test_a_calibration_that_is_too_small_for_the_budget_flags_nothing_and_says_so(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", small_manifest(), small_contents())
    loaded = Bundle.load(tmp_path / "b")
    strange = Features.of(np.log([[0.51, 0.49]]), np.full((1, 2), 1e3))
    assert Scorer(loaded, 250.0).score(strange, ["sdss"])[0].verdict is Verdict.ANOMALY
    assert Scorer(loaded, 250.0).limits() == {}
    short = Scorer(loaded, 249.0)
    assert short.score(strange, ["sdss"])[0].verdict is Verdict.NEAR_MISS
    assert short.describe()["limits"] == short.limits()
    assert short.limits()["sdss"] == (
        "no image of sdss can be an anomaly: p-values end at 1/4 with 3 calibration images, above the budget of 0.249; "
        "calibrate with at least 4 ordinary images, or allow 250 false alarms per 1,000"
    )


@pytest.mark.parametrize(
    ("detectors", "contents", "file"),
    [
        ([DetectorEntry(name="msp", kind="gradnorm", title="?")], {}, files.DETECTORS),
        ([DetectorEntry(name="msp", kind="msp", title="?", feature="early")], {}, files.MANIFEST),
        ([DetectorEntry(name="msp", kind="mahalanobis", title="?")], {}, files.DETECTORS),
        ([DetectorEntry(name="energy", kind="energy", title="?")], {}, files.CALIBRATION),
        (None, {"sdss/msp": np.arange(3.0), "sdss/combined": np.arange(3.0)}, files.CALIBRATION),
        (None, {"sdss/msp": np.array([2.0, 1.0]), "sdss/combined": np.arange(3.0)}, files.CALIBRATION),
    ],
)
def test_arrays_that_do_not_fit_the_manifest_are_refused(
    tmp_path: Path, detectors: list[DetectorEntry] | None, contents: dict[str, np.ndarray], file: str
) -> None:
    manifest = small_manifest(**({"detectors": tuple(detectors)} if detectors else {}))
    changes = {"calibration__npz": arrays_to_bytes(contents)} if contents else {}
    write_bundle(tmp_path / "b", manifest, small_contents(**changes))
    with pytest.raises(BundleDamaged) as caught:
        Scorer(Bundle.load(tmp_path / "b"))
    assert caught.value.path.name == file
