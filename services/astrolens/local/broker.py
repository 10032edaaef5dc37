"""The embedded event broker: librdkafka's mock broker, which speaks the Kafka protocol, inside this process.

It holds a few megabytes per partition in memory, and nothing after its end. That is enough: events that were not
consumed are redelivered from the record store (docs/decisions/0003-redeliver-from-the-record-store.md).
"""

import logging
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException, Producer

from astrolens.platform.errors import BusUnavailable

_START_TIMEOUT_S = 10.0


class EmbeddedBroker:
    """A Kafka broker on a loopback port, alive while the context is open."""

    def __init__(self) -> None:
        self._producer: Producer | None = None
        self.url = ""

    def __enter__(self) -> Self:
        # The broker lives as long as this producer does; its bootstrap address is never contacted.
        logger = logging.getLogger("astrolens.broker")
        logger.setLevel(logging.ERROR)
        self._producer = Producer({"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": 1}, logger=logger)
        try:
            (broker,) = self._producer.list_topics(timeout=_START_TIMEOUT_S).brokers.values()
        except KafkaException as error:
            raise BusUnavailable(f"the embedded broker did not start: {error}") from error
        self.url = f"kafka://{broker.host}:{broker.port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._producer = None
