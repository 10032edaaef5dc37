"""Metrics of the analyzer: each image counts once, when its verdict is written."""

from typing import Final, get_args

from prometheus_client import Counter, Gauge, Histogram

from astrolens.contracts.verdicts import CalibrationFit
from astrolens.platform.telemetry.metrics import Metrics

_P_BUCKETS: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Even steps, which a calibrated stream fills evenly, and the small values that verdicts depend on."""


class AnalysisMetrics:
    """The analyzer's own metrics.

    `calibration` is a survey of the bundle, `pooled`, `survey-model` (of any survey) or `does-not-fit`.
    """

    def __init__(self, shared: Metrics) -> None:
        self.shared = shared
        registry = shared.registry
        self.analyzed = Counter(
            "astrolens_analyzed",
            "Images analysed, by survey, predicted class and verdict.",
            ["survey", "predicted_class", "verdict"],
            registry=registry,
        )
        self.by_model = Counter(
            "astrolens_analyzed_by_model",
            "Images analysed, by the model and the calibration revision that judged them.",
            ["model_digest", "calibration_id"],
            registry=registry,
        )
        self.by_fit = Counter(
            "astrolens_analyzed_by_fit",
            "Images analysed, by whose ordinary images they are measured against: own, survey-model, pooled, "
            "does-not-fit.",
            ["calibration_fit"],
            registry=registry,
        )
        self.held = Counter(
            "astrolens_anomalies_held",
            "Anomalies that raise no alert, because their calibration promises no rate of false alarms.",
            ["calibration_fit"],
            registry=registry,
        )
        for fit in get_args(CalibrationFit):
            self.by_fit.labels(fit)
            self.held.labels(fit)
        self.p_value = Histogram(
            "astrolens_p_value",
            "p-values of analysed images; of ordinary ones they are uniform.",
            ["calibration"],
            buckets=_P_BUCKETS,
            registry=registry,
        )
        self.drift = Gauge(
            "astrolens_drift_ks",
            "Kolmogorov-Smirnov distance of recent p-values from uniform, 0 to 1; `combined` is what verdicts use.",
            ["calibration", "detector"],
            registry=registry,
        )
        self.drift_images = Gauge(
            "astrolens_drift_images", "Recent images that the drift is measured on.", ["calibration"], registry=registry
        )
