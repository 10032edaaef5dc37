"""Metrics of the model server."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram, Info

from astrolens.platform.telemetry.metrics import Metrics

_STEP_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
"""Seconds of a step, for a batch of at most 32."""


class ModelMetrics:
    """The model server's own metrics."""

    def __init__(self, shared: Metrics) -> None:
        self.shared = shared
        registry = shared.registry
        self.model = Info(
            "astrolens_model",
            "The model that answers: name, version, digest, calibration and execution provider.",
            registry=registry,
        )
        self.engine_seconds = Histogram(
            "astrolens_engine_seconds",
            "Seconds a batch spends in a step: decode, backbone, score.",
            ["step"],
            buckets=_STEP_BUCKETS,
            registry=registry,
        )
        self.queued = Gauge("astrolens_model_queued", "Images that wait for a batch.", registry=registry)
        self.queue_refusals = Counter(
            "astrolens_model_queue_refusals",
            "Requests refused because the queue, or the memory for requests, was full.",
            registry=registry,
        )
        self.indexed = Gauge(
            "astrolens_model_indexed", "Images in the similarity index of this model.", registry=registry
        )
        self.unusable_embeddings = Counter(
            "astrolens_model_unusable_embeddings",
            "Analyses of this model in the record store whose embedding cannot be indexed.",
            registry=registry,
        )
