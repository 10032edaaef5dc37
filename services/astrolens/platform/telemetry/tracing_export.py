"""Which spans are recorded, and how they leave: what surrounds `tracing_otel`."""

from collections.abc import Sequence

import structlog
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

_log = structlog.get_logger(__name__)


class LinkedOr(Sampler):
    """Records a span without a parent that is linked to recorded ones; another sampler decides about the rest."""

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
        """The decision about a span that has no parent."""
        if links:
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)
        return self._other.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """For people."""
        return f"LinkedOr({self._other.get_description()})"


class PatientExporter(SpanExporter):
    """Exports, and tells once that it cannot and once that it can again: no failure is the pipeline's business."""

    def __init__(self, inner: SpanExporter, endpoint: str) -> None:
        self._inner = inner
        self._endpoint = endpoint
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export, and never fail."""
        try:
            result = self._inner.export(spans)
            why = "it does not answer"
        except Exception as error:  # noqa: BLE001 - whatever an exporter does wrong ends here
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
        """Let go of the collector."""
        self._inner.shutdown()
