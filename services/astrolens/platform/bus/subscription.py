"""One consumer group on one topic: FastStream's batch subscriber, with every default that loses records overridden."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.schemas import Topic

from astrolens.platform.kafka_record import KafkaRecord
from astrolens.platform.private_apis import BatchSubscriber, KafkaAckableMessage
from astrolens.platform.runtime.shutdown import is_cancelled
from astrolens.platform.time_limits import POLL_INTERVAL_S

POLL_MS: Final = 50
"""How long one poll waits. FastStream sleeps as long again after an empty poll, so this bounds the added delay."""
FETCH_WAIT_MS: Final = 250
"""How long Kafka may hold an empty fetch. It answers at once when a record comes, and each fetch that finds nothing
costs it as much as ten records. Not longer: a partition whose records are still processed is left out of a fetch, and
waits for its end."""
EMBEDDED_FETCH_WAIT_MS: Final = 100
"""The same for the in-process broker, which does not answer before the time is over."""
SESSION_MS: Final = 10_000
"""When a member that stopped without a word loses its partitions."""
LOCAL_SESSION_MS: Final = 6_000
"""The same on one machine, which has no network delays: Kafka's smallest default bound. The in-process broker lets
every returning member wait so long, less a second."""
_POSITION_TIMEOUT_S: Final = 0.2

OnRecords = Callable[["Subscription", Sequence[KafkaRecord]], Awaitable[None]]


class Subscription:
    """Reads a topic in batches. A batch is acknowledged when `on_records` returns, and read again when it raises."""

    def __init__(
        self,
        broker: KafkaBroker,
        topic: str,
        *,
        group: str,
        on_records: OnRecords,
        max_batch: int,
        fetch_wait_ms: int,
        session_ms: int,
    ) -> None:
        """Declare the subscriber; nothing is read before `start`.

        Args:
            broker: Reads.
            topic: The topic to read.
            group: Consumer group.
            on_records: Called with each batch; raises `NackMessage` to have it read again.
            max_batch: Most records a batch.
            fetch_wait_ms: How long the broker may hold an empty fetch, milliseconds.
            session_ms: When a silent member loses its partitions, milliseconds.
        """
        self.topic = topic
        self.group = group
        self._subscriber: BatchSubscriber = broker.subscriber(
            # Topics belong to the deployment; the embedded broker creates them by itself and knows no admin calls.
            Topic(topic, declare=False),
            batch=True,
            group_id=group,
            ack_policy=AckPolicy.NACK_ON_ERROR,
            auto_offset_reset="earliest",
            max_records=max_batch,
            batch_timeout_ms=POLL_MS,
            fetch_max_wait_ms=fetch_wait_ms,
            max_poll_interval_ms=int(POLL_INTERVAL_S * 1000),
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=session_ms // 3,
            no_reply=True,
        )

        async def handle(records: Any) -> None:
            await on_records(self, records)

        self._subscriber(handle, parser=self._parse, decoder=_raw_message)

    async def start(self) -> None:
        """Join the group and begin to read, once the broker is connected."""
        await self._subscriber.start()

    async def stop(self) -> None:
        """Finish the batch that is processed now and leave the group."""
        try:
            await self._subscriber.stop()
        except asyncio.CancelledError:
            # aiokafka cancels its fetches and awaits them; one that waits for its next attempt raises this here.
            if is_cancelled():
                raise

    def end_loop(self) -> None:
        """Read nothing more after a batch that failed: it would be read again at once, and again."""
        self._subscriber.running = False

    async def lag(self) -> int:
        """Records that wait, as of the last fetch."""
        consumer = self._subscriber.consumer
        if consumer is None:
            return 0
        lag = 0
        for partition in consumer.assignment():
            end = consumer.highwater(partition)
            if end is None:
                continue
            with suppress(TimeoutError, KafkaError):
                async with asyncio.timeout(_POSITION_TIMEOUT_S):
                    lag += max(0, end - await consumer.position(partition))
        return lag

    def last_fetch_ms(self) -> int | None:
        """When the broker last answered a fetch, Unix time in milliseconds; None where no partition is assigned."""
        consumer = self._subscriber.consumer
        if consumer is None:
            return None
        return max((consumer.last_poll_timestamp(each) or 0 for each in consumer.assignment()), default=None)

    async def _parse(self, records: tuple[KafkaRecord, ...]) -> KafkaAckableMessage:
        # FastStream's own parser decodes every header and fails the whole batch, acknowledgement included, on one
        # that is not UTF-8. `BatchConsumer` reads records one by one instead.
        first, last = records[0], records[-1]
        return KafkaAckableMessage(
            raw_message=records,
            body=b"",
            message_id=f"{first.offset}-{last.offset}",
            correlation_id=f"{first.topic}-{first.partition}-{first.offset}",
            consumer=self._subscriber.consumer,
        )


async def _raw_message(message: Any) -> Any:
    return message.raw_message
