"""What a source is: it yields images, reports its state, and continues behind a cursor."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from time import time_ns
from typing import Any, Literal, Protocol

from astrolens.contracts import ids
from astrolens.contracts.records import Observation, Outcome, Reason, Receipt
from astrolens.ingestor.arrivals import Arrival

SourceState = Literal["running", "idle", "paused", "unreachable", "misconfigured", "finished", "off"]
SourceCursor = Mapping[str, Any]
"""Behind which image a source continues, as JSON; only the source reads it."""


@dataclass(frozen=True, slots=True)
class SourceImage:
    """An image that a source has, or, with `refusal`, one that it could not use.

    Attributes:
        ref: What the source calls it; yielded again under the same name it is the same arrival.
        observation: What is known of it.
        data: The original bytes; None where it is refused without any.
        refusal: Why it is not worth decoding.
        cursor: Where the source continues after this image.
        began_ns: When fetching it began, nanoseconds since the epoch; its trace begins then.
    """

    ref: str
    observation: Observation
    data: bytes | None = None
    refusal: Reason | None = None
    cursor: SourceCursor | None = None
    began_ns: int = field(default_factory=time_ns, compare=False)

    @property
    def size_bytes(self) -> int:
        """Size of the original, bytes."""
        return len(self.data or b"")

    def arrival(self, *, source: str, batch: str, now: datetime) -> Arrival:
        """The image as an arrival at `now`."""
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
class SourceReport:
    """The state of a source at this moment; the console shows it."""

    state: SourceState = "idle"
    detail: str | None = None
    next_try_at: datetime | None = None
    last_success_at: datetime | None = field(default=None)

    def set(self, state: SourceState, detail: str | None = None, *, next_try_at: datetime | None = None) -> None:
        """Replace the state."""
        self.state, self.detail, self.next_try_at = state, detail, next_try_at


class Source(Protocol):
    """Where images come from."""

    @property
    def name(self) -> str:
        """Its name in the settings and in the books."""

    @property
    def batch(self) -> str:
        """What its arrivals belong to; a cursor is stored for each batch."""

    @property
    def report(self) -> SourceReport:
        """Its present state."""

    def check(self) -> None:
        """Check the settings before anything starts.

        Raises:
            ConfigurationError: It could never work like this.
        """

    def images(self, cursor: SourceCursor | None) -> AsyncGenerator[SourceImage, None]:
        """Its images behind a cursor, at its own rate; it ends when the source has no more."""
