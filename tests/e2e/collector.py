"""An OTLP/gRPC collector for tests: it keeps the spans it is sent."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


@dataclass(frozen=True)
class Seen:
    """A span as the collector got it."""

    name: str
    service: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[tuple[str, str], ...]
    attributes: dict[str, Any]
    failed: bool
    took_s: float


class Collector(TraceServiceServicer):
    """Keeps spans in the order in which they come."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: list[Seen] = []

    def Export(  # noqa: N802
        self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> ExportTraceServiceResponse:
        seen = [
            _seen(span, {one.key: _value(one.value) for one in resource.resource.attributes})
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        with self._lock:
            self._spans += seen
        return ExportTraceServiceResponse()

    def spans(self, **wanted: Any) -> list[Seen]:
        """Those that came, by the values of their fields."""
        with self._lock:
            return [span for span in self._spans if all(getattr(span, name) == value for name, value in wanted.items())]

    def one(self, **wanted: Any) -> Seen:
        """The only one of its kind."""
        (span,) = self.spans(**wanted)
        return span


@contextmanager
def collecting(port: int = 0) -> Iterator[tuple[Collector, str]]:
    """A collector that listens, and its address."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(4))
    add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield collector, f"http://127.0.0.1:{port}"
    finally:
        server.stop(1.0).wait()


def _seen(span: Span, resource: dict[str, Any]) -> Seen:
    return Seen(
        name=span.name,
        service=resource["service.name"],
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        attributes={one.key: _value(one.value) for one in span.attributes},
        failed=span.status.code == Status.STATUS_CODE_ERROR,
        took_s=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
    )


def _value(value: AnyValue) -> Any:
    return getattr(value, value.WhichOneof("value") or "string_value")
