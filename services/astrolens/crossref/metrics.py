"""The metrics of the crossref service: requests by host, answers by catalogue, what waits for a late answer."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from astrolens.contracts.catalogues import CrossmatchStatus, MatchStatus
from astrolens.crossref.breaker import BreakerState
from astrolens.platform.telemetry.archive_metrics import ArchiveMetrics
from astrolens.platform.telemetry.metrics import Metrics

_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Seconds, up to the longest question."""


class CatalogueMetrics:
    """Catalogues are those of the settings, so their number is bounded."""

    def __init__(self, shared: Metrics) -> None:
        self.shared = shared
        registry = shared.registry
        self.archives = ArchiveMetrics(registry)
        self.answers = Counter(
            "astrolens_catalogue_answers",
            "Places asked about, by catalogue and outcome: answered, cached or failed.",
            ["catalogue", "outcome"],
            registry=registry,
        )
        self.failures = Counter(
            "astrolens_catalogue_failures",
            "Questions that got no answer that can be believed, by what was wrong (timeout, reported-error, ...).",
            ["catalogue", "code"],
            registry=registry,
        )
        self.seconds = Histogram(
            "astrolens_catalogue_seconds",
            "Seconds a question to a catalogue takes with the reading of its reply, failed ones included.",
            ["catalogue"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self.breaker = Gauge(
            "astrolens_catalogue_left_alone",
            "1 while a catalogue is not asked because it fails, 0 while it works.",
            ["catalogue"],
            registry=registry,
        )
        self.canaries = Counter(
            "astrolens_catalogue_canaries",
            "Tests of a catalogue on places with a known answer, by outcome: right or wrong.",
            ["catalogue", "outcome"],
            registry=registry,
        )
        self.matches = Counter(
            "astrolens_catalogue_matches",
            "What catalogues said of candidates' places: matched, none, not_covered, failed, stale.",
            ["catalogue", "status"],
            registry=registry,
        )
        self.crossmatches = Counter(
            "astrolens_crossmatches",
            "Cross-matches published, by sum (known, unmatched, undetermined); late answers count again.",
            ["status"],
            registry=registry,
        )
        self.waiting = Gauge(
            "astrolens_crossmatches_waiting",
            "Candidates whose catalogues are asked (again); of many the first 1,000 are counted.",
            registry=registry,
        )
        for status in CrossmatchStatus:
            self.crossmatches.labels(status.value)

    def register(self, catalogue: str) -> None:
        """Create the series of a catalogue at zero: Prometheus sees no increase in a series that begins at one."""
        for outcome in ("answered", "cached", "failed"):
            self.answers.labels(catalogue, outcome)
        for outcome in ("right", "wrong"):
            self.canaries.labels(catalogue, outcome)
        for status in MatchStatus:
            self.matches.labels(catalogue, status.value)
        self.show_breaker(catalogue, BreakerState.UNPROVEN)

    def count_answers(self, catalogue: str, outcome: str, places: int) -> None:
        """Count places that a catalogue was asked about."""
        self.answers.labels(catalogue, outcome).inc(places)

    def count_failure(self, catalogue: str, code: str) -> None:
        """Count a question without an answer."""
        self.failures.labels(catalogue, code).inc()

    def count_canary(self, catalogue: str, *, right: bool) -> None:
        """Count a test of a catalogue."""
        self.canaries.labels(catalogue, "right" if right else "wrong").inc()

    def show_breaker(self, catalogue: str, state: BreakerState) -> None:
        """A catalogue is in this state now."""
        self.breaker.labels(catalogue).set(state in {BreakerState.OPEN, BreakerState.HALF_OPEN})
