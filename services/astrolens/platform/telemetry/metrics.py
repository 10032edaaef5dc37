"""The metrics that every service has."""

from enum import StrEnum
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from astrolens import __version__

_BATCH_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_CALL_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Seconds, from a handler that finds nothing to do to one that waits for a store."""
_STAGE_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
"""Seconds, from an image that is handled at once to one that waited for an outage to end."""
_STORE_BUCKETS: Final = (0.001, 0.0025, 0.01, 0.025, 0.1, 0.5, 2.5, 10, 60)
"""Seconds; only nine, since every call of every store has them."""


class Stage(StrEnum):
    """A step of the processing of an image, as a label. Consumers and the model server have labels of their own."""

    FETCH = "fetch"
    INGEST = "ingest"
    ANALYSIS = "analysis"
    ALERT = "alert"


class Metrics:
    """The metrics that every service has. A `stage` is a `Stage`, `model`, or the topic that a consumer reads."""

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
        self.latency = Histogram(
            "astrolens_latency_seconds",
            "Seconds from the arrival of an image, when its receipt was written, to the end of a stage.",
            ["stage"],
            buckets=_STAGE_BUCKETS,
            registry=registry,
        )
        self.stage_seconds = Histogram(
            "astrolens_stage_seconds",
            "Seconds from the end of the stage before (at ingest: from the arrival) to the end of a stage.",
            ["stage"],
            buckets=_STAGE_BUCKETS,
            registry=registry,
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
            "astrolens_retries", "Batches tried again because something did not answer.", ["stage"], registry=registry
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
        self.outbox_pending = Gauge(
            "astrolens_outbox_pending",
            "Documents of a collection with unpublished events at the relay's last look; at most one page is counted.",
            ["collection"],
            registry=registry,
        )
        self.outbox_oldest = Gauge(
            "astrolens_outbox_oldest_seconds",
            "For how long the relay has seen the same event of a collection unpublished.",
            ["collection"],
            registry=registry,
        )
        self.stores = StoreMetrics(registry)


class StoreMetrics:
    """Calls of the record store and the image store."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.seconds = Histogram(
            "astrolens_store_seconds",
            "Seconds a call of a store takes, failed ones included.",
            ["store", "call"],
            buckets=_STORE_BUCKETS,
            registry=registry,
        )
        self.errors = Counter(
            "astrolens_store_errors",
            "Calls that failed because a store did not answer.",
            ["store", "call"],
            registry=registry,
        )
