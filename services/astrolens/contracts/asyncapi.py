"""Generate the AsyncAPI 3.0 document: all topics, their writers and readers, and the messages on them."""

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
    """One topic.

    Attributes:
        channel: Key in the AsyncAPI document.
        address: Kafka topic.
        title: A sentence about its messages.
        model: Model of the messages.
        key: Field of the model that is the Kafka key.
        writers: Services that publish to it.
        readers: Services that consume it.
        avro: Whether messages are Avro object container files; otherwise they are JSON.
        public: Whether it is for listeners outside of AstroLens.
    """

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
        title="An image was submitted; the ingestor will decode it.",
        model=events.ImageSubmitted,
        key="receipt_id",
        writers=("console",),
        readers=("ingestor",),
    ),
    Topic(
        channel="imagesIngested",
        address=topics.IMAGES_INGESTED,
        title="An image has a cutout; the analyzer will analyse it.",
        model=events.ImageIngested,
        key="image_id",
        # The analyzer republishes events that were not consumed; the console publishes requests for a new analysis.
        writers=("ingestor", "analyzer", "console"),
        readers=("analyzer",),
    ),
    Topic(
        channel="imagesAnalyzed",
        address=topics.IMAGES_ANALYZED,
        title="An image was analysed by a model bundle.",
        model=events.ImageAnalyzed,
        key="image_id",
        writers=("analyzer",),
        readers=("crossref",),
    ),
    Topic(
        channel="candidatesMatched",
        address=topics.CANDIDATES_MATCHED,
        title="The catalogues were asked about a candidate: what is known at its place.",
        model=events.CandidateMatched,
        key="image_id",
        writers=("crossref",),
        readers=("notifier",),
    ),
    Topic(
        channel="imagesEnriched",
        address=topics.IMAGES_ENRICHED,
        title="A later arrival of the same bytes knew more of an image.",
        model=events.ImageEnriched,
        key="image_id",
        writers=("ingestor",),
        readers=("crossref",),
    ),
    Topic(
        channel="labelsRecorded",
        address=topics.LABELS_RECORDED,
        title="A person labelled an image or withdrew a label.",
        model=events.LabelRecorded,
        key="image_id",
        writers=("console",),
        readers=("trainer", "notifier"),
    ),
    Topic(
        channel="calibrationsRevised",
        address=topics.CALIBRATIONS_REVISED,
        title="Another calibration serves a survey: its state changed, or its survey model.",
        model=events.CalibrationRevised,
        key="survey",
        # The console publishes what a person decided.
        writers=("analyzer", "console"),
        readers=(),
    ),
    Topic(
        channel="modelsPromoted",
        address=topics.MODELS_PROMOTED,
        title="Another model bundle serves from now on.",
        model=events.ModelPromoted,
        key="model_digest",
        # The trainer promotes by rule, where the settings say so. Model servers read the record, each for itself.
        writers=("console", "trainer"),
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
        title="Public alerts as JSON, with the cutout as base64 and 64-bit ids as text.",
        model=alerts.Alert,
        key="image_id",
        writers=("notifier",),
        readers=(),
        public=True,
    ),
    Topic(
        channel="heartbeat",
        address=topics.HEARTBEAT,
        title="Heartbeats at a constant rate.",
        model=alerts.Heartbeat,
        key="producer",
        writers=("notifier",),
        readers=(),
        public=True,
    ),
)
"""All topics, except the dead-letter topics: each topic that a service reads has one."""


def asyncapi_document(*, schema_file: SchemaFile, alert_avsc: str) -> dict[str, Any]:
    """Generate the document, as JSON values.

    Args:
        schema_file: Path of a model's JSON Schema, relative to the document.
        alert_avsc: Path of the Avro schema of alerts, relative to the document.
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
                "Events on Kafka topics. Every event has a deterministic id: an event with a known id is a repetition "
                "and may be skipped."
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
        "title": f"Dead letters: records of {topic.address} that could not be processed.",
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
    "title": "A record that could not be processed: its original bytes, with its headers and origin.",
    "contentType": "application/octet-stream",
    "payload": {"description": "The record's body, byte for byte."},
    "headers": {
        "type": "object",
        "description": "Origin of the record and reason of the failure; `origin_headers`: its own headers, in base64.",
        "required": list(_DEAD_LETTER_HEADERS),
        "properties": {name: {"type": "string"} for name in _DEAD_LETTER_HEADERS},
    },
}
