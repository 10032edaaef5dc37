"""Dead letters: records that cannot be processed are stored whole, counted, and published.

`DeadLetters.put` first stores a record and then publishes it to `<topic>.dlq`; only after both may the record be
acknowledged. Both are idempotent, so that a crash in between does no harm.
"""

import base64
import json
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from astrolens.contracts.base import utc_now
from astrolens.contracts.events import producer
from astrolens.contracts.ids import content_digest, derived_id
from astrolens.contracts.records import DeadLetter, PendingEvent
from astrolens.contracts.topics import dead_letter_topic
from astrolens.platform.bus.payload import event_body, event_headers
from astrolens.platform.errors import AstroLensError, PermanentError
from astrolens.platform.kafka_record import KafkaRecord
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import RecordStore
from astrolens.platform.telemetry.metrics import Metrics

_MAX_ERROR_LENGTH = 2000
"""Characters of an error that are stored: enough to repair it; a pydantic error can be as long as the record."""


PublishRaw = Callable[[str, bytes | None, bytes, dict[str, str]], Awaitable[None]]
"""Publishes (topic, key, body, headers) and returns when the broker has acknowledged."""


@dataclass
class _UnpublishedRecord:
    """An event in the form of the record that it would have become."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    partition: int = -1
    offset: int = -1


class TooManyDeadLetters(AstroLensError):
    """So many records were dead-lettered that the cause is more likely the service than the records."""


class CircuitBreaker:
    """Stops a service that would dead-letter everything.

    Raises `TooManyDeadLetters` when more than `limit` of the last `window` records were dead-lettered. A dead letter
    that is put again, because something after it failed, counts once.
    """

    def __init__(self, *, service: str, limit: int = 20, window: int = 200) -> None:
        self._service = service
        self._limit = limit
        # The id of a dead letter, or None for a record that was processed.
        self._outcomes: deque[str | None] = deque(maxlen=window)
        self._dead: set[str] = set()

    def record_processed(self, count: int) -> None:
        """Count records that were processed."""
        for _ in range(min(count, self._outcomes.maxlen or count)):
            self._add(None)

    def record_dead_letter(self, dead_letter_id: str) -> bool:
        """Count a dead letter; return False where it is counted already."""
        if dead_letter_id in self._dead:
            return False
        self._add(dead_letter_id)
        self._dead.add(dead_letter_id)
        return True

    def check(self, dead_letter_id: str, *, topic: str, error: str) -> None:
        """Raise `TooManyDeadLetters` unless this dead letter is counted already or one more is allowed."""
        if dead_letter_id not in self._dead and len(self._dead) >= self._limit:
            raise TooManyDeadLetters(
                f"{self._service} stopped: {len(self._dead)} of the last {len(self._outcomes)} records could not be "
                f"used (topic {topic}, last error: {error[:200]}); repair the cause and start it again, nothing is lost"
            )

    def _add(self, outcome: str | None) -> None:
        if len(self._outcomes) == self._outcomes.maxlen and (oldest := self._outcomes[0]) is not None:
            self._dead.discard(oldest)
        self._outcomes.append(outcome)


class DeadLetters:
    """Stores and publishes the dead letters of one service."""

    def __init__(
        self,
        *,
        service: str,
        records: RecordStore,
        publish: PublishRaw,
        breaker: CircuitBreaker,
        metrics: Metrics,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._service = service
        self._records = records
        self._publish = publish
        self._breaker = breaker
        self._metrics = metrics
        self._clock = clock

    async def put(self, record: KafkaRecord, *, error_type: str, error: str) -> None:
        """Store a record whole and publish it to its dead-letter topic.

        Raises:
            TooManyDeadLetters: Too many already; the record stays where it is.
            TransientError: The record store or the broker does not answer; nothing may be acknowledged.
        """
        letter = dead_letter(record, service=self._service, error_type=error_type, error=error, at=self._clock())
        self._breaker.check(letter.dead_letter_id, topic=record.topic, error=error)
        await self._records.insert(Collection.DEAD_LETTERS, [letter])
        await self._publish(dead_letter_topic(record.topic), record.key, record.value or b"", origin_headers(letter))
        if self._breaker.record_dead_letter(letter.dead_letter_id):
            self._metrics.dead_letters.labels(stage=record.topic, error=error_type).inc()


def dead_letter(record: KafkaRecord, *, service: str, error_type: str, error: str, at: datetime) -> DeadLetter:
    """The document that stores a record; its id follows from the record's place in its topic and from its bytes."""
    body = record.value or b""
    return DeadLetter(
        dead_letter_id=derived_id(
            "dead-letter", record.topic, str(record.partition), str(record.offset), content_digest(body)
        ),
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=None if record.key is None else _encode_base64(record.key),
        body=_encode_base64(body),
        headers=tuple((name, _encode_base64(value or b"")) for name, value in record.headers),
        service=service,
        error_type=error_type,
        error=error[:_MAX_ERROR_LENGTH].encode(errors="replace").decode(),
        dead_lettered_at=at,
    )


def dead_letter_of_event(event: PendingEvent, *, service: str, error_type: str, error: str, at: datetime) -> DeadLetter:
    """The document that stores an event which was never published; its place in its topic is -1."""
    try:
        body = event_body(event)
    except PermanentError:
        body = event.payload.encode()
    headers = tuple((name, value.encode()) for name, value in event_headers(event, producer(service)).items())
    record = _UnpublishedRecord(event.topic, key=event.key.encode(), value=body, headers=headers)
    return dead_letter(record, service=service, error_type=error_type, error=error, at=at)


def origin_headers(letter: DeadLetter) -> dict[str, str]:
    """Headers of the published dead letter: its origin, the error, and its own headers exactly, in base64.

    The trace context is repeated as a header, so that the trace continues with the repair.
    """
    traced = {name: _decode_base64(value) for name, value in letter.headers if name == "traceparent"}
    return traced | {
        "content-type": "application/octet-stream",
        "dead_letter_id": letter.dead_letter_id,
        "origin_topic": letter.topic,
        "origin_partition": str(letter.partition),
        "origin_offset": str(letter.offset),
        "origin_headers": json.dumps(letter.headers),
        "service": letter.service,
        "error_type": letter.error_type,
        "error": letter.error,
        "dead_lettered_at": letter.dead_lettered_at.isoformat(),
    }


def _decode_base64(value: str) -> str:
    return base64.b64decode(value).decode("ascii", errors="replace")


def _encode_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
