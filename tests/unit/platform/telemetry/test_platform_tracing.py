"""Traces: what is recorded of a batch, how its context travels, and that nothing depends on a collector."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from astrolens.contracts import topics
from astrolens.contracts.events import ImageIngested
from astrolens.contracts.records import PendingEvent, Reason
from astrolens.platform.bus import Refusal, create_bus
from astrolens.platform.bus.dead_letters import dead_letter
from astrolens.platform.bus.outbox import Outbox
from astrolens.platform.errors import BusUnavailable
from astrolens.platform.retry import RetryPolicy
from astrolens.platform.stores.collections import Collection
from astrolens.platform.telemetry import tracing
from astrolens.platform.telemetry.tracing_otel import OtelTracing
from astrolens.platform.telemetry.tracing_propagation import format_traceparent, parse_traceparent
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import messaging_attributes, rpc_attributes
from opentelemetry.semconv.attributes import error_attributes, http_attributes, server_attributes

from tests.unit.platform.platform_fakes import (
    TOPIC,
    Consumer,
    FlakyRecords,
    Published,
    attach,
    body,
    image_with_pending,
    record,
    settings,
)

pytestmark = pytest.mark.usefixtures("logged")

RECORDED = "00-{:032x}-00f067aa0ba902b7-01"
NOT_RECORDED = "00-{:032x}-00f067aa0ba902b7-00"


class Traces:
    """Traces of one service, and what came of them."""

    def __init__(self, ratio: float = 1.0) -> None:
        self._memory = InMemorySpanExporter()
        self.tracing = OtelTracing(
            service="analyzer",
            instance="a@test",
            endpoint="http://nowhere:1",
            ratio=ratio,
            exporter=self._memory,
        )
        self.tracing.open()

    def spans(self, name: str | None = None) -> list[ReadableSpan]:
        self.tracing.close(5.0)
        return [span for span in self._memory.get_finished_spans() if name in {None, span.name}]


class Harness:
    """A bus that consumes and publishes with traces."""

    def __init__(self, home: Path, records: FlakyRecords, ratio: float = 1.0) -> None:
        self.traces = Traces(ratio)
        self.bus = create_bus(
            settings(home),
            service="analyzer",
            records=records,
            retry_policy=RetryPolicy(initial_wait_s=0.001, max_wait_s=0.002, timeout_s=0.05),
            tracing=self.traces.tracing,
        )
        self.published = Published(self.bus)
        self.behaviour: Callable[[Sequence[ImageIngested]], Sequence[Refusal]] = lambda _: ()
        self.bus.consume(TOPIC, ImageIngested, self._handle)
        self._subscriber = attach(self.bus, Consumer())

    async def _handle(self, events: Sequence[ImageIngested]) -> Sequence[Refusal]:
        return self.behaviour(events)

    async def feed(self, *traceparents: str | None) -> None:
        """One record each, of the images `image0`, `image1`, ..."""
        await self._subscriber.consume(
            tuple(
                record(
                    body(number),
                    number,
                    key=f"image{number}".encode(),
                    headers=[] if text is None else [("traceparent", text.encode())],
                )
                for number, text in enumerate(traceparents)
            )
        )


@pytest.fixture
def harness(tmp_path: Path, records: FlakyRecords) -> Harness:
    return Harness(tmp_path, records)


def trace(span: ReadableSpan) -> int:
    return span.get_span_context().trace_id


def parent(span: ReadableSpan) -> str | None:
    return None if span.parent is None else f"{span.parent.span_id:016x}"


def linked(span: ReadableSpan) -> set[tuple[int, int]]:
    return {(link.context.trace_id, link.context.span_id) for link in span.links}


def place(span: ReadableSpan) -> tuple[int, int]:
    return span.get_span_context().trace_id, span.get_span_context().span_id


async def test_a_single_record_is_processed_in_its_own_trace(harness: Harness) -> None:
    seen: list[str | None] = []

    def behaviour(events: Sequence[ImageIngested]) -> Sequence[Refusal]:
        seen.append(tracing.traceparent_of(events[0].image_id))
        tracing.annotate_span(events[0].image_id, verdict="anomaly", nothing=None)
        with harness.traces.tracing.calling(tracing.ANALYZE_MANY, address="model:8081", keys=["image0"]) as call:
            seen.append(dict(call.metadata)["traceparent"])
        return ()

    harness.behaviour = behaviour
    await harness.feed(RECORDED.format(7))
    call, process = harness.traces.spans()
    assert process.name == f"process {TOPIC}"
    assert (trace(process), parent(process)) == (7, "00f067aa0ba902b7")
    assert seen == [f"00-{7:032x}-{place(process)[1]:016x}-01", f"00-{7:032x}-{place(call)[1]:016x}-01"]
    assert (trace(call), parent(call)) == (7, f"{place(process)[1]:016x}")
    assert process.attributes is not None
    assert process.attributes["astrolens.verdict"] == "anomaly"
    assert "astrolens.nothing" not in process.attributes


async def test_several_records_share_a_batch_that_is_linked_to_each(harness: Harness) -> None:
    def behaviour(events: Sequence[ImageIngested]) -> Sequence[Refusal]:
        keys = [event.image_id for event in events]
        with harness.traces.tracing.calling(tracing.ANALYZE_MANY, address="model:8081", keys=keys):
            return ()

    harness.behaviour = behaviour
    await harness.feed(RECORDED.format(7), RECORDED.format(8), NOT_RECORDED.format(9))
    (batch,) = harness.traces.spans(f"process batch {TOPIC}")
    first, second = harness.traces.spans(f"process {TOPIC}")
    (call,) = harness.traces.spans(tracing.ANALYZE_MANY)
    assert [trace(first), trace(second)] == [7, 8]
    assert batch.parent is None
    assert linked(batch) == {place(first), place(second)}
    assert linked(first) == linked(second) == {place(batch)}
    assert place(call)[0] == trace(batch)
    assert linked(call) == {place(first), place(second)}
    assert batch.attributes is not None
    assert batch.attributes["messaging.batch.message_count"] == 3


async def test_what_is_not_recorded_is_passed_on_and_costs_no_span(tmp_path: Path, records: FlakyRecords) -> None:
    harness = Harness(tmp_path, records, ratio=0.0)
    passed: list[str | None] = []

    def behaviour(events: Sequence[ImageIngested]) -> Sequence[Refusal]:
        passed.extend(tracing.traceparent_of(event.image_id) for event in events)
        return ()

    harness.behaviour = behaviour
    await harness.feed(NOT_RECORDED.format(7), None)
    assert passed[0] == NOT_RECORDED.format(7)
    assert passed[1] is not None
    assert int(passed[1][-2:], 16) & 1 == 0  # begun here, and the ratio left it out: nobody behind us decides again
    assert harness.traces.spans() == []


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "00-what-is-this-01",
        f"00-{0:032x}-00f067aa0ba902b7-01",
        f"00-{7:032x}-{0:016x}-01",
        f"ff-{7:032x}-00f067aa0ba902b7-01",
        f"00-{7:032x}-00f067aa0ba902b7-01-more",
    ],
)
def test_an_invalid_traceparent_is_no_parent(traceparent: str) -> None:
    assert parse_traceparent(traceparent) is None


@pytest.mark.parametrize("traceparent", [RECORDED.format(7), NOT_RECORDED.format(2**127)])
def test_a_traceparent_is_written_as_it_was_read(traceparent: str) -> None:
    parent = parse_traceparent(traceparent)
    assert parent is not None
    assert format_traceparent(parent) == traceparent


async def test_a_damaged_context_begins_a_new_trace(harness: Harness) -> None:
    await harness.feed("00-what-is-this-01")
    (process,) = harness.traces.spans()
    assert process.parent is None


async def test_a_dead_letter_keeps_its_context(harness: Harness, records: FlakyRecords, logged: list[Any]) -> None:
    harness.behaviour = lambda events: [Refusal(events[0], Reason(code="cutout-missing", detail="gone"))]
    await harness.feed(RECORDED.format(7), RECORDED.format(8))
    (letter,) = harness.published.on(topics.dead_letter_topic(TOPIC))
    assert letter["headers"]["traceparent"] == RECORDED.format(7)
    bad, good = harness.traces.spans(f"process {TOPIC}")
    assert bad.attributes is not None
    assert (bad.status.is_ok, bad.attributes["error.type"]) == (False, "cutout-missing")
    assert good.status.is_ok
    (line,) = [line for line in logged if line["event"] == "dead-lettered a record"]
    assert line["trace_id"] == f"{7:032x}"


def test_a_letter_without_context_has_none() -> None:
    from astrolens.contracts.base import utc_now
    from astrolens.platform.bus.dead_letters import origin_headers

    letter = dead_letter(record(b"", 1), service="s", error_type="t", error="e", at=utc_now())
    assert "traceparent" not in origin_headers(letter)


async def test_the_relay_publishes_later_in_the_same_trace(harness: Harness, records: FlakyRecords) -> None:
    image = image_with_pending(1)
    event = image.pending[0].model_copy(update={"traceparent": RECORDED.format(7)})
    await records.insert(Collection.IMAGES, [image.model_copy(update={"pending": (event,)})])
    outbox = Outbox(harness.bus, records, collections=(Collection.IMAGES,))
    harness.published.failures = 1
    await outbox.release(Collection.IMAGES, [(image.image_id, [event])])
    assert harness.published.messages == []
    # Another process: all that it knows of the trace lies in the record store.
    assert await Outbox(harness.bus, records, collections=(Collection.IMAGES,)).relay_once() == 1
    (message,) = harness.published.messages
    assert message["headers"]["traceparent"] == RECORDED.format(7)
    failed, sent = harness.traces.spans(f"send {TOPIC}")
    assert [failed.status.is_ok, sent.status.is_ok] == [False, True]
    assert {(trace(span), parent(span)) for span in (failed, sent)} == {(7, "00f067aa0ba902b7")}


async def test_a_stored_context_is_published_even_with_tracing_off(tmp_path: Path, records: FlakyRecords) -> None:
    bus = create_bus(settings(tmp_path), service="analyzer", records=records)
    published = Published(bus)
    event = PendingEvent(event_id="a", topic="t", key="k", payload="{}")
    await bus.publish([event, event.model_copy(update={"traceparent": RECORDED.format(7)})])
    without, with_it = published.messages
    assert "traceparent" not in without["headers"]
    assert with_it["headers"]["traceparent"] == RECORDED.format(7)


async def test_a_batch_that_fails_shows_why(harness: Harness) -> None:
    def away(_: Sequence[ImageIngested]) -> Sequence[Refusal]:
        raise BusUnavailable("away")

    harness.behaviour = away
    await harness.feed(RECORDED.format(7))
    (process,) = harness.traces.spans()
    assert process.attributes is not None
    assert process.attributes["error.type"] == "BusUnavailable"


def test_arrivals_begin_a_trace_each_or_continue_the_callers() -> None:
    traces = Traces()
    with traces.tracing.arriving(tracing.UPLOAD, source="upload") as arrivals:
        own = [arrivals.begin(f"receipt{number}", receipt_id=f"receipt{number}") for number in range(2)]
        assert [tracing.traceparent_of(f"receipt{number}") for number in range(2)] == own
    with traces.tracing.arriving(tracing.UPLOAD, traceparent=RECORDED.format(7)) as arrivals:
        continued = arrivals.begin("receipt3")
    with traces.tracing.arriving("fetch sdss") as arrivals:
        arrivals.begin("receipt4", began_ns=1)
    assert tracing.traceparent_of("receipt3") is None  # outside, nothing is worked on
    first, second, third, fetched = traces.spans()
    assert len({trace(first), trace(second), 7}) == 3
    assert (trace(third), parent(third)) == (7, "00f067aa0ba902b7")
    assert continued == f"00-{7:032x}-{place(third)[1]:016x}-01"
    assert (first.kind.name, fetched.kind.name, fetched.start_time) == ("SERVER", "CLIENT", 1)


def test_a_server_continues_the_callers_trace_only() -> None:
    traces = Traces()
    for metadata in ((), (("traceparent", NOT_RECORDED.format(6)),), (("traceparent", RECORDED.format(7)),)):
        with traces.tracing.serving(tracing.ANALYZE_MANY, SimpleNamespace(invocation_metadata=lambda m=metadata: m)):
            tracing.annotate_span(tracing.ANALYZE_MANY, batch_size=3)
    (span,) = traces.spans()
    assert (trace(span), parent(span), span.kind.name) == (7, "00f067aa0ba902b7", "SERVER")
    assert span.attributes is not None
    assert span.attributes["astrolens.batch_size"] == 3


def test_a_server_that_refuses_says_with_which_code() -> None:
    traces = Traces()
    context = SimpleNamespace(
        invocation_metadata=lambda: (("traceparent", RECORDED.format(7)),), code=lambda: grpc.StatusCode.UNAVAILABLE
    )
    with pytest.raises(ValueError, match="aborted"), traces.tracing.serving(tracing.ANALYZE_MANY, context):
        raise ValueError("aborted")
    (span,) = traces.spans()
    assert span.attributes is not None
    assert span.attributes["rpc.response.status_code"] == "UNAVAILABLE"
    assert not span.status.is_ok


def test_names_are_those_of_the_semantic_conventions() -> None:
    traces = Traces()
    event = PendingEvent(event_id="a", topic="t", key="k", payload="{}", traceparent=RECORDED.format(7))
    with traces.tracing.sending([event]), traces.tracing.arriving(tracing.UPLOAD) as arrivals:
        arrivals.begin("receipt")
    with (
        traces.tracing.consuming("t", "group", [record(b"", 1)]),
        traces.tracing.calling(tracing.ANALYZE_MANY, address="model-server:8081"),
        pytest.raises(ValueError, match="x"),
        traces.tracing.consuming("t", "group", [record(b"", 1), record(b"", 2)]),
    ):
        raise ValueError("x")
    modules = (messaging_attributes, rpc_attributes, error_attributes, http_attributes, server_attributes)
    known = {value for module in modules for name, value in vars(module).items() if name.isupper()}
    used = {name for span in traces.spans() for name in span.attributes or {}}
    assert {name for name in used if not name.startswith("astrolens.")} <= known
    assert len(used) > 10
