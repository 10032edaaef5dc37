"""Counts what happens to arrivals: received, fetched, settled, and the state of sources."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from astrolens.contracts.records import Outcome, Reason, Receipt
from astrolens.contracts.status import SourceStatus
from astrolens.ingestor.arrivals import Arrival, Settlement
from astrolens.ingestor.metrics import IngestMetrics
from astrolens.platform.telemetry.label_limiter import LabelLimiter
from astrolens.platform.telemetry.metrics import Stage


class Observer(Protocol):
    """Observes what happens to arrivals."""

    def received(self, receipts: Sequence[Receipt]) -> None:
        """These receipts are new in the books."""

    def fetched(self, arrivals: Sequence[Arrival], now: datetime) -> None:
        """The bytes of these arrivals, which were only URLs, were fetched."""

    def settled(self, settlements: Sequence[Settlement], now: datetime) -> None:
        """These were settled."""

    def unreadable(self, reasons: Sequence[Reason]) -> None:
        """Receipts were dead-lettered because they cannot be read, for these reasons."""


class NullObserver:
    """Observes nothing."""

    def received(self, receipts: Sequence[Receipt]) -> None:
        """See `Observer`."""

    def fetched(self, arrivals: Sequence[Arrival], now: datetime) -> None:
        """See `Observer`."""

    def settled(self, settlements: Sequence[Settlement], now: datetime) -> None:
        """See `Observer`."""

    def unreadable(self, reasons: Sequence[Reason]) -> None:
        """See `Observer`."""


class PrometheusObserver:
    """Writes the metrics."""

    def __init__(self, metrics: IngestMetrics) -> None:
        self._metrics = metrics
        self._reason = LabelLimiter(max_values=64)
        for outcome in Outcome:
            if outcome is not Outcome.RECEIVED:
                metrics.shared.settled.labels(Stage.INGEST, outcome.value)

    def received(self, receipts: Sequence[Receipt]) -> None:
        """See `Observer`. What its source could not use is settled already."""
        self._metrics.shared.received.labels(Stage.INGEST).inc(len(receipts))
        for receipt in receipts:
            if receipt.observation.observed_at is not None:
                age_s = (receipt.received_at - receipt.observation.observed_at).total_seconds()
                self._metrics.observation_age.labels(receipt.source).observe(max(age_s, 0.0))
            if receipt.outcome is not Outcome.RECEIVED:
                self._count(receipt.outcome, None if receipt.reason is None else receipt.reason.code)

    def fetched(self, arrivals: Sequence[Arrival], now: datetime) -> None:
        """See `Observer`."""
        for arrival in arrivals:
            self._metrics.shared.latency.labels(Stage.FETCH).observe(_since(arrival.receipt, now))

    def settled(self, settlements: Sequence[Settlement], now: datetime) -> None:
        """See `Observer`."""
        shared = self._metrics.shared
        for one in settlements:
            self._count(one.outcome, None if one.reason is None else one.reason.code)
            waited_s = _since(one.arrival.receipt, now)
            shared.latency.labels(Stage.INGEST).observe(waited_s)
            shared.stage_seconds.labels(Stage.INGEST).observe(waited_s)

    def unreadable(self, reasons: Sequence[Reason]) -> None:
        """See `Observer`."""
        for reason in reasons:
            self._count(Outcome.DEAD_LETTERED, reason.code)

    def source(self, status: SourceStatus) -> None:
        """The state of a source that this instance feeds from."""
        self._metrics.show_source(status.source, status.state)

    def source_lease_lost(self, source: str) -> None:
        """Another instance may feed from a source: this one shows it in no state."""
        self._metrics.show_source(source, None)

    def _count(self, outcome: Outcome, reason: str | None) -> None:
        self._metrics.shared.settled.labels(Stage.INGEST, outcome.value).inc()
        if reason is not None:
            self._metrics.refused.labels(self._reason(reason)).inc()


def _since(receipt: Receipt, now: datetime) -> float:
    return max(0.0, (now - receipt.received_at).total_seconds())
