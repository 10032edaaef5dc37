"""What the notifier counts."""

from prometheus_client import Counter, Gauge

from astrolens.platform.metrics.shared import Metrics


class AlertMetrics:
    """The notifier's own metrics."""

    def __init__(self, shared: Metrics) -> None:
        self.shared = shared
        registry = shared.registry
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
