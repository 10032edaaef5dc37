"""The state of the running system for console and command line: services, sources, and the books of all arrivals."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field

from astrolens.contracts.base import Contract, UtcTime
from astrolens.contracts.records import ImageState, Outcome


class ServiceStatus(Contract):
    """The status that a service writes to the record store at a constant rate; the console shows it."""

    service: str
    instance: str
    pid: int
    version: str
    started_at: UtcTime
    seen_at: UtcTime
    ready: bool
    state: str = Field(description="`running`, `starting`, `degraded` or `stopped`.")
    detail: str | None = Field(default=None, description="One sentence: the reason, if it is degraded.")
    processed: int = 0
    lag: int | None = Field(default=None, description="Number of unread records in its topics.")
    last_errors: tuple[str, ...] = ()
    info: dict[str, Any] = Field(default_factory=dict)


class SourceStatus(Contract):
    """The status of a source, for the console; `detail` gives the reason if it is unreachable or misconfigured."""

    source: str
    state: Literal["running", "idle", "paused", "unreachable", "misconfigured", "finished", "off"]
    detail: str | None = None
    delivered: int = 0
    rate_per_min: float = 0.0
    last_success_at: UtcTime | None = None
    next_try_at: UtcTime | None = None
    updated_at: UtcTime


class Books(Contract):
    """Arrivals and what became of them, each number counted by itself, so that the sum can be wrong.

    Right are books with received = analyzed + duplicates + rejected + dead_lettered + in_flight; see `imbalance`.
    """

    received: int
    analyzed: int
    duplicates: int
    rejected: int
    dead_lettered: int
    in_flight: int

    @classmethod
    def of(cls, outcomes: Mapping[tuple[str, ...], int], states: Mapping[tuple[str, ...], int]) -> Self:
        """The books from counts of one moment.

        In flight are arrivals without an outcome and images without an analysis. Between two writes of the ingestor an
        image exists whose arrival has no outcome yet: it is one arrival and not two. No more images than there are
        such arrivals can be in that state, and no accepted arrival is without its image; whatever goes beyond that
        stays in the numbers as their imbalance.

        Args:
            outcomes: Number of receipts by (outcome,).
            states: Number of images by (state,).
        """
        undecided = outcomes.get((Outcome.RECEIVED.value,), 0)
        images_ahead = sum(states.values()) - outcomes.get((Outcome.ACCEPTED.value,), 0)
        counted_twice = min(max(images_ahead, 0), undecided)
        return cls(
            received=sum(outcomes.values()),
            analyzed=states.get((ImageState.ANALYZED.value,), 0),
            duplicates=outcomes.get((Outcome.DUPLICATE.value,), 0),
            rejected=outcomes.get((Outcome.REJECTED.value,), 0),
            dead_lettered=outcomes.get((Outcome.DEAD_LETTERED.value,), 0)
            + states.get((ImageState.DEAD_LETTERED.value,), 0),
            in_flight=undecided + states.get((ImageState.INGESTED.value,), 0) - counted_twice,
        )

    @property
    def imbalance(self) -> str | None:
        """One sentence where the numbers contradict each other, None where the books balance."""
        found = self.analyzed + self.duplicates + self.rejected + self.dead_lettered + self.in_flight
        if found == self.received:
            return None
        what = (
            f"{self.received - found} arrivals are accepted and have no image"
            if found < self.received
            else f"{found - self.received} images have no accepted arrival"
        )
        return f"the books do not balance: {self.received} received, {found} found again; {what}"
