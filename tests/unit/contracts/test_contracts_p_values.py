"""The words of a p-value, and analyses of versions that knew less of them."""

import json
from typing import Any

import pytest
from astrolens.contracts import example_documents, examples
from astrolens.contracts.kinds import distinguishable_kinds
from astrolens.contracts.p_values import p_value_words, promises_rate
from astrolens.contracts.records import AlertRecord, ImageRecord
from astrolens.contracts.verdicts import Analysis, CalibrationFit, rank_score_of


@pytest.mark.parametrize(
    ("p_value", "at_most", "fit", "sentence"),
    [
        (1 / 606, True, "own", "stranger than all 605 ordinary images (p ≤ 1/606)"),
        (
            1 / 1231,
            True,
            "pooled",
            "a ranking only: above all 1,230 ordinary images of other surveys (pooled p ≤ 1/1,231); "
            "calibration: pooled",
        ),
        (
            0.0004,
            False,
            "pooled",
            "a ranking only: above 99.9 % of the ordinary images of other surveys (pooled p = 0.0004); "
            "calibration: pooled",
        ),
        (1 / 301, True, "survey-model", "stranger than all 300 images of its survey model (p ≤ 1/301); {model}"),
        (1 / 120, False, "own", "1 in 120 ordinary images is at least as strange (p = 0.0083)"),
        (0.00083, False, "own", "1 in 1,200 ordinary images is at least as strange (p = 0.00083)"),
        (0.5, False, "own", "50 in 100 ordinary images are at least as strange (p = 0.5)"),
        (1.0, False, "own", "100 in 100 ordinary images are at least as strange (p = 1)"),
        (0.0, True, "own", "no ordinary image is at least as strange (p = 0)"),
        (
            0.02,
            False,
            "survey-model",
            "1 in 50 images of its survey model is at least as strange (p = 0.02); {model}",
        ),
        (
            0.02,
            False,
            "does-not-fit",
            "a ranking only: above 98 % of the ordinary images of the bundle (pooled p = 0.02); "
            "calibration: pooled, does not fit",
        ),
    ],
)
def test_the_words_of_a_p_value(p_value: float, at_most: bool, fit: CalibrationFit, sentence: str) -> None:
    said = p_value_words(p_value, at_most=at_most, fit=fit)
    assert said.sentence == sentence.format(model="calibration: survey model")
    assert promises_rate(fit) == ("a ranking only" not in sentence)


def test_a_picture_that_is_too_small_to_judge_says_so() -> None:
    said = p_value_words(1 / 606, at_most=True, too_small=True)
    assert said.meaning == "too small to judge: under 48 pixels a side p-values promise nothing"


def test_an_anomaly_of_a_burst_is_only_ranked() -> None:
    said = p_value_words(1 / 606, at_most=True, in_burst=True)
    assert said.sentence == (
        "a ranking only: above all 605 ordinary images of the bundle (unchecked p ≤ 1/606); "
        "calibration: may not fit, so many are anomalies"
    )
    assert p_value_words(0.004, in_burst=True).figure == "unchecked p = 0.004"


def test_kinds_that_cannot_be_told_apart_are_one() -> None:
    assert distinguishable_kinds({"trail": 0.25, "blend": 0.5, "bad-column": 0.25}) == {
        "trail-or-bad-column": 0.5,
        "blend": 0.5,
    }


def test_a_small_p_value_of_an_older_version_may_be_extrapolated() -> None:
    assert p_value_words(1e-6, older=True).sentence == (
        "1 in 1,000,000 ordinary images is at least as strange, extrapolated by an older version (p = 1e-06)"
    )
    assert "older" not in p_value_words(0.02, older=True).sentence


_LATER = {"calibration_images", "p_value_at_most", "rank_score", "calibration_fit", "kinds", "at_most"}


def _of_an_older_version(document: Any) -> Any:
    """A document without the fields that came with rank scores."""
    if isinstance(document, dict):
        return {name: _of_an_older_version(value) for name, value in document.items() if name not in _LATER}
    return document


def test_an_analysis_of_an_older_version_is_read() -> None:
    old = _of_an_older_version(json.loads(examples.analysis().model_dump_json()))
    analysis = Analysis.model_validate(old | {"p_value": 1e-12})
    assert (analysis.calibration_images, analysis.p_value_at_most, analysis.kinds) == (None, False, {})
    assert analysis.calibration_fit == "own"
    assert analysis.rank_score == pytest.approx(12.0)
    assert not analysis.detectors["msp"].at_most
    assert Analysis.model_validate(old | {"calibration_survey": "pooled"}).calibration_fit == "pooled"


def test_images_and_alerts_of_an_older_version_can_be_sorted() -> None:
    image = ImageRecord.model_validate(_of_an_older_version(json.loads(examples.image().model_dump_json())))
    assert image.rank_score == pytest.approx(rank_score_of(0.0025))
    record = json.loads(example_documents.by_name()["records/alert"].model_dump_json())
    alert = AlertRecord.model_validate(_of_an_older_version(record))
    assert alert.rank_score == pytest.approx(rank_score_of(0.0025))
    assert ImageRecord.model_validate(image.model_dump() | {"p_value": None, "rank_score": None}).rank_score is None


@pytest.mark.parametrize(("p_value", "rank"), [(1.0, 0.0), (0.001, 3.0), (0.0, 30.0)])
def test_the_rank_score_of_a_p_value_alone(p_value: float, rank: float) -> None:
    assert rank_score_of(p_value) == pytest.approx(rank)
