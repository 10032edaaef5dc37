"""The traces of a service with OpenTelemetry, exported over OTLP/gRPC. `tracing` describes what a trace looks like.

FastStream's own middleware is not used: for a batch it begins a new trace and links to the traces of the records, so
that no trace would reach beyond the first topic, and it knows neither the outbox nor records that are published again.
"""

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
from opentelemetry.trace import Link, Span, SpanKind, StatusCode
from opentelemetry.util.types import Attributes

from astrolens import __version__
from astrolens.contracts.records import PendingEvent
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.kafka_record import KafkaRecord
from astrolens.platform.telemetry.tracing import (
    PROCESS,
    PROCESS_BATCH,
    SEND,
    TRACEPARENT,
    ActiveSpan,
    Arrivals,
    AttributeValue,
    OutgoingCall,
    Tracing,
    current_batch,
    record_key,
    use_batch,
)
from astrolens.platform.telemetry.tracing_attributes import (
    grpc_attributes,
    kafka_attributes,
    own_attributes,
    record_attributes,
)
from astrolens.platform.telemetry.tracing_export import LinkedSpanSampler, OutageReportingExporter
from astrolens.platform.telemetry.tracing_propagation import (
    child_context,
    format_traceparent,
    parse_traceparent,
    traceparent_header,
)

_QUEUE: Final = 4096
"""Most spans that wait for the collector, about 10 MB; beyond it the oldest are dropped."""
_EXPORT_INTERVAL_MS: Final = 1000
_EXPORT_TIMEOUT_S: Final = 5.0
"""Longest export, seconds, its retries included."""
_MAX_LINKS: Final = 512
"""Links of a span: no batch has more records."""
_ROOT: Final = Context()
"""The parent of a span that begins a trace: none."""


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
            sampler=ParentBased(root=LinkedSpanSampler(TraceIdRatioBased(ratio))),
            resource=Resource.create(
                {
                    "service.namespace": "astrolens",
                    "service.name": f"astrolens-{service}",
                    "service.version": __version__,
                    "service.instance.id": instance,
                }
            ),
            span_limits=SpanLimits(max_links=_MAX_LINKS),
            # `close` does it within the grace period; the provider's own exit handler waits half a minute.
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
                endpoint=self._endpoint, insecure=self._endpoint.startswith("http:"), timeout=_EXPORT_TIMEOUT_S
            )
        except Exception as error:
            raise ConfigurationError(f"traces cannot be exported, is a variable OTEL_... wrong? {error}") from error
        self._processor = BatchSpanProcessor(
            OutageReportingExporter(inner, self._endpoint),
            max_queue_size=_QUEUE,
            schedule_delay_millis=_EXPORT_INTERVAL_MS,
        )
        self._provider.add_span_processor(self._processor)

    def close(self, within_s: float) -> None:
        """Export what is left, within `within_s` seconds; it blocks."""
        if self._processor is None:
            return
        # The processor takes no bound: it would wait half a minute for a collector that does not answer.
        closing = threading.Thread(target=self._processor.shutdown, name="traces-close", daemon=True)
        closing.start()
        closing.join(within_s)

    @contextmanager
    def arriving(
        self, name: str, *, traceparent: str | None = None, **attributes: AttributeValue
    ) -> Iterator[Arrivals]:
        """Trace the arrival of images."""
        kind = SpanKind.SERVER if name.startswith("POST ") else SpanKind.CLIENT
        if kind is SpanKind.SERVER:
            common = {
                "http.request.method": "POST",
                "http.route": name.removeprefix("POST "),
                **own_attributes(attributes),
            }
        else:
            common = own_attributes(attributes)
        parent = parse_traceparent(traceparent)
        arrivals = _Arrivals(self, name, kind, _ROOT if parent is None else child_context(parent), common)
        with _ended_with_context(arrivals.spans), use_batch(arrivals.by_key, None):
            yield arrivals

    @contextmanager
    def consuming(self, topic: str, group: str, records: Sequence[KafkaRecord]) -> Iterator[None]:
        """Trace the processing of a batch: a span a record, and one of the batch where several are recorded."""
        by_key: dict[str, ActiveSpan] = {}
        spans: list[Span] = []
        common = kafka_attributes(PROCESS, topic) | {"messaging.consumer.group.name": group}
        for record in records:
            header = traceparent_header(record)
            parent = parse_traceparent(header)
            if header is not None and parent is not None and not parent.trace_flags.sampled:
                by_key.setdefault(record_key(record), ActiveSpan(header))
                continue
            span = self.start(
                f"{PROCESS} {topic}",
                SpanKind.CONSUMER,
                _ROOT if parent is None else child_context(parent),
                common | record_attributes(record),
            )
            active = self.active_span(span)
            by_key.setdefault(record_key(record), active)
            if isinstance(active, _RecordedSpan):
                spans.append(span)
        with ExitStack() as stack:
            stack.enter_context(_ended_with_context(spans))
            current: ActiveSpan | None = None
            if len(spans) == 1:
                current = self.active_span(spans[0])
                spans[0].set_attribute("messaging.batch.message_count", len(records))
            elif spans:
                batch = self.start(
                    f"{PROCESS_BATCH} {topic}",
                    SpanKind.CONSUMER,
                    _ROOT,
                    kafka_attributes(PROCESS_BATCH, topic)
                    | {"messaging.consumer.group.name": group, "messaging.batch.message_count": len(records)},
                    links=[Link(span.get_span_context()) for span in spans],
                )
                for span in spans:
                    span.add_link(batch.get_span_context())
                stack.enter_context(_ended_with_context([batch]))
                current = self.active_span(batch)
            if current is not None:
                stack.enter_context(structlog.contextvars.bound_contextvars(trace_id=current.trace_id))
            stack.enter_context(use_batch(by_key, current))
            yield

    @contextmanager
    def sending(self, events: Sequence[PendingEvent]) -> Iterator[None]:
        """Trace the publication of events whose cause is recorded."""
        spans = []
        for event in events:
            parent = parse_traceparent(event.traceparent)
            if parent is not None and parent.trace_flags.sampled:
                attributes = kafka_attributes(SEND, event.topic) | {
                    "messaging.message.id": event.event_id,
                    "messaging.kafka.message.key": event.key,
                }
                spans.append(self.start(f"{SEND} {event.topic}", SpanKind.PRODUCER, child_context(parent), attributes))
        with _ended_with_context(spans):
            yield

    @contextmanager
    def calling(self, method: str, *, address: str, keys: Sequence[str] = ()) -> Iterator[OutgoingCall]:
        """Trace a call of a gRPC method; the server continues the trace."""
        batch = current_batch()
        if batch is None or not isinstance(batch.span, _RecordedSpan):
            yield OutgoingCall()
            return
        records = [found for key in keys if isinstance(found := batch.spans.get(key), _RecordedSpan)]
        span = self.start(
            method,
            SpanKind.CLIENT,
            child_context(batch.span.span.get_span_context()),
            grpc_attributes(method, address) | {"astrolens.batch_size": len(keys)},
            # The span of a single record is the parent already.
            links=[Link(record.span.get_span_context()) for record in records] if len(records) > 1 else [],
        )
        call = OutgoingCall()
        call.metadata = ((TRACEPARENT, format_traceparent(span.get_span_context())),)
        with _ended_with_context([span]):
            try:
                yield call
            except Exception as error:
                _record_status_code(span, getattr(error, "code", None))
                raise
            span.set_attribute("rpc.response.status_code", "OK")

    @contextmanager
    def serving(self, method: str, context: Any) -> Iterator[None]:
        """Trace the answer to a gRPC call, where the caller traces."""
        parent = parse_traceparent(dict(context.invocation_metadata() or ()).get(TRACEPARENT))
        if parent is None or not parent.trace_flags.sampled:
            yield
            return
        span = self.start(method, SpanKind.SERVER, child_context(parent), grpc_attributes(method))
        active = self.active_span(span)
        with _ended_with_context([span]), structlog.contextvars.bound_contextvars(trace_id=active.trace_id):
            try:
                with use_batch({method: active}, active):
                    yield
            except Exception:
                _record_status_code(span, context.code)
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
        """Start a span; the caller ends it."""
        return self._tracer.start_span(
            name, parent, kind, attributes, links, began_ns, record_exception=False, set_status_on_exception=False
        )

    def active_span(self, span: Span) -> ActiveSpan:
        """A span as the functions of `tracing` find it."""
        context = span.get_span_context()
        return _RecordedSpan(self, span) if context.trace_flags.sampled else ActiveSpan(format_traceparent(context))


