"""Processes batches of records: each is parsed alone, all are handled together, and one that fails is isolated."""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Generic, TypeVar

import structlog
from pydantic import ValidationError

from astrolens.contracts.events import Event
from astrolens.contracts.records import Reason
from astrolens.platform.bus.dead_letters import CircuitBreaker, DeadLetters
from astrolens.platform.errors import PermanentError, TransientError
from astrolens.platform.kafka_record import KafkaRecord
from astrolens.platform.retry import RetryPolicy, retry
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.telemetry.metrics import Metrics
from astrolens.platform.telemetry.tracing import NO_TRACING, Tracing, log_fields, record_failure, record_key
from astrolens.platform.time_limits import BATCH_RETRY_S, HANDLER_S

E = TypeVar("E", bound=Event)

BATCH_RETRY = RetryPolicy(timeout_s=BATCH_RETRY_S)
"""How long a batch is tried again before it is left to be read again. Reading it again at once, without a pause, would
repeat it thousands of times a second."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Refusal:
    """An event that can never be handled, and why: trying again gives the same answer."""

    event: Event
    reason: Reason


Handler = Callable[[Sequence[E]], Awaitable[Sequence[Refusal]]]
"""Handles a batch, idempotently, and returns the events that it refuses."""
OnRefused = Callable[[Refusal], Awaitable[None]]
"""Completes the record of what a dead-lettered event is about, so that nothing stays open. Idempotent."""


class Progress:
    """The progress of one consumer, for `/livez`.

    Attributes:
        in_progress: Records of the batch that is processed now.
        processed: Records settled since the start.
        last_s: When it last went on, by its clock.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self.in_progress = 0
        self.processed = 0
        self.last_s = clock()

    def tick(self) -> None:
        """Note progress: a batch began, a handler returned or failed, a record was settled."""
        self.last_s = self._clock()


@dataclass(frozen=True)
class _ParsedRecord(Generic[E]):
    record: KafkaRecord
    event: E


@dataclass(frozen=True)
class _UnusableRecord:
    record: KafkaRecord
    error_type: str
    error: str
    refusal: Refusal | None = None


@dataclass
class _BatchState(Generic[E]):
    """What remains of a batch. It outlives an attempt, so that a retry continues where the last one stopped.

    Attributes:
        unusable: To be dead-lettered.
        groups: To be handled, each together; halves of a group that failed.
        deadline: No handler call and no dead letter begins later, by `monotonic`.
    """

    unusable: deque[_UnusableRecord] = field(default_factory=deque)
    groups: list[list[_ParsedRecord[E]]] = field(default_factory=list)
    deadline: float = math.inf


