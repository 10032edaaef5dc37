"""Dead letters: records that cannot be used are kept whole, counted, and published for whoever mends them.

`bury` puts a record into the record store first and publishes it to `<topic>.dlq` second; only after both may the
record be acknowledged. Both are idempotent, so that a crash in between does no harm.
"""

import base64
import hashlib
import json
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime

from astrolens.contracts.base import utc_now
from astrolens.contracts.ids import derived_id
from astrolens.contracts.records import DeadLetter
from astrolens.contracts.topics import dead_letter_topic
from astrolens.platform.errors import AstroLensError
from astrolens.platform.kafka_record import KafkaRecord
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import RecordStore
from astrolens.platform.telemetry.metrics import Metrics

_LONGEST_ERROR = 2000
"""Characters of an error kept: enough to mend it; a pydantic error can be as long as the record."""


PublishRaw = Callable[[str, bytes | None, bytes, dict[str, str]], Awaitable[None]]
"""Publishes (topic, key, body, headers) and returns when the broker has acknowledged."""


class TooManyDeadLetters(AstroLensError):
    """So many records were dead-lettered that the cause is more likely ours than theirs."""


class CircuitBreaker:
    """Stops a service that would divert everything.

    Raises `TooManyDeadLetters` when more than `limit` of the last `window` records were dead-lettered.
    """

    def __init__(self, *, service: str, limit: int = 20, window: int = 200) -> None:
        self._service = service
        self._limit = limit
        self._outcomes: deque[bool] = deque(maxlen=window)
        self._dead = 0

    def note_used(self, count: int) -> None:
        """Count records that could be used."""
        for _ in range(min(count, self._outcomes.maxlen or count)):
            self._append(dead=False)

    def note_dead(self) -> None:
        """Count a dead letter."""
        self._append(dead=True)

    def check(self, topic: str, error: str) -> None:
        """Raise unless one more dead letter is tolerable."""
        if self._dead >= self._limit:
            raise TooManyDeadLetters(
                f"{self._service} stopped: {self._dead} of the last {len(self._outcomes)} records could not be used "
                f"(topic {topic}, last error: {error[:200]}); mend the cause and start it again, nothing is lost"
            )

    def _append(self, *, dead: bool) -> None:
        if len(self._outcomes) == self._outcomes.maxlen:
            self._dead -= self._outcomes[0]
        self._outcomes.append(dead)
        self._dead += dead


class DeadLetters:
    """Where a service's unusable records go."""

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
        """Keep a record whole and publish it to its dead-letter topic.

        Raises:
            TooManyDeadLetters: Too many already; the record stays where it is.
            TransientError: The record store or the broker is away; nothing may be acknowledged.
        """
        self._breaker.check(record.topic, error)
        letter = dead_letter(record, service=self._service, error_type=error_type, error=error, at=self._clock())
        await self._records.insert(Collection.DEAD_LETTERS, [letter])
        await self._publish(dead_letter_topic(record.topic), record.key, record.value or b"", origin_headers(letter))
        self._breaker.note_dead()
        self._metrics.dead_letters.labels(stage=record.topic, error=error_type).inc()


def dead_letter(record: KafkaRecord, *, service: str, error_type: str, error: str, at: datetime) -> DeadLetter:
    """The document that keeps a record; its id is a function of where the record lay and of its bytes."""
    body = record.value or b""
    return DeadLetter(
        dead_letter_id=derived_id(
            "dead-letter", record.topic, str(record.partition), str(record.offset), hashlib.sha256(body).hexdigest()
        ),
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=None if record.key is None else _base64(record.key),
        body=_base64(body),
        headers=tuple((name, _base64(value or b"")) for name, value in record.headers),
        service=service,
        error_type=error_type,
        error=error[:_LONGEST_ERROR].encode(errors="replace").decode(),
        dead_lettered_at=at,
    )


def origin_headers(letter: DeadLetter) -> dict[str, str]:
    """Headers of the published dead letter: where it came from and why; its own headers exactly, in base64.

    The trace context is repeated in the open, so that the trace goes on with whoever mends it.
    """
    traced = {name: _text(value) for name, value in letter.headers if name == "traceparent"}
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


def _text(value: str) -> str:
    return base64.b64decode(value).decode("ascii", errors="replace")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
