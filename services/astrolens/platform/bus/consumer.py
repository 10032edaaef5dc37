"""What happens to a batch of records: read one by one, handled together, isolated when it fails."""

import asyncio
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

E = TypeVar("E", bound=Event)

HANDLER_TIMEOUT_S = 180.0
"""Longest call of a handler; with the patience of a batch it stays below Kafka's poll interval of 300 s."""
BATCH_RETRY = RetryPolicy(timeout_s=240.0)
"""A batch is tried again in place this long; then it is given back and comes again. Seeking back at once, without
a pause, would read the same records thousands of times a second."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Refusal:
    """An event that can never be handled: trying again gives the same answer."""

    event: Event
    reason: Reason


Handler = Callable[[Sequence[E]], Awaitable[Sequence[Refusal]]]
"""Handles a batch, idempotently, and returns what it refuses for good."""
OnRefused = Callable[[Refusal], Awaitable[None]]
"""Settles what a dead-lettered event is about, so that the books balance. Idempotent."""


class Progress:
    """Signs of life of one consumer, for `/livez`."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self.in_progress = 0
        self.processed = 0
        self.last_s = clock()

    def tick(self) -> None:
        """Something went on: a batch began, a handler returned (or failed), a record was settled."""
        self.last_s = self._clock()


@dataclass(frozen=True)
class _Delivery(Generic[E]):
    record: KafkaRecord
    event: E


@dataclass(frozen=True)
class _DeadLettered:
    record: KafkaRecord
    error_type: str
    error: str
    refusal: Refusal | None = None


@dataclass
class _Work(Generic[E]):
    """What is left to do of a batch; it survives attempts, so that a retry goes on where the last one stopped."""

    unusable: deque[_DeadLettered] = field(default_factory=deque)
    groups: list[list[_Delivery[E]]] = field(default_factory=list)


