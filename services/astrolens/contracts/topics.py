"""The names of all topics: `astrolens.<noun>.<past participle>.v<major>` inside, `astrolens.alerts.*` in public."""

from typing import Final

IMAGES_SUBMITTED: Final = "astrolens.images.submitted.v1"
"""A person or script handed in an image; its bytes lie in the image store, undecoded."""
IMAGES_INGESTED: Final = "astrolens.images.ingested.v1"
"""An image has a canonical cutout and waits for its analysis."""
IMAGES_ANALYZED: Final = "astrolens.images.analyzed.v1"
"""A model bundle has given its verdict on an image."""
LABELS_RECORDED: Final = "astrolens.labels.recorded.v1"
"""A person answered, or took an answer back."""
HEARTBEAT: Final = "astrolens.heartbeat.v1"
"""A constant-rate sign of life for those who listen to alerts."""

INTERNAL: Final = (IMAGES_SUBMITTED, IMAGES_INGESTED, IMAGES_ANALYZED, LABELS_RECORDED)


def dead_letter_topic(topic: str) -> str:
    """Where the records of `topic` go that nobody can read."""
    return f"{topic}.dlq"


def alert_topic(survey: str, predicted_class: str) -> str:
    """The public topic of Avro alerts (object container files) of one survey and class."""
    return f"astrolens.alerts.{survey}.{predicted_class}.v1"


def alert_json_topic(survey: str, predicted_class: str) -> str:
    """The JSON twin of `alert_topic`, for people."""
    return f"astrolens.alerts-json.{survey}.{predicted_class}.v1"