class BatchConsumer(Generic[E]):
    """Processes the batches of one topic: every record is either handled or becomes a dead letter."""

    def __init__(
        self,
        *,
        topic: str,
        event: type[E],
        handler: Handler[E],
        on_refused: OnRefused | None,
        dead_letters: DeadLetters,
        breaker: CircuitBreaker,
        condition: Condition,
        metrics: Metrics,
        stopping: asyncio.Event,
        retry_policy: RetryPolicy = BATCH_RETRY,
        handler_timeout_s: float = HANDLER_S,
        progress: Progress | None = None,
        tracing: Tracing = NO_TRACING,
        group: str = "",
    ) -> None:
        self.topic = topic
        self.progress = progress or Progress()
        self._event = event
        self._handler = handler
        self._on_refused = on_refused
        self._dead_letters = dead_letters
        self._breaker = breaker
        self._condition = condition
        self._metrics = metrics
        # Created at the start: Prometheus sees no increase of a series that begins at one.
        metrics.retries.labels(stage=topic)
        metrics.settled.labels(stage=topic, outcome="dead_lettered")
        self._stopping = stopping
        self._retry_policy = retry_policy
        self._handler_timeout_s = handler_timeout_s
        self._tracing = tracing
        self._group = group

    async def consume(self, records: Sequence[KafkaRecord]) -> None:
        """Handle or dead-letter every record.

        Raises:
            TransientError: Retries or the service ended before something answered; nothing may be acknowledged.
            TooManyDeadLetters: Nothing may be acknowledged, and the service must stop.
        """
        self.progress.in_progress = len(records)
        self.progress.tick()
        self._metrics.received.labels(stage=self.topic).inc(len(records))
        self._metrics.batch_size.labels(stage=self.topic).observe(len(records))
        state = self._parse(records)
        state.deadline = monotonic() + BATCH_RETRY_S
        try:
            with self._tracing.consuming(self.topic, self._group, records):
                await retry(
                    lambda: self._process(state),
                    retry_policy=self._retry_policy,
                    stopping=self._stopping,
                    on_failure=self._report_retry,
                )
        finally:
            self.progress.in_progress = 0
            self.progress.tick()
        self.progress.processed += len(records)
        if self._condition.clear_issue(self.topic):
            _log.info("batches succeed again", topic=self.topic)

    def _parse(self, records: Sequence[KafkaRecord]) -> _BatchState[E]:
        state: _BatchState[E] = _BatchState()
        parsed: list[_ParsedRecord[E]] = []
        for record in records:
            try:
                for _, value in record.headers:
                    if value is not None:
                        value.decode()
                event = self._event.model_validate_json(record.value or b"")
            except UnicodeDecodeError as error:
                state.unusable.append(
                    _UnusableRecord(record, "unreadable-header", f"a header is not UTF-8: {error.reason}")
                )
            except ValidationError as error:
                state.unusable.append(_UnusableRecord(record, *_describe(error)))
            else:
                parsed.append(_ParsedRecord(record, event))
        if parsed:
            state.groups.append(parsed)
        return state

    async def _process(self, state: _BatchState[E]) -> None:
        while state.unusable or state.groups:
            if state.unusable:
                await self._dead_letter(state.unusable[0])
                state.unusable.popleft()
            else:
                await self._handle_group(state)
            if monotonic() > state.deadline and (state.unusable or state.groups):
                # Halves of a slow batch could together outlast the poll interval, and the group would rebalance.
                raise TransientError(f"a batch of {self.topic} took longer than {BATCH_RETRY_S:g} s")

    async def _handle_group(self, state: _BatchState[E]) -> None:
        group = state.groups[-1]
        started = monotonic()
        try:
            refusals = await self._call([parsed_record.event for parsed_record in group])
        except TransientError:
            raise
        except Exception as error:  # noqa: BLE001 - no failure of one record may block its topic
            state.groups.pop()
            if len(group) > 1:
                middle = len(group) // 2
                state.groups += [group[middle:], group[:middle]]
            else:
                state.unusable.append(self._unusable(group[0], error))
            return
        finally:
            self.progress.tick()
            self._metrics.handler_seconds.labels(stage=self.topic).observe(monotonic() - started)
        state.groups.pop()
        refused = {id(refusal.event): refusal for refusal in refusals}
        by_id = {refusal.event.event_id: refusal for refusal in refusals}
        for parsed_record in group:
            refusal = refused.get(id(parsed_record.event)) or by_id.get(parsed_record.event.event_id)
            if refusal is not None:
                state.unusable.append(
                    _UnusableRecord(parsed_record.record, refusal.reason.code, refusal.reason.detail, refusal)
                )
        self._count_done(group, refused=len(refusals))

    async def _call(self, events: Sequence[E]) -> Sequence[Refusal]:
        try:
            async with asyncio.timeout(self._handler_timeout_s) as bound:
                return await self._handler(events)
        except (TimeoutError, ConnectionError) as error:
            # Never the fault of a record: something that the handler calls is slow or does not answer.
            sentence = f"took longer than {self._handler_timeout_s:g} s" if bound.expired() else f"failed: {error!r}"
            raise TransientError(f"handling {self.topic} {sentence}") from error

    def _unusable(self, parsed_record: _ParsedRecord[E], error: Exception) -> _UnusableRecord:
        if isinstance(error, PermanentError):
            reason = error.reason
        else:
            # The trace is logged here only: the dead letter holds the sentence.
            _log.error(
                "a record cannot be handled", topic=self.topic, event_id=parsed_record.event.event_id, exc_info=error
            )
            reason = Reason(code="handler-failed", detail=f"{type(error).__name__}: {error}"[:500])
        return _UnusableRecord(parsed_record.record, reason.code, reason.detail, Refusal(parsed_record.event, reason))

    async def _dead_letter(self, unusable: _UnusableRecord) -> None:
        await self._dead_letters.put(unusable.record, error_type=unusable.error_type, error=unusable.error)
        if unusable.refusal is not None:
            await self._settle_refused(unusable.refusal)
        self.progress.tick()
        self._metrics.settled.labels(stage=self.topic, outcome="dead_lettered").inc()
        self._condition.record_error(f"dead-lettered a record of {self.topic}: {unusable.error}")
        key = record_key(unusable.record)
        record_failure(key, unusable.error_type)
        _log.warning(
            "dead-lettered a record",
            topic=unusable.record.topic,
            partition=unusable.record.partition,
            offset=unusable.record.offset,
            error_type=unusable.error_type,
            error=unusable.error,
            **log_fields(key),
        )

    async def _settle_refused(self, refusal: Refusal) -> None:
        if self._on_refused is None:
            return
        try:
            await self._on_refused(refusal)
        except TransientError:
            raise
        except Exception as error:  # noqa: BLE001 - the dead letter is stored; one record must not block its topic
            _log.error("a dead-lettered event is not settled", event_id=refusal.event.event_id, exc_info=error)
            self._condition.record_error(f"a dead-lettered event of {self.topic} is not settled: {error}")

    def _count_done(self, group: Sequence[_ParsedRecord[E]], *, refused: int) -> None:
        self._breaker.record_processed(len(group) - refused)
        self._metrics.settled.labels(stage=self.topic, outcome="done").inc(len(group) - refused)

    def _report_retry(self, error: TransientError) -> None:
        self.progress.tick()
        self._metrics.retries.labels(stage=self.topic).inc()
        if self._condition.set_issue(self.topic, str(error)):
            _log.warning("a batch is tried again", topic=self.topic, error=str(error))


def _describe(error: ValidationError) -> tuple[str, str]:
    """Code and sentence of a body that cannot be parsed, without its content."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    if problems[0]["type"] == "json_invalid":
        return "invalid-json", problems[0]["msg"]
    listed = "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in problems[:5])
    return "wrong-schema", listed
