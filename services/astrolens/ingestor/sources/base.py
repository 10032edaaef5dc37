"""What a source is: it offers images, says how it is, and can go on where it stopped."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from time import time_ns
from typing import Any, Literal, Protocol

from astrolens.contracts import ids
from astrolens.contracts.records import Observation, Outcome, Reason, Receipt
from astrolens.ingestor.arrivals import Arrival

State = Literal["running", "idle", "paused", "unreachable", "misconfigured", "finished", "off"]
Position = Mapping[str, Any]
"""Where a source goes on, as JSON; only the source understands it."""


@dataclass(frozen=True, slots=True)
class Offer:
    """An image that a source has, or, with `refusal`, one that it could not use.

    Attributes:
        ref: What the source calls it; offered again under the same name it is the same arrival.
        observation: What is known of it.
        data: The bytes as they came; None where it is refused without any.
        refusal: Why it is not worth decoding.
        position: Where the source goes on after this one.
        began_ns: When fetching it began, nanoseconds since the epoch; its trace begins then.
    """

    ref: str
    observation: Observation
    data: bytes | None = None
    refusal: Reason | None = None
    position: Position | None = None
    began_ns: int = field(default_factory=time_ns, compare=False)

    def arrival(self, *, source: str, batch: str, now: datetime) -> Arrival:
        """The offer as an arrival at `now`."""
        digest = None if self.data is None else ids.content_digest(self.data)
        receipt = Receipt(
            receipt_id=ids.receipt_id(source, batch, self.ref),
            source=source,
            batch=batch,
            ref=self.ref,
            observation=self.observation,
            received_at=now,
            outcome=Outcome.RECEIVED if self.refusal is None else Outcome.REJECTED,
            sha256=digest,
            size_bytes=None if self.data is None else len(self.data),
            reason=self.refusal,
            settled_at=None if self.refusal is None else now,
        )
        return Arrival(receipt, self.data)


@dataclass
class Report:
    """How a source is at this moment; the console shows it."""

    state: State = "idle"
    detail: str | None = None
    next_try_at: datetime | None = None
    last_success_at: datetime | None = field(default=None)

    def set(self, state: State, detail: str | None = None, *, next_try_at: datetime | None = None) -> None:
        """Say how it is now."""
        self.state, self.detail, self.next_try_at = state, detail, next_try_at


class Source(Protocol):
    """Where images come from."""

    @property
    def name(self) -> str:
        """Its name in the settings and in the books."""

    @property
    def batch(self) -> str:
        """What its arrivals belong to; a position is kept for each."""

    @property
    def report(self) -> Report:
        """How it is."""

    def check(self) -> None:
        """Look at the settings before anything starts.

        Raises:
            ConfigurationError: It could never work like this.
        """

    def offers(self, position: Position | None) -> AsyncGenerator[Offer, None]:
        """Its images from a position on, at its own pace; it ends when the source has no more."""
