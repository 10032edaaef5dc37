"""The event bus of one service, on FastStream's Kafka broker."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import structlog
from aiokafka.errors import ClusterAuthorizationFailedError, KafkaError
from faststream import AckPolicy
from faststream.exceptions import NackMessage
from faststream.kafka import KafkaBroker

from astrolens.contracts.events import Event, producer
from astrolens.contracts.records import PendingEvent
from astrolens.platform.bus.access import KafkaAccess, kafka_access
from astrolens.platform.bus.connect import await_broker, find_access_problem
from astrolens.platform.bus.consumer import BATCH_RETRY, BatchConsumer, Handler, OnRefused
from astrolens.platform.bus.dead_letters import CircuitBreaker, DeadLetters, TooManyDeadLetters
from astrolens.platform.bus.middleware import UnreadableRecordsMiddleware
from astrolens.platform.bus.payload import MAX_REQUEST_BYTES, event_body, event_headers
from astrolens.platform.bus.producer import OutgoingRecord, RecordProducer
from astrolens.platform.bus.subscription import (
    EMBEDDED_FETCH_WAIT_MS,
    FETCH_WAIT_MS,
    LOCAL_SESSION_MS,
    SESSION_MS,
    Subscription,
)
from astrolens.platform.errors import AstroLensError, BusUnavailable, ConfigurationError, PermanentError, TransientError
from astrolens.platform.kafka_record import KafkaRecord
from astrolens.platform.retry import RetryPolicy
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.settings import Settings
from astrolens.platform.stores.records import RecordStore
from astrolens.platform.telemetry.metrics import Metrics
from astrolens.platform.telemetry.tracing import NO_TRACING, Tracing

E = TypeVar("E", bound=Event)

METADATA_MS: Final = 30_000
"""How soon a consumer learns that its topic is there again, or has more partitions; the default is five minutes."""
LINGER_MS: Final = 5
"""Gathers the events of a batch of documents into one request."""
MAX_BATCH_BYTES: Final = 256 * 1024
START_TIMEOUT_S: Final = 30.0
"""How long `connect` waits for a broker: it may be starting as well."""
_PING_TIMEOUT_S: Final = 2.0

_log = structlog.get_logger(__name__)


class Bus:
    """Publishes and consumes events. Made by `create_bus`; `connect` and `start` open it, `stop` closes it."""

    def __init__(
        self,
        create_broker: Callable[["Bus"], KafkaBroker],
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
        """Called when publishing or consuming cannot go on: the service must stop."""
        self._access = access
        self._metrics = metrics
        self._breaker = breaker
        self._retry_policy = retry_policy
        self._fetch_wait_ms = fetch_wait_ms
        self._tracing = tracing
        self._stopping = asyncio.Event()
        self._subscriptions: list[Subscription] = []
        self.dead_letters = DeadLetters(
            service=service, records=records, publish=self._publish_dead_letter, breaker=breaker, metrics=metrics
        )
        self.broker = create_broker(self)
        self._producer = RecordProducer(self.broker, access, service=service, on_failure=self._report_failure)

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
            handler: Handles a batch, idempotently, and returns the events that it refuses. After a `TransientError`
                it is called again with the same batch; after any other exception with each half of it, until the
                event that causes the exception is found.
            on_refused: Completes the record of what a dead-lettered event is about. Idempotent.
            group: Consumer group, `astrolens-<service>` by default; a second topic needs its own.
            max_batch: Most records a batch.

        Raises:
            AstroLensError: Another topic of this service has the same group.
        """
        group = group or f"astrolens-{self.service}"
        if group in {subscription.group for subscription in self._subscriptions}:
            # Each topic has its own member, and two members of one group fail on the in-process broker.
            raise AstroLensError(f"{topic}: consumer group {group} is taken by another topic; give it its own")
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

        async def on_records(subscription: Subscription, records: Sequence[KafkaRecord]) -> None:
            await self._consume(consumer, subscription, records)

        self._subscriptions.append(
            Subscription(
                self.broker,
                topic,
                group=group,
                on_records=on_records,
                max_batch=max_batch,
                fetch_wait_ms=self._fetch_wait_ms,
                session_ms=LOCAL_SESSION_MS if self._access.is_local else SESSION_MS,
            )
        )
        self.consumers.append(consumer)
        return consumer

    async def publish(self, events: Sequence[PendingEvent]) -> None:
        """Publish events together and wait until the broker has acknowledged all of them.

        Raises:
            BusUnavailable: Not all were acknowledged in time; publishing again is harmless.
            PermanentError: An event is larger than the broker accepts.
        """
        name = producer(self.service)
        with self._tracing.sending(events):
            await self._producer.send(
                [
                    OutgoingRecord(event.topic, event.key.encode(), event_body(event), event_headers(event, name))
                    for event in events
                ]
            )
        self._metrics.published.inc(len(events))

    async def connect(self, *, timeout_s: float | None = None) -> None:
        """Connect for publishing, within `timeout_s` (`START_TIMEOUT_S` by default).

        Raises:
            BusUnavailable: No broker answers in time.
            ConfigurationError: It refuses the log-in, or a topic that is consumed here is missing.
        """
        limit_s = START_TIMEOUT_S if timeout_s is None else timeout_s
        await await_broker(self._access, timeout_s=limit_s, topics=self._topics())
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
            # Side by side, which FastStream's `broker.start` does not do: each start ends with the first assignment of
            # its group, which Kafka and the in-process broker delay by 3 s to wait for more members.
            async with asyncio.TaskGroup() as group:
                for subscription in self._subscriptions:
                    group.create_task(subscription.start(), name=f"begin to consume {subscription.topic}")
        except ExceptionGroup as errors:
            error = errors.exceptions[0]
            if isinstance(error, KafkaError | OSError):
                raise BusUnavailable(f"consuming could not begin: {error}") from error
            raise error from errors

    async def stop_consuming(self) -> None:
        """Finish the batches that are processed now and acknowledge them; publishing still works."""
        self._stopping.set()
        await asyncio.gather(*(subscription.stop() for subscription in self._subscriptions))

    async def stop(self) -> None:
        """Stop consuming, send what is buffered, disconnect."""
        await self.stop_consuming()
        await self.broker.stop()

    async def ping(self) -> None:
        """Raise `BusUnavailable` unless the broker answers, accepts the log-in, and has the topics consumed here."""
        answers = await self.broker.ping(timeout=_PING_TIMEOUT_S)
        # A client that is connected learns neither of a changed password nor of a deleted topic.
        problem = await find_access_problem(self._access, self._topics())
        if problem is not None:
            raise BusUnavailable(problem)
        if not answers:
            raise BusUnavailable(f"the event broker at {self._access.name} does not answer")

    async def lag(self) -> dict[str, int]:
        """Records that wait in each topic consumed here, as of the last fetch."""
        return {subscription.topic: await subscription.lag() for subscription in self._subscriptions}

    def last_fetches_ms(self) -> dict[str, int | None]:
        """When the broker last answered a fetch of each topic consumed here (`Subscription.last_fetch_ms`)."""
        return {subscription.topic: subscription.last_fetch_ms() for subscription in self._subscriptions}

    async def settle_unreadable(self, records: Sequence[KafkaRecord], error: Exception) -> None:
        """Settle records that FastStream could not pass to a handler (see `UnreadableRecordsMiddleware`)."""
        by_topic = {consumer.topic: consumer for consumer in self.consumers}
        if (consumer := by_topic.get(records[0].topic)) is not None:
            await consumer.consume(records)
            return
        sentence = f"{type(error).__name__}: {error}"
        for record in records:
            await self.dead_letters.put(record, error_type="unreadable-record", error=sentence)

    def _topics(self) -> list[str]:
        return [consumer.topic for consumer in self.consumers]

    async def _consume(
        self, consumer: BatchConsumer[Any], subscription: Subscription, records: Sequence[KafkaRecord]
    ) -> None:
        try:
            await consumer.consume(records)
        except TransientError as error:
            _log.warning("a batch will be read again", topic=consumer.topic, records=len(records), error=str(error))
            raise NackMessage from error
        except TooManyDeadLetters as error:
            self._stop_for(subscription, error)
            raise NackMessage from error
        except Exception as error:
            _log.exception("consuming failed", topic=consumer.topic)
            self._stop_for(subscription, AstroLensError(f"consuming {consumer.topic} failed: {error!r}"))
            raise NackMessage from error

    def _stop_for(self, subscription: Subscription, error: AstroLensError) -> None:
        subscription.end_loop()
        self._report_failure(error)

    def _report_failure(self, error: AstroLensError) -> None:
        if self.on_failure is not None:
            self.on_failure(error)

    async def _publish_dead_letter(self, topic: str, key: bytes | None, body: bytes, headers: dict[str, str]) -> None:
        try:
            await self._producer.send([OutgoingRecord(topic, key, body, headers)])
        except PermanentError:
            # With the added headers a record at the size limit exceeds it. The record store has it whole.
            short = {**headers, "origin_headers": "[]", "body": "in the record store"}
            await self._producer.send([OutgoingRecord(topic, key, b"", short)])


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
    access = kafka_access(settings)

    def create_broker(bus: Bus) -> KafkaBroker:
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
            middlewares=(UnreadableRecordsMiddleware.factory(bus.settle_unreadable),),
            apply_types=False,
            logger=logging.getLogger("faststream"),
            log_level=logging.DEBUG,
        )

    return Bus(
        create_broker,
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
