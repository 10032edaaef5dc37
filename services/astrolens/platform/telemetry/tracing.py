"""Traces: one trace follows one image from its arrival to its alert. Off unless `ASTROLENS_TRACES_URL` is set.

Here are the names of all spans and the face that the rest of AstroLens sees; `tracing_otel` does the work, and only it
imports OpenTelemetry. With tracing off every call below is empty, and nothing of OpenTelemetry is imported. The spans
of one image (topics shortened):

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

Who causes an event writes the context of its own span into it (`PendingEvent.traceparent`, W3C). So the trace goes on
whoever publishes the event, and whenever: the outbox at once, its relay after an outage, the console a dead letter.

A batch is work for many images. Each traced record has its `process` span in its own trace; what is done once for
several of them (`process batch ...`, and the call of the model below it) is in a trace of its own, linked to each.
Where only one record of a batch is traced, the batch's work is simply in that trace.
"""

# ruff: noqa: ARG002 - what is off takes arguments and does nothing with them

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from astrolens.contracts.records import PendingEvent
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.kafka_record import KafkaRecord
from astrolens.platform.settings import Settings

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

OWN: Final = "astrolens."
"""Prefix of our own attributes: `image_id`, `receipt_id`, `survey`, `outcome`, `verdict`, `alert_type`."""

Value = str | int | float | bool | None
_NOTHING: Final = nullcontext()


class Traced:
    """How far the trace of one image (or other record) has come in this process.

    This one is not recorded (the sampling ratio decided so): it is only passed on.
    """

    __slots__ = ("traceparent",)

    def __init__(self, traceparent: str) -> None:
        self.traceparent = traceparent

    @property
    def trace_id(self) -> str | None:
        """For logs; None where nobody could look it up, because it is not recorded."""
        return None

    def note(self, attributes: Mapping[str, Value]) -> None:
        """Say something about the image."""

    def failed(self, error_type: str) -> None:
        """Mark that it went wrong here."""

    def part(self, name: str) -> AbstractContextManager[None]:
        """A step of its own inside."""
        return _NOTHING


@dataclass(frozen=True, slots=True)
class Work:
    """What is being worked on, for whoever is called meanwhile."""

    by_key: Mapping[str, Traced]
    current: Traced | None


WORK: Final[ContextVar[Work | None]] = ContextVar("astrolens_traced_work", default=None)


def traceparent_of(key: str) -> str | None:
    """The context to write into an event that follows from a record now being worked on.

    Args:
        key: The record's key on the bus: a receipt id or an image id.
    """
    traced = _find(key)
    return None if traced is None else traced.traceparent


def note(key: str, **attributes: Value) -> None:
    """Say something about what is being worked on, such as `image_id` or `verdict`."""
    if (traced := _find(key)) is not None:
        traced.note(attributes)


def failed(key: str, error_type: str) -> None:
    """Mark that a record now being worked on went wrong."""
    if (traced := _find(key)) is not None:
        traced.failed(error_type)


def part_of(key: str, name: str) -> AbstractContextManager[None]:
    """A step inside the work on one record, such as `decode`."""
    traced = _find(key)
    return _NOTHING if traced is None else traced.part(name)


def log_fields(key: str) -> dict[str, str]:
    """`trace_id` for a log line about one record of a batch, where it is traced."""
    traced = _find(key)
    return {"trace_id": traced.trace_id} if traced is not None and traced.trace_id is not None else {}


def key_of(record: KafkaRecord) -> str:
    """What a record is found by while it is worked on."""
    if record.key is None:
        return f"{record.topic}-{record.partition}-{record.offset}"
    return record.key.decode(errors="replace")


def _find(key: str) -> Traced | None:
    work = WORK.get()
    return None if work is None else work.by_key.get(key)


class Arrivals:
    """Traces of images that arrive together; this one is off."""

    def begin(self, key: str, *, began_ns: int | None = None, **attributes: Value) -> str | None:
        """Begin the trace of one image, and return the context for the event that announces it.

        Args:
            key: What it will be found by while it is worked on.
            began_ns: When its arrival began, nanoseconds since the epoch, where that was before the others'.
            attributes: What is known of it.
        """
        return None


class Call:
    """An outgoing gRPC call; this one is off."""

    metadata: tuple[tuple[str, str], ...] = ()


class Tracing:
    """The traces of one service; this one is off."""

    def open(self) -> None:
        """Begin to export.

        Raises:
            ConfigurationError: It cannot be done like this.
        """

    def close(self, within_s: float) -> None:
        """Export what is left, within a bound; it blocks."""

    def arriving(
        self,
        name: str,
        *,
        traceparent: str | None = None,
        **attributes: Value,
    ) -> AbstractContextManager[Arrivals]:
        """Images arrive: their spans begin with `begin` and end with the context.

        Args:
            name: Of the spans.
            traceparent: The caller's context, where it gave one: the traces continue it.
            attributes: What is known of all of them.
        """
        return _NO_ARRIVALS

    def consuming(self, topic: str, group: str, records: Sequence[KafkaRecord]) -> AbstractContextManager[None]:
        """A batch of records is worked on."""
        return _NOTHING

    def sending(self, events: Sequence[PendingEvent]) -> AbstractContextManager[None]:
        """Events are published, until the broker has acknowledged them."""
        return _NOTHING

    def calling(self, method: str, *, address: str, keys: Sequence[str] = ()) -> AbstractContextManager[Call]:
        """A gRPC method is called.

        Args:
            method: Its full name.
            address: host:port of the server.
            keys: What the call is about, of what is now being worked on.
        """
        return _NO_CALL

    def serving(self, method: str, context: Any) -> AbstractContextManager[None]:
        """A gRPC call is answered; traced only where the caller traces."""
        return _NOTHING


OFF: Final = Tracing()
_NO_ARRIVALS: Final = nullcontext(Arrivals())
_NO_CALL: Final = nullcontext(Call())


@contextmanager
def working(by_key: Mapping[str, Traced], current: Traced | None) -> Iterator[None]:
    """Let whoever is called find the traces of what is being worked on."""
    token = WORK.set(Work(by_key, current))
    try:
        yield
    finally:
        WORK.reset(token)


def create_tracing(settings: Settings, *, service: str, instance: str) -> Tracing:
    """Traces as the settings say; opens nothing.

    Raises:
        ConfigurationError: The URL is none of a collector, or OpenTelemetry is not installed.
    """
    if not settings.traces_url:
        return OFF
    parts = urlsplit(settings.traces_url)
    try:
        port = parts.port or 4317
    except ValueError:
        port = 0
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port or parts.path.strip("/"):
        raise ConfigurationError(
            f"ASTROLENS_TRACES_URL is {settings.traces_url!r}: it is the OTLP/gRPC address of a collector, "
            "http://host:4317 or https://host:4317"
        )
    try:
        # Imported here, for only who traces pays for it.
        from astrolens.platform.telemetry.tracing_otel import OtelTracing  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            f"ASTROLENS_TRACES_URL is set, but {error.name} is not installed: install astrolens[tracing], or unset it"
        ) from error
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return OtelTracing(
        service=service,
        instance=instance,
        endpoint=f"{parts.scheme}://{host}:{port}",
        ratio=settings.traces_ratio,
    )
