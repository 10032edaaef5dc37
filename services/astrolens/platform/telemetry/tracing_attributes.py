"""Attributes of spans: our own, and those that OpenTelemetry's semantic conventions name for Kafka and gRPC."""

from collections.abc import Mapping
from typing import Any

from astrolens.platform.kafka_record import KafkaRecord
from astrolens.platform.telemetry.tracing import ATTRIBUTE_PREFIX, SEND, AttributeValue, record_key


def own_attributes(attributes: Mapping[str, AttributeValue]) -> dict[str, Any]:
    """Attributes of AstroLens, with their prefix and without those that are None."""
    return {ATTRIBUTE_PREFIX + name: value for name, value in attributes.items() if value is not None}


def kafka_attributes(operation: str, topic: str) -> dict[str, Any]:
    """What is done with a topic."""
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": "send" if operation == SEND else "process",
        "messaging.destination.name": topic,
    }


def record_attributes(record: KafkaRecord) -> dict[str, Any]:
    """Where a record is in its topic, and its key."""
    return {
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
        "messaging.kafka.message.key": record_key(record),
    }


def grpc_attributes(method: str, address: str | None = None) -> dict[str, Any]:
    """A gRPC method, and the `host:port` of its server where this process is the client."""
    attributes: dict[str, Any] = {"rpc.system.name": "grpc", "rpc.method": method}
    if address is not None:
        host, _, port = address.rpartition(":")
        attributes["server.address"] = host or address
        if port.isdigit():
            attributes["server.port"] = int(port)
    return attributes
