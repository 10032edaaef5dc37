"""Traces with OpenTelemetry: spans, links, and their export over OTLP/gRPC. See `tracing` for what a trace looks like.

FastStream's own middleware is not used: for a batch it begins a new trace and links to the records' ones, so that no
trace would reach beyond the first topic, and it knows neither the outbox nor records that are published again.
"""

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from time import time_ns
from typing import Any, Final

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.util.types import Attributes

from astrolens import __version__
from astrolens.contracts.records import PendingEvent
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.kafka_record import KafkaRecord
from astrolens.platform.telemetry.tracing import (
    OWN,
    PROCESS,
    PROCESS_BATCH,
    SEND,
    TRACEPARENT,
    WORK,
    Arrivals,
    Call,
    Traced,
    Tracing,
    Value,
    key_of,
    working,
)
from astrolens.platform.telemetry.tracing_export import LinkedOr, PatientExporter

_QUEUE: Final = 4096
"""Spans that wait for the collector, about 10 MB; what comes beyond that is dropped, the oldest first."""
_EXPORT_EVERY_MS: Final = 1000
_EXPORT_S: Final = 5.0
"""Longest attempt to export, its retries included."""
_LINKS: Final = 512
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_NEW: Final = Context()
"""No parent."""


class OtelTracing(Tracing):
    """The traces of one service."""

    def __init__(
        self, *, service: str, instance: str, endpoint: str, ratio: float, exporter: SpanExporter | None = None
    ) -> None:
        """Compose; nothing is opened.

        Args:
            service: Name of the service.
            instance: Which of its processes this is.
            endpoint: `http://host:port` or, with TLS, `https://host:port` of the collector.
            ratio: Share of the traces begun here that are recorded.
            exporter: Where spans go instead of the endpoint (tests).
        """
        self._endpoint = endpoint
        self._exporter = exporter
        self._processor: BatchSpanProcessor | None = None
        self._provider = TracerProvider(
            sampler=ParentBased(root=LinkedOr(TraceIdRatioBased(ratio))),
            resource=Resource.create(
                {
                    "service.namespace": "astrolens",
                    "service.name": f"astrolens-{service}",
                    "service.version": __version__,
                    "service.instance.id": instance,
                }
            ),
            span_limits=SpanLimits(max_links=_LINKS),
            # Closed in order, and within the grace period; its own way at exit waits half a minute.
            shutdown_on_exit=False,
        )
        self._tracer = self._provider.get_tracer("astrolens", __version__)

    def open(self) -> None:
        """Begin to export.

        Raises:
            ConfigurationError: A variable of OpenTelemetry's own (`OTEL_...`) is wrong.
        """
        try:
            inner = self._exporter or OTLPSpanExporter(
                endpoint=self._endpoint, insecure=self._endpoint.startswith("http:"), timeout=_EXPORT_S
            )
        except Exception as error:
            raise ConfigurationError(f"traces cannot be exported, is a variable OTEL_... wrong? {error}") from error
        self._processor = BatchSpanProcessor(
            PatientExporter(inner, self._endpoint), max_queue_size=_QUEUE, schedule_delay_millis=_EXPORT_EVERY_MS
        )
        self._provider.add_span_processor(self._processor)

    def close(self, within_s: float) -> None:
        """Export what is left, within a bound; it blocks."""
        if self._processor is None:
            return
        # The processor takes no bound: it would wait half a minute for a collector that is away.
        ending = threading.Thread(target=self._processor.shutdown, name="traces-end", daemon=True)
        ending.start()
        ending.join(within_s)

    @contextmanager
    def arriving(self, name: str, *, traceparent: str | None = None, **attributes: Value) -> Iterator[Arrivals]:
        """Images arrive: their spans begin with `begin` and end with the context."""
        kind = SpanKind.SERVER if name.startswith("POST ") else SpanKind.CLIENT
        if kind is SpanKind.SERVER:
            common = {"http.request.method": "POST", "http.route": name.removeprefix("POST "), **_own(attributes)}
        else:
            common = _own(attributes)
        parent = _parsed(traceparent)
        arrivals = _Arrivals(self, name, kind, _NEW if parent is None else _under(parent), common)
        with _ending(arrivals.spans), working(arrivals.by_key, None):
            yield arrivals

    @contextmanager
    def consuming(self, topic: str, group: str, records: Sequence[KafkaRecord]) -> Iterator[None]:
        """A batch of records is worked on."""
        by_key: dict[str, Traced] = {}
        spans: list[Span] = []
        common = _kafka(PROCESS, topic) | {"messaging.consumer.group.name": group}
        for record in records:
            text = _header(record)
            parent = _parsed(text)
            if text is not None and parent is not None and not parent.trace_flags.sampled:
                by_key.setdefault(key_of(record), Traced(text))
                continue
            span = self.start(
                f"{PROCESS} {topic}",
                SpanKind.CONSUMER,
                _NEW if parent is None else _under(parent),
                common | _place(record),
            )
            traced = self.traced(span)
            by_key.setdefault(key_of(record), traced)
            if isinstance(traced, _Recorded):
                spans.append(span)
        with ExitStack() as stack:
            stack.enter_context(_ending(spans))
            current: Traced | None = None
            if len(spans) == 1:
                current = self.traced(spans[0])
                spans[0].set_attribute("messaging.batch.message_count", len(records))
            elif spans:
                batch = self.start(
                    f"{PROCESS_BATCH} {topic}",
                    SpanKind.CONSUMER,
                    _NEW,
                    _kafka(PROCESS_BATCH, topic)
                    | {"messaging.consumer.group.name": group, "messaging.batch.message_count": len(records)},
                    links=[Link(span.get_span_context()) for span in spans],
                )
                for span in spans:
                    span.add_link(batch.get_span_context())
                stack.enter_context(_ending([batch]))
                current = self.traced(batch)
            if current is not None:
                stack.enter_context(structlog.contextvars.bound_contextvars(trace_id=current.trace_id))
            stack.enter_context(working(by_key, current))
            yield

    @contextmanager
    def sending(self, events: Sequence[PendingEvent]) -> Iterator[None]:
        """Events are published, until the broker has acknowledged them."""
        spans = []
        for event in events:
            parent = _parsed(event.traceparent)
            if parent is not None and parent.trace_flags.sampled:
                about = _kafka(SEND, event.topic) | {
                    "messaging.message.id": event.event_id,
                    "messaging.kafka.message.key": event.key,
                }
                spans.append(self.start(f"{SEND} {event.topic}", SpanKind.PRODUCER, _under(parent), about))
        with _ending(spans):
            yield

    @contextmanager
    def calling(self, method: str, *, address: str, keys: Sequence[str] = ()) -> Iterator[Call]:
        """A gRPC method is called; the server continues the trace."""
        work = WORK.get()
        if work is None or not isinstance(work.current, _Recorded):
            yield Call()
            return
        about = [found for key in keys if isinstance(found := work.by_key.get(key), _Recorded)]
        span = self.start(
            method,
            SpanKind.CLIENT,
            _under(work.current.span.get_span_context()),
            _grpc(method, address) | {"astrolens.batch_size": len(keys)},
            # Alone it is the parent already.
            links=[Link(one.span.get_span_context()) for one in about] if len(about) > 1 else [],
        )
        call = Call()
        call.metadata = ((TRACEPARENT, _text(span.get_span_context())),)
        with _ending([span]):
            try:
                yield call
            except Exception as error:
                _status(span, getattr(error, "code", None))
                raise
            span.set_attribute("rpc.response.status_code", "OK")

    @contextmanager
    def serving(self, method: str, context: Any) -> Iterator[None]:
        """A gRPC call is answered; traced only where the caller traces."""
        parent = _parsed(dict(context.invocation_metadata() or ()).get(TRACEPARENT))
        if parent is None or not parent.trace_flags.sampled:
            yield
            return
        span = self.start(method, SpanKind.SERVER, _under(parent), _grpc(method))
        traced = self.traced(span)
        with _ending([span]), structlog.contextvars.bound_contextvars(trace_id=traced.trace_id):
            try:
                with working({method: traced}, traced):
                    yield
            except Exception:
                _status(span, context.code)
                raise
            span.set_attribute("rpc.response.status_code", "OK")

    def start(
        self,
        name: str,
        kind: SpanKind,
        parent: Context,
        attributes: Attributes,
        *,
        links: Sequence[Link] = (),
        began_ns: int | None = None,
    ) -> Span:
        """A span; who starts it ends it."""
        return self._tracer.start_span(
            name, parent, kind, attributes, links, began_ns, record_exception=False, set_status_on_exception=False
        )

    def traced(self, span: Span) -> Traced:
        """A span as others find it while its work goes on."""
        context = span.get_span_context()
        return _Recorded(self, span) if context.trace_flags.sampled else Traced(_text(context))


