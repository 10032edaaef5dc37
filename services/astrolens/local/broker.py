"""The embedded event broker: librdkafka's own Kafka-protocol broker, inside this process.

It keeps a few megabytes a partition in memory and forgets everything when it ends. That is enough, because the record
store is the truth and what was not consumed is offered again.
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
        self._owner: Producer | None = None
        self.url = ""

    def __enter__(self) -> Self:
        # The broker lives as long as this producer does; its bootstrap address is never contacted.
        quiet = logging.getLogger("astrolens.broker")
        quiet.setLevel(logging.ERROR)
        self._owner = Producer({"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": 1}, logger=quiet)
        try:
            (broker,) = self._owner.list_topics(timeout=_START_TIMEOUT_S).brokers.values()
        except KafkaException as error:
            raise BusUnavailable(f"the embedded broker did not start: {error}") from error
        self.url = f"kafka://{broker.host}:{broker.port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._owner = None
