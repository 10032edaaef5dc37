"""Creates the declared topics on a Kafka that does not create them by itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiokafka.errors as kafka_errors
import yaml
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from astrolens.platform.bus.access import KafkaAccess
from astrolens.platform.bus.connect import await_broker
from astrolens.platform.errors import BusUnavailable, ConfigurationError

_REQUEST_TIMEOUT_MS = 30_000
_DAY_MS = 24 * 3600 * 1000
_ALREADY_EXISTS = kafka_errors.TopicAlreadyExistsError.errno
_FORBIDDEN = frozenset(
    {kafka_errors.TopicAuthorizationFailedError.errno, kafka_errors.ClusterAuthorizationFailedError.errno}
)


@dataclass(frozen=True)
class TopicDeclaration:
    """One topic: its partitions (the most members that a group may have) and how long records stay."""

    name: str
    partitions: int
    retention_ms: int
    """Milliseconds; -1: for ever."""
    settings: dict[str, str] = field(default_factory=dict)


def declared_topics(path: Path) -> list[TopicDeclaration]:
    """The topics that a file declares (`deploy/kafka/topics.yaml`).

    Raises:
        ConfigurationError: The file cannot be read, or does not declare topics.
    """
    try:
        content = yaml.safe_load(path.read_text())
        return [_declaration(entry) for entry in content["topics"]]
    except OSError as error:
        raise ConfigurationError(f"the topics file {path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"the topics file {path} declares no topics as it should: {error!r}") from None


async def create_topics(
    access: KafkaAccess, topics: Sequence[TopicDeclaration], *, replicas: int = 1, timeout_s: float = 15.0
) -> list[str]:
    """Create the topics that are missing, change none, and return the names of the new ones.

    Raises:
        BusUnavailable: Kafka does not answer.
        ConfigurationError: Kafka refuses the log-in, the right, or a topic.
    """
    await await_broker(access, timeout_s=timeout_s)
    admin = AIOKafkaAdminClient(
        bootstrap_servers=list(access.servers), request_timeout_ms=_REQUEST_TIMEOUT_MS, **access.client_options()
    )
    wanted = [
        NewTopic(
            name=topic.name,
            num_partitions=topic.partitions,
            replication_factor=replicas,
            topic_configs={"cleanup.policy": "delete", "retention.ms": str(topic.retention_ms), **topic.settings},
        )
        for topic in topics
    ]
    try:
        await admin.start()
        answer: Any = await admin.create_topics(wanted, timeout_ms=_REQUEST_TIMEOUT_MS)
    except (kafka_errors.KafkaError, OSError) as error:
        raise BusUnavailable(f"Kafka at {access.name} did not make the topics: {error}") from error
    finally:
        await admin.close()
    new: list[str] = []
    for name, code, *_ in answer.topic_errors:
        if code == 0:
            new.append(name)
        elif code in _FORBIDDEN:
            raise ConfigurationError(f"Kafka at {access.name} does not let this user create the topic {name}")
        elif code != _ALREADY_EXISTS:
            raise ConfigurationError(
                f"Kafka did not create the topic {name}: {kafka_errors.for_code(code).description}"
            )
    return new


def _declaration(entry: dict[str, Any]) -> TopicDeclaration:
    days = entry["retention_days"]
    return TopicDeclaration(
        name=str(entry["name"]),
        partitions=int(entry["partitions"]),
        retention_ms=-1 if days == "forever" else int(days) * _DAY_MS,
        settings={str(name): str(value) for name, value in entry.get("settings", {}).items()},
    )
