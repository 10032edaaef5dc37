"""Metrics of the stream of analyses: latency, verdicts, p-values, model, drift."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from time import monotonic
from typing import Final

from astrolens.contracts.alert_holds import alert_hold
from astrolens.contracts.verdicts import Analysis, Verdict
from astrolens.inference.analyzer_metrics import AnalysisMetrics
from astrolens.platform.stores.records import Document
from astrolens.platform.telemetry.label_limiter import LabelLimiter
from astrolens.platform.telemetry.metrics import Stage
from astrolens.science.calibration import COMBINED
from astrolens.science.drift import DriftMonitor

_OF_THE_BUNDLE: Final = frozenset({"own", "pooled"})
"""Calibrations that come with the bundle."""
_MEASURE_EVERY_S: Final = 5.0
"""Measuring drift sorts every window, some milliseconds: too much at each batch."""


class AnalysisMonitor:
    """Records each analysis once, when it is written.

    Args:
        metrics: Where it is recorded.
        timer: A clock, seconds.
    """

    def __init__(self, metrics: AnalysisMetrics, *, timer: Callable[[], float] = monotonic) -> None:
        self._metrics = metrics
        self._timer = timer
        self._survey = LabelLimiter()
        self._created: set[str] = set()
        self._drift = DriftMonitor()
        self._model = ""
        self._measured_at = -float("inf")

    def record(self, written: Sequence[tuple[Document, Analysis]], now: datetime) -> None:
        """Record images, as they were before, with the analyses that were written `now`."""
        for document, analysis in written:
            self._record_model(analysis)
            self._record_verdict(document["observation"]["survey"], analysis)
            # An image that is analysed again has waited for a person, not for the pipeline.
            if document.get("analyzed_at") is None:
                self._record_latency(document, now)
        if self._timer() - self._measured_at >= _MEASURE_EVERY_S:
            self._measured_at = self._timer()
            self._publish_drift()

    def _record_model(self, analysis: Analysis) -> None:
        if analysis.model_digest != self._model:
            self._model = analysis.model_digest
            self._drift.clear()
            # The drift of the previous model must not stand beside that of this one.
            self._metrics.drift.clear()
            self._metrics.drift_images.clear()
        self._metrics.by_fit.labels(analysis.calibration_fit).inc()
        own_terms = analysis.adjusted_p_value is not None or analysis.false_alarms_per_1000 is not None
        if analysis.calibration_fit in _OF_THE_BUNDLE and not own_terms:
            # Every survey model, drift and budget is a calibration of its own, and no sign that analyzers do not agree.
            self._metrics.by_model.labels(analysis.model_digest[:16], analysis.calibration_id).inc()

    def _record_verdict(self, survey: str, analysis: Analysis) -> None:
        survey = self._survey(survey)
        if survey not in self._created:
            self._create_series(survey, analysis.class_probabilities)
        self._metrics.analyzed.labels(survey, analysis.predicted_class, analysis.verdict.value).inc()
        calibration = (
            analysis.calibration_survey if analysis.calibration_fit in _OF_THE_BUNDLE else analysis.calibration_fit
        )
        self._metrics.p_value.labels(calibration).observe(analysis.p_value)
        if analysis.verdict is Verdict.ANOMALY and alert_hold(analysis) is not None:
            self._metrics.held.labels(analysis.calibration_fit).inc()
        p_values = {name: result.p_value for name, result in analysis.detectors.items()}
        if analysis.calibration_fit != "does-not-fit":  # that they are not uniform is known
            self._drift.add(calibration, p_values | {COMBINED: analysis.p_value})

    def _create_series(self, survey: str, classes: Iterable[str]) -> None:
        # Before the first anomaly: of a series that begins at one, Prometheus sees no increase.
        self._created.add(survey)
        for predicted_class in classes:
            for verdict in Verdict:
                self._metrics.analyzed.labels(survey, predicted_class, verdict.value)

    def _record_latency(self, document: Document, now: datetime) -> None:
        shared = self._metrics.shared
        shared.stage_seconds.labels(Stage.ANALYSIS).observe(_seconds(document["ingested_at"], now))
        if received_at := document.get("received_at"):
            shared.latency.labels(Stage.ANALYSIS).observe(_seconds(received_at, now))

    def _publish_drift(self) -> None:
        for drift in self._drift.measure():
            self._metrics.drift.labels(drift.calibration, drift.detector).set(drift.distance)
            self._metrics.drift_images.labels(drift.calibration).set(drift.images)


def _seconds(then: str, now: datetime) -> float:
    return max(0.0, (now - datetime.fromisoformat(then)).total_seconds())
