"""The documents of the record store, which is the truth about every image.

Every document has `pending`: events that its last writes caused and that nobody has published yet.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from astrolens.contracts.base import Contract, DecDeg, PValue, RaDeg, Slug, UtcTime
from astrolens.contracts.sky import unit_vector
from astrolens.contracts.verdicts import Analysis, Verdict


class PendingEvent(Contract):
    """An event written together with the document that caused it; the outbox relay publishes it.

    `payload` is the event as JSON text, or base64 where `binary` says so (Avro).
    """

    event_id: str
    topic: str
    key: str
    payload: str
    binary: bool = False
    content_type: str = "application/json"
    traceparent: str | None = Field(default=None, description="W3C trace context of what caused it, where traced.")


class Reason(Contract):
    """Why an image was rejected or dead-lettered: a code for counting, a sentence for people."""

    code: Slug
    detail: str


class Outcome(StrEnum):
    """What became of an arrival."""

    RECEIVED = "received"
    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    DEAD_LETTERED = "dead_lettered"


class ImageState(StrEnum):
    """Where an accepted image is."""

    INGESTED = "ingested"
    ANALYZED = "analyzed"
    DEAD_LETTERED = "dead_lettered"


class Answer(StrEnum):
    """A person's answer to `is this strange?`."""

    INTERESTING = "interesting"
    ARTEFACT = "artefact"
    ORDINARY = "ordinary"


class Position(Contract):
    """ICRS position with its unit vector.

    The vector makes a cone search six range conditions that are right at the poles and at RA = 0.
    """

    ra_deg: RaDeg
    dec_deg: DecDeg
    x: float = 0.0
    y: float = 0.0
    z: float = 0.0

    @model_validator(mode="before")
    @classmethod
    def _derive_vector(cls, value: Any) -> Any:
        if isinstance(value, dict) and "x" not in value:
            x, y, z = unit_vector(float(value["ra_deg"]), float(value["dec_deg"]))
            return {**value, "x": x, "y": y, "z": z}
        return value


class Observation(Contract):
    """What is known of an image beside its pixels, as its source told it."""

    survey: Slug = Field(default="unknown", description="Lower case; `unknown` is calibrated with the pooled set.")
    name: str | None = Field(default=None, max_length=200, description="Object or file name, for people.")
    position: Position | None = None
    pixel_scale_arcsec: float | None = Field(default=None, gt=0, description="Arcseconds a pixel of the original.")
    observed_at: UtcTime | None = None
    bands: tuple[str, ...] = ()
    credit: str | None = Field(default=None, max_length=500)
    url: str | None = Field(default=None, max_length=2000, description="Where the original can be seen again.")
    simulated: bool = False
    injected: bool = Field(default=False, description="A blind injection: kept out of every public topic.")
    extra: dict[str, str] = Field(default_factory=dict, description="Anything else known, such as CSV columns.")


class Receipt(Contract):
    """One arrival, whatever became of it. The books are counted from these."""

    receipt_id: str
    source: str
    batch: str = Field(description="What it arrived with: an ingest run or a source's session.")
    ref: str = Field(description="What the source calls it: a file name, a URL, a number.")
    observation: Observation
    received_at: UtcTime
    outcome: Outcome = Outcome.RECEIVED
    sha256: str | None = Field(default=None, description="Digest of the original bytes, once they are here.")
    size_bytes: int | None = None
    image_id: str | None = None
    reason: Reason | None = None
    settled_at: UtcTime | None = None
    pending: tuple[PendingEvent, ...] = ()


class Original(Contract):
    """The bytes as they came; only the decoding sandbox ever reads them."""

    key: str
    sha256: str
    size_bytes: int
    media_type: str
    width: int
    height: int


class CutoutInfo(Contract):
    """The canonical picture that model, console and alerts read."""

    key: str
    sha256: str
    width: int
    height: int
    scale: float = Field(description="Cutout pixels per original pixel.")
    stretch: str = Field(description="How values became 8-bit RGB, such as `none` or `asinh q=8 ...`.")


class NearDuplicate(Contract):
    """An image that looks alike: linked, never dropped."""

    image_id: str
    distance: int = Field(description="Hamming distance of the 64-bit perceptual hashes.")


class Label(Contract):
    """One answer of one person; `answer` None takes the last one back."""

    label_id: str
    answer: Answer | None
    user: str
    recorded_at: UtcTime
    note: str | None = Field(default=None, max_length=2000)


