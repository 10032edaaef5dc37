"""The AsyncAPI 3.0 document: every topic, who writes it, who reads it, and what a record on it looks like."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from astrolens.contracts import alerts, events, topics

AVRO_FORMAT: Final = "application/vnd.apache.avro+json;version=1.9.0"
JSON_SCHEMA_FORMAT: Final = "application/schema+json;version=draft-2020-12"

SchemaFile = Callable[[type[BaseModel]], str]


@dataclass(frozen=True)
class Topic:
    """One topic: its writers and readers are services, its model the JSON on it."""

    channel: str
    address: str
    title: str
    model: type[BaseModel]
    key: str
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    avro: bool = False
    public: bool = False


TOPICS: Final[tuple[Topic, ...]] = (
    Topic(
        channel="imagesSubmitted",
        address=topics.IMAGES_SUBMITTED,
        title="An image was handed in and waits to be decoded.",
        model=events.ImageSubmitted,
        key="receipt_id",
        writers=("console",),
        readers=("ingestor",),
    ),
    Topic(
        channel="imagesIngested",
        address=topics.IMAGES_INGESTED,
        title="An image has a cutout and waits for its analysis.",
        model=events.ImageIngested,
        key="image_id",
        # The analyzer offers again what nobody consumed, the console what a person wants analysed again.
        writers=("ingestor", "analyzer", "console"),
        readers=("analyzer",),
    ),
    Topic(
        channel="imagesAnalyzed",
        address=topics.IMAGES_ANALYZED,
        title="A model bundle gave its verdict.",
        model=events.ImageAnalyzed,
        key="image_id",
        writers=("analyzer",),
        readers=("notifier",),
    ),
    Topic(
        channel="labelsRecorded",
        address=topics.LABELS_RECORDED,
        title="A person answered, or took an answer back.",
        model=events.LabelRecorded,
        key="image_id",
        writers=("console",),
        readers=(),
    ),
    Topic(
        channel="alerts",
        address=topics.alert_topic("{survey}", "{class}"),
        title="Public alerts: Avro object container files of one record each.",
        model=alerts.Alert,
        key="image_id",
        writers=("notifier",),
        readers=(),
        avro=True,
        public=True,
    ),
    Topic(
        channel="alertsJson",
        address=topics.alert_json_topic("{survey}", "{class}"),
        title="Public alerts: the JSON twin, with the cutout as base64 and 64-bit ids as text.",
        model=alerts.Alert,
        key="image_id",
        writers=("notifier",),
        readers=(),
        public=True,
    ),
    Topic(
        channel="heartbeat",
        address=topics.HEARTBEAT,
        title="A sign of life at a constant rate.",
        model=alerts.Heartbeat,
        key="producer",
        writers=("notifier",),
        readers=(),
        public=True,
    ),
)
"""Every topic there is, beside the dead-letter topic of each that a service reads."""


def asyncapi_document(*, schema_file: SchemaFile, alert_avsc: str) -> dict[str, Any]:
    """The document, as JSON values.

    Args:
        schema_file: Tells where, beside the document, the JSON Schema of a model lies.
        alert_avsc: Where the Avro schema of alerts lies.
    """
    channels = {topic.channel: _channel(topic) for topic in TOPICS}
    channels |= {f"{topic.channel}DeadLetters": _dead_letters(topic) for topic in TOPICS if topic.readers}
    return {
        "asyncapi": "3.0.0",
        "id": "urn:astrolens:events",
        "info": {
            "title": "AstroLens events",
            "version": "1",
            "description": (
                "Facts on Kafka topics. Every record carries a deterministic event id: the same id is the same fact "
                "again, and a reader that has seen it may skip it."
            ),
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": _operations(),
        "components": {
            "messages": {
                **{topic.channel: _message(topic, schema_file, alert_avsc) for topic in TOPICS},
                "deadLetter": _DEAD_LETTER,
            }
        },
    }


def _channel(topic: Topic) -> dict[str, Any]:
    channel: dict[str, Any] = {
        "address": topic.address,
        "title": topic.title,
        "messages": {topic.channel: {"$ref": f"#/components/messages/{topic.channel}"}},
        "tags": [{"name": "public" if topic.public else "internal"}],
    }
    if "{survey}" in topic.address:
        channel["parameters"] = {
            "survey": {"description": "Survey, lower case.", "examples": ["sdss", "simulated-lsst"]},
            "class": {"description": "Most probable class of the initial alert.", "examples": ["spiral", "edge-on"]},
        }
    return channel


def _dead_letters(topic: Topic) -> dict[str, Any]:
    return {
        "address": topics.dead_letter_topic(topic.address),
        "title": f"Records of {topic.address} that nobody could use.",
        "messages": {"deadLetter": {"$ref": "#/components/messages/deadLetter"}},
        "tags": [{"name": "internal"}],
    }


def _operations() -> dict[str, Any]:
    operations: dict[str, Any] = {}
    for topic in TOPICS:
        channel = {"$ref": f"#/channels/{topic.channel}"}
        for service in topic.writers:
            operations[f"{service}.send.{topic.channel}"] = {"action": "send", "channel": channel}
        for service in topic.readers:
            operations[f"{service}.receive.{topic.channel}"] = {"action": "receive", "channel": channel}
            operations[f"{service}.send.{topic.channel}DeadLetters"] = {
                "action": "send",
                "channel": {"$ref": f"#/channels/{topic.channel}DeadLetters"},
            }
    return operations


def _message(topic: Topic, schema_file: SchemaFile, alert_avsc: str) -> dict[str, Any]:
    payload = (
        {"schemaFormat": AVRO_FORMAT, "schema": {"$ref": f"./{alert_avsc}"}}
        if topic.avro
        else {"schemaFormat": JSON_SCHEMA_FORMAT, "schema": {"$ref": f"./{schema_file(topic.model)}"}}
    )
    return {
        "name": topic.model.__name__,
        "title": topic.title,
        "contentType": "application/avro" if topic.avro else "application/json",
        "payload": payload,
        "bindings": {"kafka": {"key": {"type": "string", "description": f"`{topic.key}` of the event."}}},
    }


_DEAD_LETTER_HEADERS: Final = (
    "dead_letter_id",
    "origin_topic",
    "origin_partition",
    "origin_offset",
    "origin_headers",
    "service",
    "error_type",
    "error",
    "dead_lettered_at",
)

_DEAD_LETTER: Final[dict[str, Any]] = {
    "name": "DeadLetter",
    "title": "The original bytes of a record that could not be used, with its headers and where it came from.",
    "contentType": "application/octet-stream",
    "payload": {"description": "The record's body, byte for byte."},
    "headers": {
        "type": "object",
        "description": "Where the record came from and why it lies here; `origin_headers` are its own, in base64.",
        "required": list(_DEAD_LETTER_HEADERS),
        "properties": {name: {"type": "string"} for name in _DEAD_LETTER_HEADERS},
    },
}
