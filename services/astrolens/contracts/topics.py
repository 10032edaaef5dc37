"""Names of all topics: `astrolens.<noun>.<past participle>.v<major>` internally, `astrolens.alerts.*` in public."""

from typing import Final

IMAGES_SUBMITTED: Final = "astrolens.images.submitted.v1"
"""A person or script submitted an image; its original is in the image store, not decoded yet."""
IMAGES_INGESTED: Final = "astrolens.images.ingested.v1"
"""An image has a cutout and is to be analysed."""
IMAGES_ANALYZED: Final = "astrolens.images.analyzed.v1"
"""A model bundle has analysed an image."""
CANDIDATES_MATCHED: Final = "astrolens.candidates.matched.v1"
"""The catalogues were asked about a candidate: what is known at its place, what is not, and what is undetermined."""
IMAGES_ENRICHED: Final = "astrolens.images.enriched.v1"
"""A later arrival of the same bytes knew more of an image: a position, a name, a time, or values that differ."""
LABELS_RECORDED: Final = "astrolens.labels.recorded.v1"
"""A person labelled an image or withdrew a label."""
CALIBRATIONS_REVISED: Final = "astrolens.calibrations.revised.v1"
"""Another calibration serves a survey: its state changed, or its survey model."""
MODELS_PROMOTED: Final = "astrolens.models.promoted.v1"
"""Another model bundle serves from now on: a person or the rule promoted it, or returned to the one before."""
HEARTBEAT: Final = "astrolens.heartbeat.v1"
"""Heartbeats at a constant rate, for listeners of the alert topics."""

INTERNAL: Final = (
    IMAGES_SUBMITTED,
    IMAGES_INGESTED,
    IMAGES_ANALYZED,
    CANDIDATES_MATCHED,
    IMAGES_ENRICHED,
    LABELS_RECORDED,
    CALIBRATIONS_REVISED,
    MODELS_PROMOTED,
)


def dead_letter_topic(topic: str) -> str:
    """The dead-letter topic of `topic`."""
    return f"{topic}.dlq"


def alert_topic(survey: str, predicted_class: str) -> str:
    """The public topic of Avro alerts (object container files) of one survey and class."""
    return f"astrolens.alerts.{survey}.{predicted_class}.v1"


def alert_json_topic(survey: str, predicted_class: str) -> str:
    """The public topic of the same alerts as JSON."""
    return f"astrolens.alerts-json.{survey}.{predicted_class}.v1"
