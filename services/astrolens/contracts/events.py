"""Events on the internal topics: immutable, named in the past tense, with deterministic ids."""

from datetime import datetime
from typing import Literal, Self

from pydantic import Field

from astrolens import __version__
from astrolens.contracts import topics
from astrolens.contracts.base import Contract, PValue, UtcTime, utc_now, utc_text
from astrolens.contracts.catalogues import CatalogueAnswer, CrossmatchStatus
from astrolens.contracts.crossmatch import CrossmatchRecord
from astrolens.contracts.ids import event_id
from astrolens.contracts.models import PromotionRecord
from astrolens.contracts.records import Answer, LaterArrival, PendingEvent, Reason
from astrolens.contracts.survey_models import SurveyModelRecord, SurveyState
from astrolens.contracts.tags import Tags
from astrolens.contracts.verdicts import CalibrationFit, Verdict


class Event(Contract):
    """The fields of every event."""

    event_id: str
    producer: str
    schema_version: Literal[1] = 1
    occurred_at: UtcTime

    def pending(self, *, topic: str, key: str, traceparent: str | None = None) -> PendingEvent:
        """The event for the outbox of the document that caused it, with the trace context of its cause, if traced."""
        return PendingEvent(
            event_id=self.event_id, topic=topic, key=key, payload=self.model_dump_json(), traceparent=traceparent
        )


def producer(service: str) -> str:
    """Name and version of the program that publishes an event."""
    return f"astrolens-{service}/{__version__}"


class ImageSubmitted(Event):
    """An image was submitted: its original is in the image store, or has to be fetched if the receipt has a URL."""

    receipt_id: str

    @classmethod
    def of(cls, receipt: str, *, service: str) -> Self:
        """The event of one receipt."""
        return cls(
            event_id=event_id(topics.IMAGES_SUBMITTED, receipt),
            producer=producer(service),
            occurred_at=utc_now(),
            receipt_id=receipt,
        )


class ImageIngested(Event):
    """An image was ingested: its cutout is stored and has to be analysed."""

    image_id: str
    survey: str
    cutout_key: str
    cutout_sha256: str

    @classmethod
    def of(
        cls,
        image_id: str,
        *,
        survey: str,
        cutout_key: str,
        cutout_sha256: str,
        service: str,
        at: datetime,
        again: bool = False,
    ) -> Self:
        """The event of one image.

        Args:
            image_id: Its id.
            survey: Its survey.
            cutout_key: Key of its cutout in the image store.
            cutout_sha256: Digest of the cutout.
            service: The service that publishes the event.
            at: When it was ingested, or when a new analysis was requested.
            again: Whether this is a request for a new analysis; its event id then depends on the time.
        """
        return cls(
            event_id=event_id(topics.IMAGES_INGESTED, image_id, *([utc_text(at)] if again else [])),
            producer=producer(service),
            occurred_at=at,
            image_id=image_id,
            survey=survey,
            cutout_key=cutout_key,
            cutout_sha256=cutout_sha256,
        )


class ImageAnalyzed(Event):
    """An image was analysed; the record store has the whole analysis."""

    image_id: str
    survey: str
    model_digest: str
    calibration_id: str
    predicted_class: str
    p_value: PValue
    verdict: Verdict
    p_value_at_most: bool = Field(default=False, description="Whether the p-value is an upper bound; see `Analysis`.")
    calibration_images: int | None = Field(default=None, ge=1, description="Calibration images of the p-value.")
    calibration_fit: CalibrationFit = "own"
    rank_score: float | None = Field(default=None, description="Larger is stranger, and no probability.")


class CandidateMatched(Event):
    """The catalogues were asked about a candidate, or its analysis changed; the record store has the whole record."""

    image_id: str
    survey: str
    model_digest: str
    calibration_id: str
    predicted_class: str
    verdict: Verdict = Field(description="Of the analysis; `ordinary` where a candidate is none any more.")
    revision: int = Field(ge=1, description="Number of this publication about the image.")
    status: CrossmatchStatus
    reason: Reason = Field(description="Why, as a code and a sentence.")
    possible_discovery: bool = Field(description="Whether `status` is `unmatched`; nothing else may be called so.")
    references: int | None = Field(
        default=None,
        description="References in the literature; 0: no reference; absent: no catalogue that counts them answered.",
    )
    catalogues: tuple[CatalogueAnswer, ...] = ()

    @classmethod
    def of(cls, record: CrossmatchRecord, *, service: str, at: datetime) -> Self:
        """The event of a record that is about to be written.

        Raises:
            ValueError: The catalogues have not been asked yet.
        """
        if record.crossmatch is None:
            raise ValueError(f"the cross-match of image {record.image_id} has no answers yet")
        found = record.crossmatch
        return cls(
            event_id=event_id(topics.CANDIDATES_MATCHED, record.image_id, str(record.revision)),
            producer=producer(service),
            occurred_at=at,
            image_id=record.image_id,
            survey=record.survey,
            model_digest=record.model_digest,
            calibration_id=record.calibration_id,
            predicted_class=record.predicted_class,
            verdict=record.verdict,
            revision=record.revision,
            status=found.status,
            reason=found.reason,
            possible_discovery=found.possible_discovery,
            references=found.references,
            catalogues=found.answers,
        )


