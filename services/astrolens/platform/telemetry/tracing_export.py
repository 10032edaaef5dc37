"""Which traces are recorded, and how an outage of the collector is reported."""

from collections.abc import Sequence

import structlog
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

_log = structlog.get_logger(__name__)


class LinkedSpanSampler(Sampler):
    """Records each root span that has links, because recorded spans link to it; another sampler decides on the rest."""

    def __init__(self, other: Sampler) -> None:
        self._other = other

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decide on a root span."""
        if links:
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)
        return self._other.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """The name of the sampler, for people."""
        return f"LinkedSpanSampler({self._other.get_description()})"


class OutageReportingExporter(SpanExporter):
    """Exports through another exporter; logs the begin and the end of an outage once each. It never raises."""

    def __init__(self, inner: SpanExporter, endpoint: str) -> None:
        self._inner = inner
        self._endpoint = endpoint
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export; a failure is a result, never an exception."""
        try:
            result = self._inner.export(spans)
            why = "it does not answer"
        except Exception as error:  # noqa: BLE001 - no failure of an exporter may reach the service
            result, why = SpanExportResult.FAILURE, repr(error)
        if result is SpanExportResult.SUCCESS:
            if self._lost:
                _log.info("exports traces again", collector=self._endpoint, lost=self._lost)
                self._lost = 0
            return result
        if not self._lost:
            _log.warning("traces are lost: the collector does not take them", collector=self._endpoint, error=why)
        self._lost += len(spans)
        return result

    def shutdown(self) -> None:
        """Close the connection to the collector."""
        self._inner.shutdown()