class BatchConsumer(Generic[E]):
    """Settles batches of one topic. It returns when every record is either handled or kept as a dead letter."""

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
        handler_timeout_s: float = HANDLER_TIMEOUT_S,
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
        # There from the start: of a series that begins at one, Prometheus sees no increase.
        metrics.retries.labels(stage=topic)
        metrics.settled.labels(stage=topic, outcome="dead_lettered")
        self._stopping = stopping
        self._retry_policy = retry_policy
        self._handler_timeout_s = handler_timeout_s
        self._tracing = tracing
        self._group = group

    async def consume(self, records: Sequence[KafkaRecord]) -> None:
        """Settle every record.

        Raises:
            TransientError: RetryPolicy or the service ended before something came back; nothing may be acknowledged.
            TooManyDeadLetters: Too many dead letters; nothing may be acknowledged and the service must stop.
        """
        self.progress.in_progress = len(records)
        self.progress.tick()
        self._metrics.received.labels(stage=self.topic).inc(len(records))
        self._metrics.batch_size.labels(stage=self.topic).observe(len(records))
        work = self._read(records)
        try:
            with self._tracing.consuming(self.topic, self._group, records):
                await retry(
                    lambda: self._settle(work),
                    retry_policy=self._retry_policy,
                    stopping=self._stopping,
                    on_failure=self._report,
                )
        finally:
            self.progress.in_progress = 0
            self.progress.tick()
        self.progress.processed += len(records)
        if self._condition.clear_issue(self.topic):
            _log.info("works again", topic=self.topic)

    def _read(self, records: Sequence[KafkaRecord]) -> _Work[E]:
        work: _Work[E] = _Work()
        readable: list[_Delivery[E]] = []
        for record in records:
            try:
                for _, value in record.headers:
                    if value is not None:
                        value.decode()
                event = self._event.model_validate_json(record.value or b"")
            except UnicodeDecodeError as error:
                work.unusable.append(
                    _DeadLettered(record, "unreadable-header", f"a header is not UTF-8: {error.reason}")
                )
            except ValidationError as error:
                work.unusable.append(_DeadLettered(record, *_explain(error)))
            else:
                readable.append(_Delivery(record, event))
        if readable:
            work.groups.append(readable)
        return work

    async def _settle(self, work: _Work[E]) -> None:
        while work.unusable or work.groups:
            while work.unusable:
                await self._dead_letter(work.unusable[0])
                work.unusable.popleft()
            if work.groups:
                await self._handle(work)

    async def _handle(self, work: _Work[E]) -> None:
        group = work.groups[-1]
        started = monotonic()
        try:
            refusals = await self._call([delivery.event for delivery in group])
        except TransientError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a record provokes must not block its topic
            work.groups.pop()
            if len(group) > 1:
                middle = len(group) // 2
                work.groups += [group[middle:], group[:middle]]
            else:
                work.unusable.append(self._poisonous(group[0], error))
            return
        finally:
            self.progress.tick()
            self._metrics.handler_seconds.labels(stage=self.topic).observe(monotonic() - started)
        work.groups.pop()
        refused = {id(refusal.event): refusal for refusal in refusals}
        by_id = {refusal.event.event_id: refusal for refusal in refusals}
        for delivery in group:
            refusal = refused.get(id(delivery.event)) or by_id.get(delivery.event.event_id)
            if refusal is not None:
                work.unusable.append(
                    _DeadLettered(delivery.record, refusal.reason.code, refusal.reason.detail, refusal)
                )
        self._count_done(group, refused=len(refusals))

    async def _call(self, events: Sequence[E]) -> Sequence[Refusal]:
        try:
            async with asyncio.timeout(self._handler_timeout_s) as bound:
                return await self._handler(events)
        except (TimeoutError, ConnectionError) as error:
            # Neither can be a record's fault: something that a handler talks to is slow or away.
            sentence = f"took longer than {self._handler_timeout_s:g} s" if bound.expired() else f"failed: {error!r}"
            raise TransientError(f"handling {self.topic} {sentence}") from error

    def _poisonous(self, delivery: _Delivery[E], error: Exception) -> _DeadLettered:
        if isinstance(error, PermanentError):
            reason = error.reason
        else:
            # Logged with its trace here and nowhere else: the dead letter keeps only the sentence.
            _log.error("a record cannot be handled", topic=self.topic, event_id=delivery.event.event_id, exc_info=error)
            reason = Reason(code="handler-failed", detail=f"{type(error).__name__}: {error}"[:500])
        return _DeadLettered(delivery.record, reason.code, reason.detail, Refusal(delivery.event, reason))

    async def _dead_letter(self, dead: _DeadLettered) -> None:
        await self._dead_letters.put(dead.record, error_type=dead.error_type, error=dead.error)
        if dead.refusal is not None:
            await self._settle_refused(dead.refusal)
        self.progress.tick()
        self._metrics.settled.labels(stage=self.topic, outcome="dead_lettered").inc()
        self._condition.record_error(f"dead-lettered a record of {self.topic}: {dead.error}")
        key = record_key(dead.record)
        record_failure(key, dead.error_type)
        _log.warning(
            "dead-lettered a record",
            topic=dead.record.topic,
            partition=dead.record.partition,
            offset=dead.record.offset,
            error_type=dead.error_type,
            error=dead.error,
            **log_fields(key),
        )

    async def _settle_refused(self, refusal: Refusal) -> None:
        if self._on_refused is None:
            return
        try:
            await self._on_refused(refusal)
        except TransientError:
            raise
        except Exception as error:  # noqa: BLE001 - the dead letter is kept; one bad record must not block its topic
            _log.error("a dead-lettered event is not settled", event_id=refusal.event.event_id, exc_info=error)
            self._condition.record_error(f"a dead-lettered event of {self.topic} is not settled: {error}")

    def _count_done(self, group: Sequence[_Delivery[E]], *, refused: int) -> None:
        self._breaker.note_used(len(group) - refused)
        self._metrics.settled.labels(stage=self.topic, outcome="done").inc(len(group) - refused)

    def _report(self, error: TransientError) -> None:
        self.progress.tick()
        self._metrics.retries.labels(stage=self.topic).inc()
        if self._condition.set_issue(self.topic, str(error)):
            _log.warning("waits for something that is away", topic=self.topic, error=str(error))


def _explain(error: ValidationError) -> tuple[str, str]:
    """Code and sentence of an unreadable body, without its content."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    if problems[0]["type"] == "json_invalid":
        return "invalid-json", problems[0]["msg"]
    listed = "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in problems[:5])
    return "wrong-schema", listed
