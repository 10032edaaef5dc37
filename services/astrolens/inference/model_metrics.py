"""Metrics of the model server."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram, Info

from astrolens.contracts.models import ShadowRecord
from astrolens.platform.telemetry.metrics import Metrics

_STEP_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
"""Seconds of a step, for a batch of at most 32."""
SWAPS: Final = ("promoted", "rolled-back", "refused")
"""What becomes of a change of the bundle that serves."""


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
        self.swaps = Counter(
            "astrolens_model_swaps",
            "Changes of the bundle that serves: promoted, rolled-back, or refused, when the old one goes on.",
            ("outcome",),
            registry=registry,
        )
        for outcome in SWAPS:
            self.swaps.labels(outcome)  # a rate needs the zero before the first one
        self.refused = Gauge(
            "astrolens_model_refused", "1 while the promoted bundle cannot be served here, else 0.", registry=registry
        )
        self.shadow_wanted = Gauge(
            "astrolens_shadow_wanted", "Images of the comparison that is under way; 0 without one.", registry=registry
        )
        self.shadow_compared = Gauge("astrolens_shadow_compared", "Images of it that are compared.", registry=registry)
        self.shadow_different = Gauge(
            "astrolens_shadow_different",
            "Images of it on which the verdicts differ: newly-anomalous, no-longer-anomalous.",
            ("change",),
            registry=registry,
        )
        self.shadow_ended = Counter(
            "astrolens_shadow_ended",
            "Comparisons that ended: finished, or given-up, where the candidate could not be loaded.",
            ("outcome",),
            registry=registry,
        )
        for outcome in ("finished", "given-up"):
            self.shadow_ended.labels(outcome)
        self.compare(None)
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

    def compare(self, record: ShadowRecord | None) -> None:
        """Say how far the comparison in shadow is; None: there is none here."""
        self.shadow_wanted.set(record.wanted if record else 0)
        self.shadow_compared.set(record.images if record else 0)
        self.shadow_different.labels("newly-anomalous").set(record.newly_anomalous if record else 0)
        self.shadow_different.labels("no-longer-anomalous").set(record.no_longer_anomalous if record else 0)
