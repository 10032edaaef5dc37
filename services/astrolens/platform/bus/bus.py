"""The bus of one service: FastStream's Kafka broker with every default that loses records overridden."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
)
from faststream import AckPolicy
from faststream.exceptions import IncorrectState, NackMessage
from faststream.kafka import KafkaBroker
from faststream.kafka.schemas import Topic

from astrolens.contracts.events import Event, producer
from astrolens.contracts.records import PendingEvent
from astrolens.platform.bus.access import KafkaAccess, access_of
from astrolens.platform.bus.connect import await_broker, diagnosis
from astrolens.platform.bus.consumer import BATCH_RETRY, BatchConsumer, Handler, OnRefused
from astrolens.platform.bus.dead_letters import CircuitBreaker, DeadLetters, TooManyDeadLetters
from astrolens.platform.bus.middleware import UnreadableRecords
from astrolens.platform.bus.payload import body_of, headers_of
from astrolens.platform.errors import AstroLensError, BusUnavailable, ConfigurationError, PermanentError, TransientError
from astrolens.platform.kafka_record import KafkaRecord
from astrolens.platform.private_apis import BatchSubscriber, KafkaAckableMessage
from astrolens.platform.retry import RetryPolicy
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.settings import Settings
from astrolens.platform.stores.records import RecordStore
from astrolens.platform.telemetry.metrics import Metrics
from astrolens.platform.telemetry.tracing import NO_TRACING, Tracing

E = TypeVar("E", bound=Event)

MAX_POLL_INTERVAL_MS = 300_000
"""Kafka's default; a handler and its retries stay below it (`consumer.py`), or the group would loop for ever."""
POLL_MS = 50
"""How long one poll waits. FastStream sleeps as long again after an empty poll, so this bounds the added delay."""
FETCH_WAIT_MS, EMBEDDED_FETCH_WAIT_MS = 250, 100
"""How long the broker may hold an empty fetch. The in-process broker does not cut it short when a record comes; Kafka
does, and each fetch that finds nothing costs it as much as ten records. Not longer: a partition whose records are still
being read is left out of a fetch, and waits for its end."""
SESSION_MS, LOCAL_SESSION_MS = 10_000, 6_000
"""When a member that is gone loses its partitions. The in-process broker also lets every returning member wait so
long, less a second; on one machine there is no network to forgive, so Kafka's smallest default bound will do."""
METADATA_MS = 30_000
"""How soon a consumer hears that its topic is there again, or has more partitions; the default is five minutes."""
LINGER_MS = 5
"""Gathers the events of a batch of documents into one request; nobody sees five milliseconds."""
MAX_BATCH_BYTES = 256 * 1024
MAX_REQUEST_BYTES = 1_000_000
"""Kafka's default limit of a record, less its envelope."""
PUBLISH_TIMEOUT_S = 15.0
START_TIMEOUT_S = 30.0

_log = structlog.get_logger(__name__)


