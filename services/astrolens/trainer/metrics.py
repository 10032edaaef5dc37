"""Metrics of the trainer."""

from prometheus_client import Counter, Histogram

from astrolens.platform.telemetry.metrics import Metrics


class TrainerMetrics:
    """How often rankings are learned, and how long a pass takes."""

    def __init__(self, shared: Metrics) -> None:
        self.rankings_learned = Counter(
            "astrolens_rankings_learned", "Interest rankings that were learned and stored.", registry=shared.registry
        )
        self.ranking_seconds = Histogram(
            "astrolens_ranking_seconds",
            "Seconds from the beginning of a pass to its stored rankings.",
            buckets=(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
            registry=shared.registry,
        )
