"""Traces: one trace follows one image from its arrival to its alert. Off unless `ASTROLENS_TRACES_URL` is set.

This module is the interface that the rest of AstroLens uses, with the names of all spans; its classes do nothing.
`tracing_otel` implements it with OpenTelemetry, and `create_tracing` chooses one of the two, so that nothing of
OpenTelemetry is imported with tracing off. The spans of one image (topics shortened):

    POST /api/images | fetch <source>             console | ingestor     the trace begins, or continues the caller's
      send images.submitted                       console                uploads only
      process images.submitted                    ingestor               uploads only
        fetch, decode                             ingestor
      send images.ingested                        ingestor
      process images.ingested                     analyzer
        astrolens.rpc.v1.Inference/AnalyzeMany    analyzer, and below it model-server: gRPC
      send images.analyzed                        analyzer
      process images.analyzed                     notifier
      send astrolens.alerts...                    notifier               the Avro alert and its JSON twin

The producer of an event writes the context of its own span into it (`PendingEvent.traceparent`, W3C). The trace
continues whoever publishes the event, and whenever: the outbox at once, its relay after an outage, the console a dead
letter.

Each traced record of a batch has its `process` span in its own trace. What is done once for several of them (`process
batch ...`, and the call of the model below it) is in a trace of its own, linked to each. Where only one record of a
batch is traced, the work for the batch is in that trace.
"""

# ruff: noqa: ARG002 - the base classes take arguments and do nothing with them

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from astrolens.contracts.records import PendingEvent
from astrolens.platform.kafka_record import KafkaRecord

UPLOAD: Final = "POST /api/images"
ANALYZE_AGAIN: Final = "POST /api/analyze/{image_id}"
FETCH: Final = "fetch"
DECODE: Final = "decode"
SEND: Final = "send"
PROCESS: Final = "process"
PROCESS_BATCH: Final = "process batch"
ANALYZE_MANY: Final = "astrolens.rpc.v1.Inference/AnalyzeMany"

TRACEPARENT: Final = "traceparent"
"""Header of Kafka records, of gRPC calls and of HTTP requests (W3C Trace Context)."""

ATTRIBUTE_PREFIX: Final = "astrolens."
"""Prefix of our own attributes: `image_id`, `receipt_id`, `survey`, `outcome`, `verdict`, `alert_type`."""

AttributeValue = str | int | float | bool | None
_NO_SPAN: Final = nullcontext()


