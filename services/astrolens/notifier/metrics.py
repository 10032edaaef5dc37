"""What the notifier counts."""

from typing import Final, get_args

from prometheus_client import Counter, Gauge

from astrolens.contracts.records import AlertRecord
from astrolens.platform.telemetry.label_limiter import LabelLimiter
from astrolens.platform.telemetry.metrics import Metrics

TYPES: Final[tuple[str, ...]] = get_args(AlertRecord.model_fields["alert_type"].annotation)
TENSES: Final[tuple[str, ...]] = get_args(AlertRecord.model_fields["alert_tense"].annotation)


class AlertMetrics:
    """The notifier's own metrics."""

    def __init__(self, shared: Metrics) -> None:
        self.shared = shared
        registry = shared.registry
        self._survey = LabelLimiter()
        self._expected: set[str] = set()
        self.alerts = Counter(
            "astrolens_alerts",
            "Alerts raised, updated and retracted, by survey, type and tense (current, test, injection).",
            ["survey", "alert_type", "alert_tense"],
            registry=registry,
        )
        self.deliveries = Counter(
            "astrolens_deliveries",
            "Alerts delivered to a channel, or given up.",
            ["channel", "outcome"],
            registry=registry,
        )
        self.deliveries_waiting = Gauge(
            "astrolens_deliveries_waiting",
            "Alerts that wait for a channel; of many the first 500 are counted.",
            ["channel"],
            registry=registry,
        )
        self.delivery_oldest = Gauge(
            "astrolens_delivery_oldest_seconds",
            "Age of the oldest alert that waits for a channel.",
            ["channel"],
            registry=registry,
        )

    def expect(self, survey: str) -> None:
        """Alerts of a survey may come: of a series that begins with its first alert, Prometheus sees no increase."""
        if (survey := self._survey(survey)) not in self._expected:
            self._expected.add(survey)
            for alert_type in TYPES:
                for alert_tense in TENSES:
                    self.alerts.labels(survey, alert_type, alert_tense)

    def told(self, survey: str, alert_type: str, alert_tense: str) -> None:
        """An alert was raised, updated or retracted."""
        self.alerts.labels(self._survey(survey), alert_type, alert_tense).inc()