class _Recorded(Traced):
    __slots__ = ("_tracing", "span")

    def __init__(self, tracing: OtelTracing, span: Span) -> None:
        super().__init__(_text(span.get_span_context()))
        self._tracing = tracing
        self.span = span

    @property
    def trace_id(self) -> str | None:
        return f"{self.span.get_span_context().trace_id:032x}"

    def note(self, attributes: Mapping[str, Value]) -> None:
        self.span.set_attributes(_own(attributes))

    def failed(self, error_type: str) -> None:
        _fail(self.span, error_type)

    def part(self, name: str) -> AbstractContextManager[None]:
        span = self._tracing.start(name, SpanKind.INTERNAL, _under(self.span.get_span_context()), None)
        return _ending([span])


class _Arrivals(Arrivals):
    def __init__(
        self, tracing: OtelTracing, name: str, kind: SpanKind, parent: Context, attributes: dict[str, Any]
    ) -> None:
        self._tracing = tracing
        self._name = name
        self._kind = kind
        self._parent = parent
        self._attributes = attributes
        self._began_ns = time_ns()
        self.by_key: dict[str, Traced] = {}
        self.spans: list[Span] = []

    def begin(self, key: str, *, began_ns: int | None = None, **attributes: Value) -> str | None:
        span = self._tracing.start(
            self._name,
            self._kind,
            self._parent,
            self._attributes | _own(attributes),
            began_ns=began_ns or self._began_ns,
        )
        self.spans.append(span)
        self.by_key[key] = traced = self._tracing.traced(span)
        return traced.traceparent


