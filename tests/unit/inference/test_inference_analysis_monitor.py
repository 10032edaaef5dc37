"""Metrics of the stream of analyses, each image once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from astrolens.contracts import examples
from astrolens.contracts.base import utc_text
from astrolens.contracts.verdicts import Analysis, Verdict
from astrolens.inference.analysis_monitor import AnalysisMonitor
from astrolens.inference.analyzer_metrics import AnalysisMetrics
from astrolens.platform.telemetry.metrics import Metrics

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class World:
    def __init__(self) -> None:
        self.metrics = AnalysisMetrics(Metrics("analyzer"))
        self.now_s = 0.0
        self.monitor = AnalysisMonitor(self.metrics, timer=lambda: self.now_s)

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.shared.registry.get_sample_value(name, labels)


@pytest.fixture
def world() -> World:
    return World()


def document(survey: str = "sdss", **changes: Any) -> dict[str, Any]:
    return {
        "observation": {"survey": survey},
        "received_at": utc_text(NOW - timedelta(seconds=40)),
        "ingested_at": utc_text(NOW - timedelta(seconds=4)),
        "analyzed_at": None,
    } | changes


def analysis(p_value: float = 0.5, **changes: Any) -> Analysis:
    said = {"p_value": p_value, "verdict": Verdict.ORDINARY, "predicted_class": "spiral", "calibration_survey": "sdss"}
    return examples.analysis().model_copy(update=said | changes)


def test_verdict_class_p_value_and_time_are_recorded(world: World) -> None:
    world.monitor.record([(document(), analysis(0.002, verdict=Verdict.ANOMALY)), (document(), analysis(0.5))], NOW)
    assert world.value("astrolens_analyzed_total", survey="sdss", predicted_class="spiral", verdict="anomaly") == 1
    assert world.value("astrolens_p_value_bucket", calibration="sdss", le="0.003") == 1
    assert world.value("astrolens_p_value_count", calibration="sdss") == 2
    assert world.value("astrolens_latency_seconds_sum", stage="analysis") == 80
    assert world.value("astrolens_stage_seconds_sum", stage="analysis") == 8


def test_the_first_anomaly_of_a_survey_is_an_increase(world: World) -> None:
    labels = {"survey": "sdss", "predicted_class": "spiral", "verdict": "anomaly"}
    assert world.value("astrolens_analyzed_total", **labels) is None
    world.monitor.record([(document(), analysis())], NOW)
    assert world.value("astrolens_analyzed_total", **labels) == 0


def test_a_second_analysis_counts_but_its_wait_was_no_latency(world: World) -> None:
    world.monitor.record([(document(analyzed_at=utc_text(NOW)), analysis())], NOW)
    assert world.value("astrolens_analyzed_total", survey="sdss", predicted_class="spiral", verdict="ordinary") == 1
    assert world.value("astrolens_latency_seconds_count", stage="analysis") is None


def test_records_of_before_have_no_arrival(world: World) -> None:
    old = document()
    del old["received_at"]
    world.monitor.record([(old, analysis())], NOW)
    assert world.value("astrolens_stage_seconds_count", stage="analysis") == 1
    assert world.value("astrolens_latency_seconds_count", stage="analysis") is None


def test_surveys_that_people_invent_are_few_series(world: World) -> None:
    world.monitor.record([(document(f"mine-{number}"), analysis()) for number in range(100)], NOW)
    collected = {family.name: family for family in world.metrics.shared.registry.collect()}
    surveys = {sample.labels["survey"] for sample in collected["astrolens_analyzed"].samples}
    assert len(surveys) == 33
    assert world.value("astrolens_analyzed_total", survey="other", predicted_class="spiral", verdict="ordinary") == 68


def test_drift_is_told_now_and_then_by_detector(world: World) -> None:
    world.monitor.record([(document(), analysis(0.01)) for _ in range(50)], NOW)
    assert world.value("astrolens_drift_ks", calibration="sdss", detector="combined") == pytest.approx(0.99)
    assert world.value("astrolens_drift_images", calibration="sdss") == 50
    assert world.value("astrolens_drift_ks", calibration="sdss", detector="mahalanobis") is not None
    world.monitor.record([(document(), analysis(0.01))], NOW)
    assert world.value("astrolens_drift_images", calibration="sdss") == 50
    world.now_s = 6.0
    world.monitor.record([(document(), analysis(0.01))], NOW)
    assert world.value("astrolens_drift_images", calibration="sdss") == 52


def test_another_model_begins_anew(world: World) -> None:
    world.monitor.record([(document(), analysis(0.01)) for _ in range(50)], NOW)
    world.now_s = 6.0
    world.monitor.record([(document(), analysis(0.5, model_digest="b" * 64, calibration_survey="pooled"))], NOW)
    assert world.value("astrolens_drift_images", calibration="sdss") is None
    assert world.value("astrolens_drift_images", calibration="pooled") == 1
    digests = {"b" * 16, analysis().model_digest[:16]}
    for digest in digests:
        labels = {"model_digest": digest, "calibration_id": analysis().calibration_id}
        assert world.value("astrolens_analyzed_by_model_total", **labels) in {1, 50}


def test_anomalies_that_raise_no_alert_are_counted_and_survey_models_are_no_disagreement(world: World) -> None:
    found = examples.analysis().model_copy(update={"verdict": Verdict.ANOMALY})
    for fit, at_most in (("own", False), ("pooled", False), ("survey-model", False), ("survey-model", True)):
        update = {"calibration_fit": fit, "p_value_at_most": at_most, "calibration_id": f"{fit}-calibration"}
        world.monitor.record([(document("decals"), found.model_copy(update=update))], NOW)
    assert world.value("astrolens_anomalies_held_total", calibration_fit="own") == 0
    assert world.value("astrolens_anomalies_held_total", calibration_fit="pooled") == 1
    assert world.value("astrolens_anomalies_held_total", calibration_fit="survey-model") == 1
    assert world.value("astrolens_analyzed_by_fit_total", calibration_fit="survey-model") == 2
    by_model = {"model_digest": found.model_digest[:16]}
    assert world.value("astrolens_analyzed_by_model_total", calibration_id="own-calibration", **by_model) == 1
    assert (
        world.value("astrolens_analyzed_by_model_total", calibration_id="survey-model-calibration", **by_model) is None
    )
    assert world.value("astrolens_p_value_count", calibration="survey-model") == 2
