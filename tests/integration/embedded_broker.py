"""What the tests on the Kafka broker of librdkafka share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from astrolens.platform.retry import RetryPolicy
from astrolens.platform.settings import Settings

SHORT_RETRY = RetryPolicy(initial_wait_s=0.01, max_wait_s=0.02, timeout_s=0.05)


@contextmanager
def running_broker() -> Iterator[str]:
    """A broker of its own; gives its address."""
    confluent_kafka = pytest.importorskip("confluent_kafka")
    owner = confluent_kafka.Producer({"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": 1, "log_level": 0})
    (broker,) = owner.list_topics(timeout=120).brokers.values()
    yield f"{broker.host}:{broker.port}"
    owner.flush(1)


def settings(home: Path, servers: str, **overrides: Any) -> Settings:
    """Settings of a service on that broker."""
    return Settings(_env_file=None, home=home, events_url=f"kafka://{servers}", **overrides)
