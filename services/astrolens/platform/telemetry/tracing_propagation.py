"""The W3C trace context (`traceparent`) as text, read and written by OpenTelemetry's own propagator."""

from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from astrolens.platform.kafka_record import KafkaRecord
from astrolens.platform.telemetry.tracing import TRACEPARENT

_PROPAGATOR: Final = TraceContextTextMapPropagator()


def parse_traceparent(traceparent: str | None) -> SpanContext | None:
    """The span that a `traceparent` names; None where it is absent or invalid."""
    if traceparent is None:
        return None
    context = _PROPAGATOR.extract({TRACEPARENT: traceparent}, Context())
    parent = get_current_span(context).get_span_context()
    return parent if parent.is_valid else None


def format_traceparent(span: SpanContext) -> str:
    """The `traceparent` that names a span."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, child_context(span))
    return carrier[TRACEPARENT]


def child_context(parent: SpanContext) -> Context:
    """The context in which a child of `parent` begins."""
    return set_span_in_context(NonRecordingSpan(parent), Context())


def traceparent_header(record: KafkaRecord) -> str | None:
    """The `traceparent` in the headers of a record, as it came."""
    value = next((value for name, value in record.headers if name == TRACEPARENT), None)
    return None if value is None else value.decode("ascii", errors="replace")