class Bus:
    """Publishes and consumes events. Made by `create_bus`; `connect` and `start` open it, `stop` closes it."""

    def __init__(
        self,
        broker_of: Callable[["Bus"], KafkaBroker],
        *,
        service: str,
        access: KafkaAccess,
        records: RecordStore,
        metrics: Metrics,
        condition: Condition,
        breaker: CircuitBreaker,
        retry_policy: RetryPolicy,
        fetch_wait_ms: int = EMBEDDED_FETCH_WAIT_MS,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self.service = service
        self.condition = condition
        self.consumers: list[BatchConsumer[Any]] = []
        self.on_failure: Callable[[AstroLensError], None] | None = None
        """Told once when consuming cannot go on: the service must stop."""
        self._access = access
        self._metrics = metrics
        self._breaker = breaker
        self._retry_policy = retry_policy
        self._fetch_wait_ms = fetch_wait_ms
        self._tracing = tracing
        self._stopping = asyncio.Event()
        self._subscribers: list[BatchSubscriber] = []
        self.dead_letters = DeadLetters(
            service=service, records=records, publish=self._publish_raw, breaker=breaker, metrics=metrics
        )
        self.broker = broker_of(self)

    def consume(
        self,
        topic: str,
        event: type[E],
        handler: Handler[E],
        *,
        on_refused: OnRefused | None = None,
        group: str | None = None,
        max_batch: int = 64,
    ) -> BatchConsumer[E]:
        """Declare what is done with the events of a topic. Call it before `start`.

        Args:
            topic: The topic to read.
            event: The one kind of event on it.
            handler: Handles a batch, idempotently, and returns what it refuses. A `TransientError` is tried again
                in place; any other exception makes the batch be tried in halves until the culprit is alone.
            on_refused: Settles what a dead-lettered event is about. Idempotent.
            group: Consumer group, `astrolens-<service>` by default; a second topic needs its own.
            max_batch: Most records a batch.

        Raises:
            AstroLensError: Another topic of this service has the same group.
        """
        group = group or f"astrolens-{self.service}"
        consumer = BatchConsumer(
            topic=topic,
            event=event,
            handler=handler,
            on_refused=on_refused,
            dead_letters=self.dead_letters,
            breaker=self._breaker,
            condition=self.condition,
            metrics=self._metrics,
            stopping=self._stopping,
            retry_policy=self._retry_policy,
            tracing=self._tracing,
            group=group,
        )
        if group in {subscriber.group_id for subscriber in self._subscribers}:
            # Each topic has its own member, and two members in one group fail on the in-process broker.
            raise AstroLensError(f"{topic}: consumer group {group} is taken by another topic; give it its own")
        session_ms = LOCAL_SESSION_MS if _all_local(self._access.servers) else SESSION_MS
        subscriber = self.broker.subscriber(
            # Topics belong to the deployment; the embedded broker makes them by itself and knows no admin calls.
            Topic(topic, declare=False),
            batch=True,
            group_id=group,
            ack_policy=AckPolicy.NACK_ON_ERROR,
            auto_offset_reset="earliest",
            max_records=max_batch,
            batch_timeout_ms=POLL_MS,
            fetch_max_wait_ms=self._fetch_wait_ms,
            max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=session_ms // 3,
            no_reply=True,
        )

        async def parse(records: tuple[KafkaRecord, ...]) -> KafkaAckableMessage:
            # FastStream's own parser decodes every header and fails the whole batch, acknowledgement included,
            # on one that is not UTF-8. Records are read one by one in the consumer instead.
            first, last = records[0], records[-1]
            return KafkaAckableMessage(
                raw_message=records,
                body=b"",
                message_id=f"{first.offset}-{last.offset}",
                correlation_id=f"{first.topic}-{first.partition}-{first.offset}",
                consumer=subscriber.consumer,
            )

        async def on_records(records: Any) -> None:
            await self._consume(consumer, subscriber, records)

        subscriber(on_records, parser=parse, decoder=_raw)
        self.consumers.append(consumer)
        self._subscribers.append(subscriber)
        return consumer

    async def publish(self, events: Sequence[PendingEvent]) -> None:
        """Publish events together and wait until the broker has acknowledged all of them.

        Raises:
            BusUnavailable: Not all were acknowledged in time; publishing again is harmless.
            PermanentError: An event is larger than the broker takes.
        """
        name = producer(self.service)
        with self._tracing.sending(events):
            await self._send([(e.topic, e.key.encode(), body_of(e), headers_of(e, name)) for e in events])
        self._metrics.published.inc(len(events))

    async def connect(self, *, patience_s: float | None = None) -> None:
        """Connect for publishing, within a bounded wait (`START_TIMEOUT_S` by default).

        Raises:
            BusUnavailable: No broker answers.
            ConfigurationError: It refuses the log-in, or a topic that is consumed here is missing.
        """
        await await_broker(
            self._access,
            patience_s=START_TIMEOUT_S if patience_s is None else patience_s,
            topics=[consumer.topic for consumer in self.consumers],
        )
        try:
            await self.broker.connect()
        except ClusterAuthorizationFailedError as error:
            raise ConfigurationError(
                f"Kafka at {self._access.name} does not let this user publish: it has WRITE on no topic"
            ) from error
        except (KafkaError, OSError) as error:
            raise BusUnavailable(f"the event broker at {self._access.name} does not answer: {error}") from error

    async def start(self) -> None:
        """Connect and begin to consume what was declared.

        Raises:
            BusUnavailable: No broker answers.
        """
        await self.connect()
        try:
            await self.broker.start()
        except (KafkaError, OSError) as error:
            raise BusUnavailable(f"consuming could not begin: {error}") from error

    async def stop_consuming(self) -> None:
        """Finish the batches in hand and acknowledge them; publishing still works."""
        self._stopping.set()
        await asyncio.gather(*(subscriber.stop() for subscriber in self._subscribers))

    async def stop(self) -> None:
        """Stop consuming, send what is buffered, disconnect."""
        await self.stop_consuming()
        await self.broker.stop()

    async def ping(self) -> None:
        """Raise `BusUnavailable` unless the broker answers, lets us in, and has the topics that are consumed here."""
        answers = await self.broker.ping(timeout=2.0)
        # A client that is connected hears neither of a password that was changed nor of a topic that was deleted.
        problem = await diagnosis(self._access, [consumer.topic for consumer in self.consumers])
        if problem is not None:
            raise BusUnavailable(problem)
        if not answers:
            raise BusUnavailable(f"the event broker at {self._access.name} does not answer")

    async def lag(self) -> dict[str, int]:
        """Records that wait in each topic consumed here, as of the last fetch."""
        return {
            consumer.topic: 0 if subscriber.consumer is None else await _waiting(subscriber.consumer)
            for consumer, subscriber in zip(self.consumers, self._subscribers, strict=True)
        }

    async def settle_unreadable(self, records: Sequence[KafkaRecord], error: Exception) -> None:
        """Settle records that FastStream could not hand over (see `UnreadableRecords`)."""
        by_topic = {consumer.topic: consumer for consumer in self.consumers}
        if (consumer := by_topic.get(records[0].topic)) is not None:
            await consumer.consume(records)
            return
        sentence = f"{type(error).__name__}: {error}"
        for record in records:
            await self.dead_letters.put(record, error_type="unreadable-record", error=sentence)

    async def _consume(
        self, consumer: BatchConsumer[Any], subscriber: BatchSubscriber, records: Sequence[KafkaRecord]
    ) -> None:
        try:
            await consumer.consume(records)
        except TransientError as error:
            _log.warning("gives a batch back", topic=consumer.topic, records=len(records), error=str(error))
            raise NackMessage from error
        except TooManyDeadLetters as error:
            self._fail(subscriber, error)
            raise NackMessage from error
        except Exception as error:
            _log.exception("consuming failed", topic=consumer.topic)
            self._fail(subscriber, AstroLensError(f"consuming {consumer.topic} failed: {error!r}"))
            raise NackMessage from error

    def _fail(self, subscriber: BatchSubscriber, error: AstroLensError) -> None:
        # Without this the loop would seek back and read the same batch again at once.
        subscriber.running = False
        self._report_failure(error)

    def _report_failure(self, error: AstroLensError) -> None:
        if self.on_failure is not None:
            self.on_failure(error)

    async def _publish_raw(self, topic: str, key: bytes | None, body: bytes, headers: dict[str, str]) -> None:
        try:
            await self._send([(topic, key, body, headers)])
        except PermanentError:
            # With its headers a record at the limit is over it. The record store has it whole; say so.
            await self._send([(topic, key, b"", {**headers, "origin_headers": "[]", "body": "in the record store"})])

    async def _send(self, messages: Sequence[tuple[str, bytes | None, bytes, dict[str, str]]]) -> None:
        futures: list[asyncio.Future[Any]] = []
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                for topic, key, body, headers in messages:
                    futures.append(
                        await self.broker.publish(
                            body, topic, key=key, headers=headers, correlation_id=topic, no_confirm=True
                        )
                    )
                await asyncio.gather(*futures)
        except (MessageSizeTooLargeError, InvalidTopicError) as error:
            raise PermanentError("event-refused", f"the event broker never takes it: {error}") from error
        except (ProducerFenced, OutOfOrderSequenceNumber, ProducerClosed) as error:
            # The idempotent producer is beyond repair and fails every later event: only a new process helps.
            failure = BusUnavailable(f"the event producer of {self.service} has failed for good: {error!r}")
            self._report_failure(failure)
            raise failure from error
        except (KafkaError, TimeoutError, OSError, IncorrectState) as error:
            told = await diagnosis(self._access, sorted({topic for topic, *_ in messages}))
            sentence = told or f"the event broker did not take {len(messages)} events: {error!r}"
            raise BusUnavailable(sentence) from error
        finally:
            for future in futures:
                future.add_done_callback(_retrieve)


def create_bus(
    settings: Settings,
    *,
    service: str,
    records: RecordStore,
    metrics: Metrics | None = None,
    condition: Condition | None = None,
    breaker: CircuitBreaker | None = None,
    retry_policy: RetryPolicy = BATCH_RETRY,
    tracing: Tracing = NO_TRACING,
) -> Bus:
    """The bus of a service; opens nothing yet.

    Raises:
        ConfigurationError: `events_url` names no broker.
    """
    access = access_of(settings)

    def broker_of(bus: Bus) -> KafkaBroker:
        return KafkaBroker(
            list(access.servers),
            security=access.security,
            client_id=f"astrolens-{service}",
            enable_idempotence=True,
            metadata_max_age_ms=METADATA_MS,
            linger_ms=LINGER_MS,
            max_batch_size=MAX_BATCH_BYTES,
            max_request_size=MAX_REQUEST_BYTES,
            graceful_timeout=settings.shutdown_grace_s * 0.6,
            ack_policy=AckPolicy.NACK_ON_ERROR,
            middlewares=(UnreadableRecords.settling(bus.settle_unreadable),),
            apply_types=False,
            logger=logging.getLogger("faststream"),
            log_level=logging.DEBUG,
        )

    return Bus(
        broker_of,
        service=service,
        access=access,
        records=records,
        metrics=metrics or Metrics(service),
        condition=condition or Condition(),
        breaker=breaker or CircuitBreaker(service=service),
        retry_policy=retry_policy,
        fetch_wait_ms=EMBEDDED_FETCH_WAIT_MS if settings.embedded_broker else FETCH_WAIT_MS,
        tracing=tracing,
    )


def _all_local(servers: Sequence[str]) -> bool:
    return all(server.rpartition(":")[0] in {"127.0.0.1", "[::1]", "localhost"} for server in servers)


async def _raw(message: Any) -> Any:
    return message.raw_message


def _retrieve(future: "asyncio.Future[Any]") -> None:
    # Without a look at it, asyncio would report the exception of a future that nobody awaits any more.
    if not future.cancelled():
        future.exception()


async def _waiting(consumer: AIOKafkaConsumer) -> int:
    waiting = 0
    for partition in consumer.assignment():
        end = consumer.highwater(partition)
        if end is None:
            continue
        with suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(0.2):
                waiting += max(0, end - await consumer.position(partition))
    return waiting
