"""A record as the Kafka client hands it over."""

from collections.abc import Sequence
from typing import Protocol


class KafkaRecord(Protocol):
    """What is read of an aiokafka `ConsumerRecord`."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
