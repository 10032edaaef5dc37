"""The trace of an image begins where it arrives, and its record carries it on."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest
from astrolens.contracts.events import ImageSubmitted
from astrolens.contracts.records import Observation
from astrolens.ingestor.backpressure import Backpressure
from astrolens.ingestor.handlers import SubmittedImages
from astrolens.ingestor.source_feeder import SourceFeeder
from astrolens.ingestor.source_lease import SourceLease
from astrolens.ingestor.sources.base import SourceCursor, SourceImage, SourceReport
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.leases import Lease
from astrolens.platform.telemetry.tracing import NO_TRACING, Tracing
from astrolens.platform.telemetry.tracing_otel import OtelTracing
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.unit.ingestor.ingestor_fakes import Ingest, by_url, ingest_at

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Survey:
    """Yields two images that it began to fetch long ago."""

    name = "survey"
    batch = "b"

    def __init__(self) -> None:
        self.report = SourceReport()

    def check(self) -> None:
        self.report.set("idle")

    async def images(self, cursor: SourceCursor | None) -> AsyncGenerator[SourceImage, None]:
        for number in range(2):
            yield SourceImage(str(number), Observation(survey="test-sky"), data=f"sky {number}".encode(), began_ns=5)


@pytest.fixture
async def ingest(tmp_path: Path) -> AsyncIterator[Ingest]:
    async with ingest_at(tmp_path) as ingest:
        yield ingest


@pytest.fixture
def memory() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(memory: InMemorySpanExporter) -> OtelTracing:
    traced = OtelTracing(service="ingestor", instance="i", endpoint="http://nowhere:1", ratio=1.0, exporter=memory)
    traced.open()
    return traced


async def feed(ingest: Ingest, tracing: Tracing) -> list[str | None]:
    """The contexts with which a source's images announce themselves."""
    backpressure = Backpressure(records=ingest.records, max_in_flight=100, check_interval_s=0.0)
    lease = SourceLease(Lease(ingest.records, "source:survey", owner="only"), source="survey")
    feeder = SourceFeeder(
        source=Survey(),
        service=ingest.service,
        records=ingest.records,
        lease=lease,
        backpressure=backpressure,
        tracing=tracing,
    )
    await asyncio.wait_for(feeder.run(asyncio.Event()), 10)
    return [event.traceparent for event in ingest.outbox.published]


async def test_a_source_begins_a_trace_an_image(
    ingest: Ingest, tracing: OtelTracing, memory: InMemorySpanExporter
) -> None:
    announced = await feed(ingest, tracing)
    tracing.close(5.0)
    roots = [span for span in memory.get_finished_spans() if span.name == "fetch survey"]
    decoded = [span for span in memory.get_finished_spans() if span.name == "decode"]
    assert [span.start_time for span in roots] == [5, 5]
    assert {_context(span) for span in roots} == set(announced)
    assert {span.parent.span_id for span in decoded if span.parent} == {
        span.get_span_context().span_id for span in roots
    }
    for span in roots:
        assert span.attributes is not None
        assert (span.attributes["astrolens.source"], span.attributes["astrolens.outcome"]) == ("survey", "accepted")


async def test_without_tracing_no_image_carries_anything(ingest: Ingest) -> None:
    assert await feed(ingest, NO_TRACING) == [None, None]


async def test_what_was_handed_in_and_fetched_stays_in_its_trace(
    ingest: Ingest, tracing: OtelTracing, memory: InMemorySpanExporter
) -> None:
    from tests.unit.platform.platform_fakes import record

    receipt = by_url("https://sky.example/1.jpg").receipt
    ingest.fetcher.replies[receipt.ref] = b"sky"
    await ingest.records.insert(Collection.RECEIPTS, [receipt])
    handler = SubmittedImages(
        records=ingest.records,
        service=ingest.service,
        backpressure=Backpressure(records=ingest.records, max_in_flight=100, check_interval_s=0.0),
    )
    arrived = record(b"", 1, key=receipt.receipt_id.encode(), headers=[("traceparent", CALLER.encode())])
    with tracing.consuming("submitted", "g", [arrived]):
        await handler.handle([ImageSubmitted.of(receipt.receipt_id, service="console")])
    tracing.close(5.0)
    spans = {span.name: span for span in memory.get_finished_spans()}
    assert set(spans) == {"process submitted", "fetch", "decode"}
    assert {f"{span.get_span_context().trace_id:032x}" for span in spans.values()} == {CALLER.split("-")[1]}


def _context(span: ReadableSpan) -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
