"""Every metric, declared once with its meaning. One registry a process, made by the service, never global."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from astrolens import __version__

_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_CALL_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Seconds, from a handler that finds nothing to do to one that waits for a store."""
_STAGE_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
"""Seconds, from an event that is handled at once to one that waited for an outage to end."""


class Metrics:
    """The metrics of one service. A stage is a step of the pipeline, such as `decode` or `analyze`."""

    def __init__(self, service: str) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        Info("astrolens_service", "Which service and version this process is.", registry=registry).info(
            {"service": service, "version": __version__}
        )

        self.received = Counter(
            "astrolens_received", "Records and images that reached a stage.", ["stage"], registry=registry
        )
        self.settled = Counter(
            "astrolens_settled",
            "Records and images that left a stage, by outcome (done, duplicate, rejected, dead_lettered, ...).",
            ["stage", "outcome"],
            registry=registry,
        )
        self.stage_seconds = Histogram(
            "astrolens_stage_seconds",
            "Seconds from the fact that caused it (arrival, event) to the moment a stage settled it.",
            ["stage"],
            buckets=_STAGE_BUCKETS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "astrolens_in_flight", "Images that this service took and has not settled.", registry=registry
        )

        self.batch_size = Histogram(
            "astrolens_batch_size", "Records a batch.", ["stage"], buckets=_BATCH_BUCKETS, registry=registry
        )
        self.handler_seconds = Histogram(
            "astrolens_handler_seconds",
            "Seconds a handler takes for one batch.",
            ["stage"],
            buckets=_CALL_BUCKETS,
            registry=registry,
        )
        self.retries = Counter(
            "astrolens_retries", "Batches tried again because something was away.", ["stage"], registry=registry
        )
        self.dead_letters = Counter(
            "astrolens_dead_letters", "Records diverted to a dead-letter topic.", ["stage", "error"], registry=registry
        )
        self.lag = Gauge(
            "astrolens_lag", "Records waiting in a topic this service reads.", ["topic"], registry=registry
        )
        self.published = Counter("astrolens_published", "Events acknowledged by the broker.", registry=registry)
        self.relayed = Counter(
            "astrolens_relayed",
            "Events that the outbox relay published because their first publication failed or was cut off.",
            registry=registry,
        )