@contextmanager
def _ending(spans: list[Span]) -> Iterator[None]:
    """End spans with the work, marked where it failed."""
    try:
        yield
    except BaseException as error:
        for span in spans:
            _fail(span, type(error).__name__)
        raise
    finally:
        for span in spans:
            span.end()


def _fail(span: Span, error_type: str) -> None:
    span.set_attribute("error.type", error_type)
    span.set_status(StatusCode.ERROR)


def _status(span: Span, code: Any) -> None:
    if callable(code):
        span.set_attribute("rpc.response.status_code", getattr(code(), "name", "UNKNOWN"))


def _parsed(traceparent: str | None) -> SpanContext | None:
    """The context that a W3C `traceparent` names; None where it names none."""
    if traceparent is None or (found := _TRACEPARENT.fullmatch(traceparent)) is None:
        return None
    trace_id, span_id, flags, _ = found.groups()
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))


def _text(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _under(parent: SpanContext) -> Context:
    return set_span_in_context(NonRecordingSpan(parent), _NEW)


def _header(record: KafkaRecord) -> str | None:
    value = next((value for name, value in record.headers if name == TRACEPARENT), None)
    return None if value is None else value.decode("ascii", errors="replace")


def _own(attributes: Mapping[str, Value]) -> dict[str, Any]:
    return {OWN + name: value for name, value in attributes.items() if value is not None}


def _kafka(operation: str, topic: str) -> dict[str, Any]:
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": "send" if operation == SEND else "process",
        "messaging.destination.name": topic,
    }


def _place(record: KafkaRecord) -> dict[str, Any]:
    return {
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
        "messaging.kafka.message.key": key_of(record),
    }


def _grpc(method: str, address: str | None = None) -> dict[str, Any]:
    about: dict[str, Any] = {"rpc.system.name": "grpc", "rpc.method": method}
    if address is not None:
        host, _, port = address.rpartition(":")
        about["server.address"] = host or address
        if port.isdigit():
            about["server.port"] = int(port)
    return about