class ActiveSpan:
    """The span of one image (or other record) that is processed now.

    This base class is a span that is not recorded (the sampling ratio decided so): its context is only passed on.
    """

    __slots__ = ("traceparent",)

    def __init__(self, traceparent: str) -> None:
        self.traceparent = traceparent

    @property
    def trace_id(self) -> str | None:
        """Trace id for logs; None for a span that is not recorded: the trace would not be found."""
        return None

    def annotate(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Set attributes of the span."""

    def record_failure(self, error_type: str) -> None:
        """Mark the span as failed."""

    def child(self, name: str) -> AbstractContextManager[None]:
        """A child span for one step of the work."""
        return _NO_SPAN


@dataclass(frozen=True, slots=True)
class TracedBatch:
    """The records that are processed now, for the functions below.

    Attributes:
        spans: The span of each record, by key (a receipt id or an image id).
        span: The span of the whole batch; None where no record of it is recorded.
    """

    spans: Mapping[str, ActiveSpan]
    span: ActiveSpan | None


_current_batch: Final[ContextVar[TracedBatch | None]] = ContextVar("astrolens_traced_batch", default=None)


def current_batch() -> TracedBatch | None:
    """The records that are processed now by this task; None where nothing is traced."""
    return _current_batch.get()


@contextmanager
def use_batch(spans: Mapping[str, ActiveSpan], span: ActiveSpan | None) -> Iterator[None]:
    """Make a batch the current one inside the context, also for the tasks that begin there."""
    token = _current_batch.set(TracedBatch(spans, span))
    try:
        yield
    finally:
        _current_batch.reset(token)


def traceparent_of(key: str) -> str | None:
    """The trace context to write into an event that follows from a record of the current batch.

    Args:
        key: The record's key on the bus: a receipt id or an image id.
    """
    span = _span_of(key)
    return None if span is None else span.traceparent


def annotate_span(key: str, **attributes: AttributeValue) -> None:
    """Set attributes of the span of a record of the current batch, such as `image_id` or `verdict`."""
    if (span := _span_of(key)) is not None:
        span.annotate(attributes)


def record_failure(key: str, error_type: str) -> None:
    """Mark the span of a record of the current batch as failed."""
    if (span := _span_of(key)) is not None:
        span.record_failure(error_type)


def child_span(key: str, name: str) -> AbstractContextManager[None]:
    """A child span for one step of the work on a record of the current batch, such as `decode`."""
    span = _span_of(key)
    return _NO_SPAN if span is None else span.child(name)


def log_fields(key: str) -> dict[str, str]:
    """`trace_id` for a log line about a record of the current batch, where it is recorded."""
    span = _span_of(key)
    return {"trace_id": span.trace_id} if span is not None and span.trace_id is not None else {}


def record_key(record: KafkaRecord) -> str:
    """The key under which a record is found in the current batch."""
    if record.key is None:
        return f"{record.topic}-{record.partition}-{record.offset}"
    return record.key.decode(errors="replace")


def _span_of(key: str) -> ActiveSpan | None:
    batch = _current_batch.get()
    return None if batch is None else batch.spans.get(key)


class Arrivals:
    """The traces of images that arrive together. This base class records nothing."""

    def begin(self, key: str, *, began_ns: int | None = None, **attributes: AttributeValue) -> str | None:
        """Begin the trace of one image, and return the context for the event that announces it.

        Args:
            key: Its receipt id or image id; `annotate_span` and the like find it by this.
            began_ns: When its arrival began, nanoseconds since the epoch, where that was before the others'.
            attributes: What is known of it.
        """
        return None


class OutgoingCall:
    """A gRPC call to another service. This base class records nothing."""

    metadata: tuple[tuple[str, str], ...] = ()
    """To be sent with the call."""


class Tracing:
    """The traces of one service. This base class records nothing: it serves where tracing is off."""

    def open(self) -> None:
        """Begin to export.

        Raises:
            ConfigurationError: It cannot be done like this.
        """

    def close(self, within_s: float) -> None:
        """Export what is left, within `within_s` seconds; it blocks."""

    def arriving(
        self,
        name: str,
        *,
        traceparent: str | None = None,
        **attributes: AttributeValue,
    ) -> AbstractContextManager[Arrivals]:
        """Trace the arrival of images: their spans begin with `Arrivals.begin` and end with the context.

        Args:
            name: Name of the spans.
            traceparent: The caller's context, where it gave one: the traces continue it.
            attributes: What is known of all of them.
        """
        return _NO_ARRIVALS

    def consuming(self, topic: str, group: str, records: Sequence[KafkaRecord]) -> AbstractContextManager[None]:
        """Trace the processing of a batch of records."""
        return _NO_SPAN

    def sending(self, events: Sequence[PendingEvent]) -> AbstractContextManager[None]:
        """Trace the publication of events, until the broker has acknowledged them."""
        return _NO_SPAN

    def calling(self, method: str, *, address: str, keys: Sequence[str] = ()) -> AbstractContextManager[OutgoingCall]:
        """Trace a call of a gRPC method.

        Args:
            method: Its full name.
            address: host:port of the server.
            keys: Which records of the current batch the call is about.
        """
        return _NO_CALL

    def serving(self, method: str, context: Any) -> AbstractContextManager[None]:
        """Trace the answer to a gRPC call, where the caller traces."""
        return _NO_SPAN


NO_TRACING: Final = Tracing()
_NO_ARRIVALS: Final = nullcontext(Arrivals())
_NO_CALL: Final = nullcontext(OutgoingCall())
