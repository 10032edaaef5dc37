"""The collections of the record store: key, indexed fields and tallies, declared once for every engine."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from astrolens.contracts.verdicts import rank_score_of

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
    SURVEY_MODELS = "survey_models"
    """Which calibration serves each survey, and the revisions of its survey model."""
    CROSSMATCHES = "crossmatches"
    """What the catalogues said of each candidate."""
    CATALOGUE_ANSWERS = "catalogue_answers"
    """What catalogues answered about places, with its age."""
    POSITION_QUERIES = "position_queries"
    """Questions of people and scripts what is known at a place, for an hour."""
    WATCH_HITS = "watch_hits"
    """Images at the places of people's watchlists, which only the lists' own channels report."""
    RANKINGS = "rankings"
    """Interest rankings, learned from people's answers."""
    MODELS = "models"
    """Model bundles that were published, with their gates and what became of them."""
    PROMOTIONS = "promotions"
    """Which model bundle serves, and which did before: one document."""
    SHADOWS = "shadows"
    """How candidates judged images beside the bundle in use."""
    TRAINING_RUNS = "training_runs"
    """Retraining runs: their requests, progress, data, figures and gates."""
    META = "meta"
    """Small state of services, such as the cursor of a source."""


@dataclass(frozen=True)
class Declaration:
    """What an engine must know to serve a collection.

    `fields` are what queries may name. `indexes` serve the queries that the services make (a test asks the planner):
    each costs every write, and breaks ties, so that paging is an index walk. An index led by a field of `rare` holds
    only the documents that have it.
    `tallies` count documents by the values of some fields; an absent value counts as the empty text.
    `hash_field` holds a 64-bit hash as 16 hexadecimal digits, by which `near` finds documents.
    `binary` fields hold base64 text in a document and are stored as bytes beside it; documents leave them out unless a
    reader asks for them.
    """

    key: str
    fields: dict[str, FieldType] = field(default_factory=dict)
    indexes: tuple[tuple[str, ...], ...] = ()
    rare: frozenset[str] = frozenset()
    tallies: dict[str, tuple[str, ...]] = field(default_factory=dict)
    has_pending: bool = False
    hash_field: str | None = None
    binary: frozenset[str] = frozenset()


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
        indexes=(
            ("outcome", "received_at"),
            ("received_at",),
            ("batch", "received_at"),
            ("source", "received_at"),
            ("image_id",),
            ("reason.code", "received_at"),
        ),
        rare=frozenset({"reason.code"}),
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
            "rank_score": "real",
            "predicted_class": "text",
            "ingested_at": "text",
            "offered_at": "text",
            "analyzed_at": "text",
            "crossmatch_status": "text",
            "object_id": "text",
            "label": "text",
            "labeled_at": "text",
            "source": "text",
            "batch": "text",
            "analysis.model_digest": "text",
            "analysis.burst_survey": "text",
            "late_by": "text",
            "morphology.quality": "text",
            "morphology.asymmetry": "real",
            "morphology.concentration": "real",
            "morphology.gini": "real",
            "morphology.ring_score": "real",
            "patch_map.model_digest": "text",
            "observation.survey": "text",
            "observation.name": "text",
            "observation.extra.object_id": "text",
            "observation.injected": "bool",
            "observation.simulated": "bool",
            "observation.position.x": "real",
            "observation.position.y": "real",
            "observation.position.z": "real",
        },
        indexes=(
            ("state", "offered_at"),  # what waits for its analysis
            ("state", "ingested_at"),
            ("ingested_at",),
            ("analyzed_at",),
            ("rank_score",),
            ("verdict", "rank_score"),
            ("verdict", "ingested_at"),
            ("verdict", "analyzed_at"),
            ("analysis.burst_survey", "analyzed_at"),
            ("late_by", "rank_score"),
            ("late_by", "ingested_at"),
            ("crossmatch_status", "rank_score"),
            ("crossmatch_status", "ingested_at"),
            ("label", "labeled_at"),
            ("labeled_at",),
            ("observation.survey", "rank_score"),
            ("observation.survey", "ingested_at"),
            ("predicted_class", "ingested_at"),
            ("source", "ingested_at"),
            ("batch", "ingested_at"),
            ("morphology.asymmetry",),
            ("morphology.concentration",),
            ("morphology.gini",),
            ("morphology.ring_score",),
            ("object_id", "ingested_at"),
            ("observation.name",),
            ("observation.extra.object_id",),
            ("observation.position.x", "observation.position.y", "observation.position.z"),
        ),
        rare=frozenset(
            {
                "crossmatch_status",
                "object_id",
                "label",
                "labeled_at",
                # Of surveys that number their objects.
                "observation.extra.object_id",
                # What a second pass found.
                "late_by",
                # Held anomalies, until their survey has been compared.
                "analysis.burst_survey",
                # Only candidates are measured.
                "morphology.asymmetry",
                "morphology.concentration",
                "morphology.gini",
                "morphology.ring_score",
            }
        ),
        tallies={
            "state": ("state",),
            "verdict": ("verdict",),
            "survey_verdict": ("observation.survey", "verdict"),
            "batch_state": ("batch", "state"),
            "label": ("label",),
        },
        has_pending=True,
        hash_field="phash",
        binary=frozenset({"analysis.embedding"}),
    ),
    Collection.ALERTS: Declaration(
        key="alert_id",
        fields={
            "raised_at": "text",
            "updated_at": "text",
            "survey": "text",
            "predicted_class": "text",
            "undelivered": "bool",
        },
        indexes=(
            ("raised_at",),
            ("updated_at",),
            ("undelivered", "raised_at"),
            ("survey", "raised_at"),
            ("predicted_class", "raised_at"),
        ),
        rare=frozenset({"updated_at"}),  # of alerts that were updated or retracted
        tallies={"survey": ("survey",), "kind": ("alert_type", "alert_tense")},
        has_pending=True,
    ),
    Collection.DEAD_LETTERS: Declaration(
        key="dead_letter_id",
        fields={"dead_lettered_at": "text", "state": "text"},
        indexes=(("dead_lettered_at",), ("state", "dead_lettered_at")),
        tallies={"state": ("state",)},
    ),
    Collection.SERVICES: Declaration(key="instance"),
    Collection.SOURCES: Declaration(key="source"),
    Collection.ACCOUNTS: Declaration(key="name"),
    Collection.TRUTHS: Declaration(
        key="ref", fields={"oddity": "text"}, rare=frozenset({"oddity"}), indexes=(("oddity",),)
    ),
    Collection.SURVEY_MODELS: Declaration(key="survey", has_pending=True),
    Collection.CROSSMATCHES: Declaration(
        key="image_id",
        fields={"status": "text", "next_try_at": "text", "matched_at": "text"},
        indexes=(("next_try_at",), ("status", "matched_at")),
        rare=frozenset({"next_try_at"}),
        tallies={"status": ("status",)},
        has_pending=True,
    ),
    Collection.CATALOGUE_ANSWERS: Declaration(key="cell", fields={"expires_at": "text"}, indexes=(("expires_at",),)),
    Collection.POSITION_QUERIES: Declaration(
        key="query_id", fields={"state": "text", "asked_at": "text"}, indexes=(("state", "asked_at"), ("asked_at",))
    ),
    Collection.WATCH_HITS: Declaration(
        key="hit_id",
        fields={"raised_at": "text", "undelivered": "bool"},
        indexes=(("undelivered", "raised_at"),),
    ),
    Collection.RANKINGS: Declaration(key="ranking"),
    Collection.MODELS: Declaration(key="digest"),
    Collection.PROMOTIONS: Declaration(key="name", has_pending=True),
    Collection.SHADOWS: Declaration(key="digest"),
    Collection.TRAINING_RUNS: Declaration(
        key="run_id",
        fields={"state": "text", "requested_at": "text"},
        indexes=(("requested_at",), ("state", "requested_at")),
    ),
    Collection.META: Declaration(key="name"),
}
"""What each collection needs."""


@dataclass(frozen=True)
class Backfill:
    """A number that documents of older versions lack; `compute` gives it from the number `source`, where there is one.

    Engines add it to the documents that are there when the field is first declared, so that sorting by it leaves none
    out.
    """

    field: str
    source: str
    compute: Callable[[float], float]


BACKFILLS: dict[Collection, tuple[Backfill, ...]] = {
    Collection.IMAGES: (Backfill("rank_score", "p_value", rank_score_of),),
}
"""What each collection's older documents lack."""