class ImageRecord(Contract):
    """All that is known of one image."""

    image_id: str
    receipt_id: str = Field(description="The arrival that brought it first; later ones are duplicates.")
    source: str
    batch: str
    observation: Observation
    original: Original
    cutout: CutoutInfo
    phash: str = Field(description="64-bit perceptual hash, 16 hexadecimal digits.")
    near_duplicates: tuple[NearDuplicate, ...] = ()
    state: ImageState = ImageState.INGESTED
    received_at: UtcTime | None = Field(default=None, description="When the arrival that brought it was booked.")
    ingested_at: UtcTime
    offered_at: UtcTime = Field(description="When its pending analysis was last published.")
    reason: Reason | None = None
    analysis: Analysis | None = None
    verdict: Verdict | None = None
    p_value: PValue | None = None
    predicted_class: str | None = None
    analyzed_at: UtcTime | None = None
    label: Answer | None = None
    labeled_at: UtcTime | None = None
    labels: tuple[Label, ...] = ()
    pending: tuple[PendingEvent, ...] = ()


class Delivery(Contract):
    """How far an alert got on one channel."""

    channel: str = Field(description="A name without secrets, such as `mailto #1`.")
    state: Literal["waiting", "delivered", "failed"] = "waiting"
    attempts: int = 0
    error: str | None = None
    at: UtcTime | None = None


class AlertRecord(Contract):
    """An alert and what became of it."""

    alert_id: str
    image_id: str
    alert_type: Literal["initial", "update", "retraction"] = "initial"
    alert_tense: Literal["current", "test", "injection"] = "current"
    survey: str
    predicted_class: str
    verdict: Verdict
    p_value: PValue
    topic: str | None = Field(description="The public topic, None where it must not be public.")
    raised_at: UtcTime
    revision: int = Field(default=0, description="Counts updates and retractions; guards each of them.")
    event_id: str | None = Field(default=None, description="The last message about it, None where it is not public.")
    model_digest: str | None = Field(default=None, description="The analysis that the last message told of.")
    calibration_id: str | None = None
    updated_at: UtcTime | None = None
    deliveries: tuple[Delivery, ...] = ()
    undelivered: bool = Field(default=False, description="Whether a channel still waits.")
    pending: tuple[PendingEvent, ...] = ()


class DeadLetter(Contract):
    """A record that could not be used, kept whole."""

    dead_letter_id: str
    topic: str
    partition: int
    offset: int
    key: str | None = Field(description="Base64.")
    body: str = Field(description="Base64 of the original bytes.")
    headers: tuple[tuple[str, str], ...] = Field(default=(), description="Names, and values in base64.")
    service: str
    error_type: str
    error: str
    dead_lettered_at: UtcTime
    state: Literal["open", "resent", "dropped"] = "open"
    note: str | None = None


class ServiceStatus(Contract):
    """A service's sign of life in the record store; the console shows it, stale ones as silent."""

    service: str
    instance: str
    pid: int
    version: str
    started_at: UtcTime
    seen_at: UtcTime
    ready: bool
    state: str = Field(description="`running`, `starting`, `degraded` or `stopped`.")
    detail: str | None = Field(default=None, description="One sentence: why it is not well.")
    processed: int = 0
    lag: int | None = Field(default=None, description="Records waiting in the topics it reads.")
    last_errors: tuple[str, ...] = ()
    info: dict[str, Any] = Field(default_factory=dict)


class SourceStatus(Contract):
    """A source as the console shows it: one that is down is shown, with its reason."""

    source: str
    state: Literal["running", "idle", "paused", "unreachable", "misconfigured", "finished", "off"]
    detail: str | None = None
    delivered: int = 0
    rate_per_min: float = 0.0
    last_success_at: UtcTime | None = None
    next_try_at: UtcTime | None = None
    updated_at: UtcTime


class Books(Contract):
    """The balance: received = analyzed + duplicates + rejected + dead_lettered + in_flight."""

    received: int
    analyzed: int
    duplicates: int
    rejected: int
    dead_lettered: int
    in_flight: int

    @classmethod
    def of(cls, outcomes: Mapping[tuple[str, ...], int], states: Mapping[tuple[str, ...], int]) -> Self:
        """The books from tallies of one moment.

        Args:
            outcomes: Receipts by (outcome,).
            states: Images by (state,).
        """
        accepted = outcomes.get((Outcome.ACCEPTED.value,), 0)
        analyzed = states.get((ImageState.ANALYZED.value,), 0)
        lost = states.get((ImageState.DEAD_LETTERED.value,), 0)
        return cls(
            received=sum(outcomes.values()),
            analyzed=analyzed,
            duplicates=outcomes.get((Outcome.DUPLICATE.value,), 0),
            rejected=outcomes.get((Outcome.REJECTED.value,), 0),
            dead_lettered=outcomes.get((Outcome.DEAD_LETTERED.value,), 0) + lost,
            in_flight=outcomes.get((Outcome.RECEIVED.value,), 0) + accepted - analyzed - lost,
        )

    @model_validator(mode="after")
    def _must_balance(self) -> Self:
        settled = self.analyzed + self.duplicates + self.rejected + self.dead_lettered
        if self.received != settled + self.in_flight:
            raise ValueError(f"books do not balance: {self!r}")
        return self
