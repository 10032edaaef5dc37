"""The metrics of the notifier."""

from typing import Final, get_args

from prometheus_client import Counter, Gauge

from astrolens.contracts.records import AlertRecord
from astrolens.platform.telemetry.label_limiter import LabelLimiter
from astrolens.platform.telemetry.metrics import Metrics

TYPES: Final[tuple[str, ...]] = get_args(AlertRecord.model_fields["alert_type"].annotation)
TENSES: Final[tuple[str, ...]] = get_args(AlertRecord.model_fields["alert_tense"].annotation)


class AlertMetrics:
    """Alerts by survey, deliveries by channel."""

    def __init__(self, shared: Metrics) -> None:
        self.shared = shared
        registry = shared.registry
        self._survey_label = LabelLimiter()
        self._registered: set[str] = set()
        self.alerts = Counter(
            "astrolens_alerts",
            "Alerts raised, updated and retracted, by survey, type and tense (current, test, injection, withheld).",
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

    def register_survey(self, survey: str) -> None:
        """Create the series of a survey at zero: Prometheus sees no increase in a series that begins at one."""
        if (survey := self._survey_label(survey)) not in self._registered:
            self._registered.add(survey)
            for alert_type in TYPES:
                for alert_tense in TENSES:
                    self.alerts.labels(survey, alert_type, alert_tense)

    def count_alert(self, survey: str, alert_type: str, alert_tense: str) -> None:
        """Count an alert that was raised, updated or retracted."""
        self.alerts.labels(self._survey_label(survey), alert_type, alert_tense).inc()
