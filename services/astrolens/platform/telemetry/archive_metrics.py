"""Metrics of requests to archives and catalogues on the net."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_ARCHIVE_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Seconds, from a mirror nearby to the longest request that a fetcher allows."""


class ArchiveMetrics:
    """The metrics of a service that sends requests to archives, by host: only those of the settings."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "astrolens_archive_requests",
            "Requests to an archive, by outcome: ok, or the code of what failed (timeout, http-503, ...).",
            ["host", "outcome"],
            registry=registry,
        )
        self.seconds = Histogram(
            "astrolens_archive_seconds",
            "Seconds a request to an archive takes with its redirects, failed ones included.",
            ["host"],
            buckets=_ARCHIVE_BUCKETS,
            registry=registry,
        )
        self.circuit_open = Gauge(
            "astrolens_archive_left_alone",
            "1 while no requests are sent to an archive because it fails (its circuit is open), else 0.",
            ["host"],
            registry=registry,
        )
        self.wait_seconds = Counter(
            "astrolens_archive_paced_seconds",
            "Seconds that requests waited for our own rate limit.",
            ["host"],
            registry=registry,
        )

    def observe(self, host: str, outcome: str, seconds: float) -> None:
        """Count a request that has ended.

        Args:
            host: The archive.
            outcome: `ok`, or the code of what failed.
            seconds: How long it took, redirects included.
        """
        self.requests.labels(host, outcome).inc()
        self.seconds.labels(host).observe(seconds)
