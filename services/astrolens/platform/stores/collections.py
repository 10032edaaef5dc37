"""The collections of the record store: key, indexed fields and tallies, declared once for every engine."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

FieldType = Literal["text", "real", "bool"]


class Collection(StrEnum):
    """Every collection there is."""

    RECEIPTS = "receipts"
    IMAGES = "images"
    ALERTS = "alerts"
    DEAD_LETTERS = "dead_letters"
    SERVICES = "services"
    SOURCES = "sources"
    ACCOUNTS = "accounts"
    TRUTHS = "truths"
    """What the simulated sky really holds; no service of the pipeline reads it."""
    META = "meta"
    """Small state of services, such as where a source goes on."""


@dataclass(frozen=True)
class Declaration:
    """What an engine must know to serve a collection.

    `indexes` are compound indexes; a single-field index of every field in `fields` comes by itself.
    `tallies` count documents by the values of some fields; an absent value counts as the empty text.
    """

    key: str
    fields: dict[str, FieldType] = field(default_factory=dict)
    indexes: tuple[tuple[str, ...], ...] = ()
    tallies: dict[str, tuple[str, ...]] = field(default_factory=dict)
    has_pending: bool = False


DECLARATIONS: dict[Collection, Declaration] = {
    Collection.RECEIPTS: Declaration(
        key="receipt_id",
        fields={
            "outcome": "text",
            "received_at": "text",
            "source": "text",
            "batch": "text",
            "image_id": "text",
            "reason.code": "text",
        },
        indexes=(("outcome", "received_at"), ("batch", "outcome")),
        tallies={
            "outcome": ("outcome",),
            "source_outcome": ("source", "outcome"),
            "batch_outcome": ("batch", "outcome"),
            "reason": ("reason.code",),
        },
        has_pending=True,
    ),
    Collection.IMAGES: Declaration(
        key="image_id",
        fields={
            "state": "text",
            "verdict": "text",
            "p_value": "real",
            "predicted_class": "text",
            "ingested_at": "text",
            "offered_at": "text",
            "analyzed_at": "text",
            "label": "text",
            "labeled_at": "text",
            "source": "text",
            "batch": "text",
            "phash": "text",
            "analysis.model_digest": "text",
            "observation.survey": "text",
            "observation.name": "text",
            "observation.injected": "bool",
            "observation.simulated": "bool",
            "observation.position.x": "real",
            "observation.position.y": "real",
            "observation.position.z": "real",
        },
        indexes=(
            ("state", "offered_at"),
            ("state", "ingested_at"),
            ("verdict", "ingested_at"),
            ("label", "ingested_at"),
            ("verdict", "p_value"),
            ("verdict", "analyzed_at"),
            ("observation.survey", "p_value"),
            ("observation.survey", "ingested_at"),
            ("label", "labeled_at"),
            ("label", "p_value"),  # the triage queue: unanswered, strangest first
        ),
        tallies={
            "state": ("state",),
            "verdict": ("verdict",),
            "survey_verdict": ("observation.survey", "verdict"),
            "batch_state": ("batch", "state"),
            "label": ("label",),
        },
        has_pending=True,
    ),
    Collection.ALERTS: Declaration(
        key="alert_id",
        fields={
            "raised_at": "text",
            "survey": "text",
            "predicted_class": "text",
            "verdict": "text",
            "undelivered": "bool",
            "image_id": "text",
            "alert_type": "text",
            "alert_tense": "text",
        },
        tallies={"survey": ("survey",), "kind": ("alert_type", "alert_tense")},
        has_pending=True,
    ),
    Collection.DEAD_LETTERS: Declaration(
        key="dead_letter_id",
        fields={"dead_lettered_at": "text", "state": "text", "topic": "text", "service": "text"},
        tallies={"state": ("state",)},
    ),
    Collection.SERVICES: Declaration(key="instance", fields={"service": "text", "seen_at": "text"}),
    Collection.SOURCES: Declaration(key="source", fields={"updated_at": "text"}),
    Collection.ACCOUNTS: Declaration(key="name"),
    Collection.TRUTHS: Declaration(key="ref", fields={"oddity": "text"}),
    Collection.META: Declaration(key="name"),
}
"""What each collection needs."""
