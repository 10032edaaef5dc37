"""The ingestor's metrics: where images come from, what decodes them, why they are refused."""

from typing import Final, get_args

from prometheus_client import Counter, Gauge, Histogram

from astrolens.contracts.status import SourceStatus
from astrolens.ingestor.sandbox_process import Cause
from astrolens.platform.telemetry.archive_metrics import ArchiveMetrics
from astrolens.platform.telemetry.metrics import Metrics

_DAY: Final = 86_400.0
_AGE_BUCKETS: Final = (60, 600, 3600, 6 * 3600, _DAY, 7 * _DAY, 30 * _DAY, 365 * _DAY, 3650 * _DAY)
"""Seconds, from tonight's exposure to a survey's archive."""
_DECODE_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10)
"""Seconds, up to the wall clock of one image."""
STATES: Final[tuple[str, ...]] = get_args(SourceStatus.model_fields["state"].annotation)


class IngestMetrics:
    """The ingestor's own metrics."""

    def __init__(self, shared: Metrics) -> None:
        self.shared = shared
        registry = shared.registry
        self.archives = ArchiveMetrics(registry)
        self.observation_age = Histogram(
            "astrolens_observation_age_seconds",
            "Age of an observation when its image arrived, where the source told when it was made.",
            ["source"],
            buckets=_AGE_BUCKETS,
            registry=registry,
        )
        self.refused = Counter(
            "astrolens_refused",
            "Arrivals rejected or dead-lettered, by reason code.",
            ["reason"],
            registry=registry,
        )
        self.source_state = Gauge(
            "astrolens_source_state",
            "1 for the state that a chosen source is in, 0 for the others.",
            ["source", "state"],
            registry=registry,
        )
        self.sandbox_children = Gauge("astrolens_sandbox_children", "Decoding children that are up.", registry=registry)
        self.sandbox_waiting = Gauge(
            "astrolens_sandbox_waiting", "Images that wait for a decoding child.", registry=registry
        )
        self.sandbox_deaths = Counter(
            "astrolens_sandbox_deaths",
            "Decoding children lost: timeout, stalled (did not run), died, malformed, failed (a fault of ours).",
            ["cause"],
            registry=registry,
        )
        for cause in (*get_args(Cause), "failed"):
            self.sandbox_deaths.labels(cause)
        self.sandbox_seconds = Histogram(
            "astrolens_sandbox_seconds",
            "Seconds a child takes for one image.",
            buckets=_DECODE_BUCKETS,
            registry=registry,
        )

    def show_source(self, source: str, state: str | None) -> None:
        """A source is in this state now; with None in no state that this instance knows."""
        for each in STATES:
            self.source_state.labels(source, each).set(each == state)