class ImageEnriched(Event):
    """A later arrival of the same bytes knew more of an image; the record store has the whole of it."""

    image_id: str
    survey: str
    receipt_id: str = Field(description="The arrival that knew more.")
    source: str
    filled: tuple[str, ...] = Field(
        default=(), description="Fields of the observation that have a value now, such as `position`."
    )
    conflicting: tuple[str, ...] = Field(
        default=(), description="Fields of which the arrival gave another value than the one that holds."
    )

    @classmethod
    def of(cls, image_id: str, later: LaterArrival, *, survey: str, service: str) -> Self:
        """The event of one arrival that knew more."""
        return cls(
            event_id=event_id(topics.IMAGES_ENRICHED, image_id, later.receipt_id),
            producer=producer(service),
            occurred_at=later.at,
            image_id=image_id,
            survey=survey,
            receipt_id=later.receipt_id,
            source=later.source,
            filled=later.filled,
            conflicting=tuple(later.conflicting),
        )


class LabelRecorded(Event):
    """A person labelled an image; `answer` None withdraws the last label."""

    image_id: str
    label_id: str
    answer: Answer | None
    user: str
    tags: Tags = ()


class CalibrationRevised(Event):
    """Another calibration serves a survey; the record store has the whole state."""

    survey: str
    version: int = Field(description="Number of changes of the survey's state.")
    state: SurveyState
    reason: str
    model_digest: str
    revision: str | None = Field(default=None, description="SHA-256 of the survey model that serves from now on.")
    images: int = Field(default=0, description="Images that it was fitted on.")
    false_alarms_per_1000: float | None = Field(default=None, description="The survey's own budget, where it has one.")
    drift_shift: float = Field(default=0.0, description="Drift that verdicts allow for, standard deviations; 0: none.")
    drift_scale: float = Field(default=1.0, description="The spread that belongs to it; 1: unchanged.")

    @classmethod
    def of(cls, record: SurveyModelRecord, *, service: str, at: datetime) -> Self:
        """The event of a state that was just changed."""
        revision = record.revision
        return cls(
            event_id=event_id(topics.CALIBRATIONS_REVISED, record.survey, str(record.version)),
            producer=producer(service),
            occurred_at=at,
            survey=record.survey,
            version=record.version,
            state=record.state,
            reason=record.reason,
            model_digest=record.model_digest,
            revision=None if revision is None else revision.digest,
            images=0 if revision is None else revision.images,
            false_alarms_per_1000=record.false_alarms_per_1000,
            drift_shift=record.adjustment.shift if record.adjustment else 0.0,
            drift_scale=record.adjustment.scale if record.adjustment else 1.0,
        )


class ModelPromoted(Event):
    """Another model bundle serves from now on; the record store has the whole history."""

    number: int = Field(description="Number of promotions so far.")
    model_digest: str
    previous_digest: str | None = Field(default=None, description="What a rollback returns to.")
    by: str
    why: str
    rollback: bool = Field(default=False, description="Whether it returns to the bundle before.")

    @classmethod
    def of(cls, record: PromotionRecord, *, service: str) -> Self:
        """The event of a promotion that is about to be written."""
        return cls(
            event_id=event_id(topics.MODELS_PROMOTED, str(record.number), record.digest),
            producer=producer(service),
            occurred_at=record.at,
            number=record.number,
            model_digest=record.digest,
            previous_digest=record.previous_digest,
            by=record.by,
            why=record.why,
            rollback=record.rollback,
        )


BY_TOPIC: dict[str, type[Event]] = {
    topics.IMAGES_SUBMITTED: ImageSubmitted,
    topics.IMAGES_INGESTED: ImageIngested,
    topics.IMAGES_ANALYZED: ImageAnalyzed,
    topics.CANDIDATES_MATCHED: CandidateMatched,
    topics.IMAGES_ENRICHED: ImageEnriched,
    topics.LABELS_RECORDED: LabelRecorded,
    topics.CALIBRATIONS_REVISED: CalibrationRevised,
    topics.MODELS_PROMOTED: ModelPromoted,
}
"""The event class of each internal topic."""