class _RecordedSpan(ActiveSpan):
    __slots__ = ("_tracing", "span")

    def __init__(self, tracing: OtelTracing, span: Span) -> None:
        super().__init__(format_traceparent(span.get_span_context()))
        self._tracing = tracing
        self.span = span

    @property
    def trace_id(self) -> str | None:
        return f"{self.span.get_span_context().trace_id:032x}"

    def annotate(self, attributes: Mapping[str, AttributeValue]) -> None:
        self.span.set_attributes(own_attributes(attributes))

    def record_failure(self, error_type: str) -> None:
        _mark_failed(self.span, error_type)

    def child(self, name: str) -> AbstractContextManager[None]:
        span = self._tracing.start(name, SpanKind.INTERNAL, child_context(self.span.get_span_context()), None)
        return _ended_with_context([span])


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
        self.by_key: dict[str, ActiveSpan] = {}
        self.spans: list[Span] = []

    def begin(self, key: str, *, began_ns: int | None = None, **attributes: AttributeValue) -> str | None:
        span = self._tracing.start(
            self._name,
            self._kind,
            self._parent,
            self._attributes | own_attributes(attributes),
            began_ns=began_ns or self._began_ns,
        )
        self.spans.append(span)
        self.by_key[key] = active = self._tracing.active_span(span)
        return active.traceparent


@contextmanager
def _ended_with_context(spans: list[Span]) -> Iterator[None]:
    """End spans with the context; an exception marks them as failed."""
    try:
        yield
    except BaseException as error:
        for span in spans:
            _mark_failed(span, type(error).__name__)
        raise
    finally:
        for span in spans:
            span.end()


def _mark_failed(span: Span, error_type: str) -> None:
    span.set_attribute("error.type", error_type)
    span.set_status(StatusCode.ERROR)


def _record_status_code(span: Span, code: Any) -> None:
    if callable(code):
        span.set_attribute("rpc.response.status_code", getattr(code(), "name", "UNKNOWN"))
