"""Facts on the bus: frozen, in the past tense, with an id that is a function of what happened."""

from datetime import datetime
from typing import Literal, Self

from astrolens import __version__
from astrolens.contracts import topics
from astrolens.contracts.base import Contract, PValue, UtcTime, utc_now, utc_text
from astrolens.contracts.ids import event_id
from astrolens.contracts.records import Answer, PendingEvent
from astrolens.contracts.verdicts import Verdict


class Event(Contract):
    """What every event carries."""

    event_id: str
    producer: str
    schema_version: Literal[1] = 1
    occurred_at: UtcTime

    def pending(self, *, topic: str, key: str, traceparent: str | None = None) -> PendingEvent:
        """The event as it rides in the document that caused it, with the trace context of its cause, where traced."""
        return PendingEvent(
            event_id=self.event_id, topic=topic, key=key, payload=self.model_dump_json(), traceparent=traceparent
        )


def producer(service: str) -> str:
    """The name of the program that made an event."""
    return f"astrolens-{service}/{__version__}"


class ImageSubmitted(Event):
    """An original lies in the image store and wants to be decoded (or fetched, where `url` is set)."""

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
    """A cutout waits for its analysis."""

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
            cutout_key: Where its cutout lies.
            cutout_sha256: Digest of the cutout.
            service: Who makes the event.
            at: When it was ingested, or asked to be analysed again.
            again: An analysis of its own is asked for: the event gets an id of its own, from the time.
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
    """A bundle gave its verdict; the whole analysis is in the record store."""

    image_id: str
    survey: str
    model_digest: str
    calibration_id: str
    predicted_class: str
    p_value: PValue
    verdict: Verdict


class LabelRecorded(Event):
    """A person answered; `answer` None takes the last answer back."""

    image_id: str
    label_id: str
    answer: Answer | None
    user: str


BY_TOPIC: dict[str, type[Event]] = {
    topics.IMAGES_SUBMITTED: ImageSubmitted,
    topics.IMAGES_INGESTED: ImageIngested,
    topics.IMAGES_ANALYZED: ImageAnalyzed,
    topics.LABELS_RECORDED: LabelRecorded,
}
"""Every internal topic and the one kind of event on it."""
