"""Analyses ingested images: the model server gets their cutouts, the record store their analyses, the bus the events.

The state of an image decides, not the event: an image is analysed while it is `ingested`, and the analysis is written
only if it still is. So events may come twice, late or from another service, and nothing is done twice.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

from astrolens.contracts import topics
from astrolens.contracts.base import utc_now, utc_text
from astrolens.contracts.events import ImageAnalyzed, ImageIngested, producer
from astrolens.contracts.ids import content_digest, event_id
from astrolens.contracts.records import ImageState, PendingEvent, Reason
from astrolens.contracts.verdicts import MIN_JUDGED_SIDE, Analysis, Verdict
from astrolens.inference.survey_models.bursts import BurstDetector
from astrolens.platform.bus import Refusal
from astrolens.platform.bus.ports import EventReleaser
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import ImageStore
from astrolens.platform.stores.records import Change, Clause, Document, RecordStore
from astrolens.platform.telemetry.tracing import annotate_span, traceparent_of
from astrolens.rpc.model_client import CutoutRequest

SERVICE: Final = "analyzer"
_STILL_INGESTED: Final = Clause("state", "eq", ImageState.INGESTED.value)


OnWritten = Callable[[Sequence[tuple[Document, Analysis]], datetime], None]


class Model(Protocol):
    """The model server, as the analyzer needs it."""

    async def analyze(self, cutouts: Sequence[CutoutRequest]) -> list[Analysis | Reason]:
        """One answer a cutout, in their order; a reason where it cannot be analysed.

        Raises:
            ModelUnavailable: It does not answer.
        """


class Analyzer:
    """The handler of `images.ingested`.

    Args:
        records: The record store.
        images: The image store.
        model: The model server.
        outbox: Publishes the events of the writes.
        false_alarms_per_1000: The budget of surveys that have none of their own.
        on_written: Called with the images whose analysis was written, as they were before, and when.
        clock: Gives the present time, UTC.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        images: ImageStore,
        model: Model,
        outbox: EventReleaser,
        false_alarms_per_1000: float,
        on_written: OnWritten | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._records = records
        self._images = images
        self._model = model
        self._outbox = outbox
        self._budget = false_alarms_per_1000
        self._on_written = on_written
        self._bursts = BurstDetector()
        self._clock = clock

    async def handle(self, events: Sequence[ImageIngested]) -> list[Refusal]:
        """Analyse a batch; return the events whose image can never be analysed.

        Raises:
            TransientError: A store or the model server is unreachable; the same batch may be handled again.
        """
        by_image = {event.image_id: event for event in events}
        documents = await self._records.get(Collection.IMAGES, list(by_image))
        await self._outbox.release(Collection.IMAGES, _unpublished(documents))
        waiting = {key: found for key, found in documents.items() if found["state"] == ImageState.INGESTED.value}
        cutouts, reasons = await self._cutouts(waiting)
        answers = await self._model.analyze(cutouts) if cutouts else []
        analyses: dict[str, Analysis] = {}
        for cutout, answer in zip(cutouts, answers, strict=True):
            annotate_span(cutout.image_id, image_id=cutout.image_id, survey=cutout.survey)
            if isinstance(answer, Reason):
                reasons[cutout.image_id] = answer
            else:
                analysis = within_size(answer, waiting[cutout.image_id]["cutout"])
                analyses[cutout.image_id] = analysis
                annotate_span(cutout.image_id, verdict=analysis.verdict.value, p_value=analysis.p_value)
        await self._write(waiting, analyses)
        for key in by_image.keys() - documents.keys():
            reasons[key] = Reason(code="unknown-image", detail="the record store knows no image of this id")
        return [Refusal(by_image[key], reason) for key, reason in reasons.items()]

    async def settle_refused(self, refusal: Refusal) -> None:
        """Mark the image of a dead-lettered event, so that the books balance."""
        event = refusal.event
        if not isinstance(event, ImageIngested):
            raise TypeError(f"the analyzer reads no {type(event).__name__}")
        values = {"state": ImageState.DEAD_LETTERED.value, "reason": refusal.reason.model_dump(mode="json")}
        change = Change(id=event.image_id, set=values, when=(_STILL_INGESTED,))
        await self._records.apply(Collection.IMAGES, [change])

    async def _cutouts(self, waiting: Mapping[str, Document]) -> tuple[list[CutoutRequest], dict[str, Reason]]:
        """The cutouts of images, and the reasons of those without one."""
        keys = {image: document["cutout"]["key"] for image, document in waiting.items()}
        found = await self._images.get_many(list(keys.values()))
        cutouts: list[CutoutRequest] = []
        reasons: dict[str, Reason] = {}
        for image, document in waiting.items():
            jpeg = found.get(keys[image])
            if jpeg is None:
                detail = f"the image store has no cutout under {keys[image]!r}"
                reasons[image] = Reason(code="cutout-missing", detail=detail)
            elif content_digest(jpeg) != document["cutout"]["sha256"]:
                detail = f"the cutout under {keys[image]!r} is not the one that was ingested: its digest differs"
                reasons[image] = Reason(code="cutout-changed", detail=detail)
            else:
                cutouts.append(CutoutRequest(image_id=image, survey=document["observation"]["survey"], jpeg=jpeg))
        return cutouts, reasons

    async def _write(self, waiting: Mapping[str, Document], analyses: Mapping[str, Analysis]) -> None:
        if not analyses:
            return
        analyses = self._bursts.mark(waiting, analyses)
        now = self._clock()
        events = {image: _analyzed_event(waiting[image], analysis, now) for image, analysis in analyses.items()}
        written = await self._records.apply(
            Collection.IMAGES,
            [
                _change(waiting[image], analysis, events[image], now, late=self._late_by(waiting[image], analysis))
                for image, analysis in analyses.items()
            ],
        )
        if self._on_written is not None:
            self._on_written([(waiting[image], analyses[image]) for image in analyses if image in written], now)
        # An image that is not written was analysed meanwhile by another analyzer, which publishes the event.
        await self._outbox.release(
            Collection.IMAGES, [(image, [events[image]]) for image in events if image in written]
        )

    def _late_by(self, before: Document, analysis: Analysis) -> str | None:
        own = analysis.false_alarms_per_1000
        return late_by(before, analysis, alpha=(self._budget if own is None else own) / 1000.0)


def _unpublished(documents: Mapping[str, Document]) -> list[tuple[str, list[PendingEvent]]]:
    """Events of analysed images that are not published: the last attempt ended between write and publication."""
    found = []
    for image, document in documents.items():
        if document["state"] != ImageState.INGESTED.value and document.get("pending"):
            own = [event for event in document["pending"] if event["topic"] == topics.IMAGES_ANALYZED]
            found.append((image, [PendingEvent.model_validate(event) for event in own]))
    return found


def _analyzed_event(document: Document, analysis: Analysis, now: datetime) -> PendingEvent:
    image = document["image_id"]
    return ImageAnalyzed(
        event_id=event_id(topics.IMAGES_ANALYZED, image, analysis.model_digest, analysis.calibration_id),
        producer=producer(SERVICE),
        occurred_at=now,
        image_id=image,
        survey=document["observation"]["survey"],
        model_digest=analysis.model_digest,
        calibration_id=analysis.calibration_id,
        predicted_class=analysis.predicted_class,
        p_value=analysis.p_value,
        verdict=analysis.verdict,
        p_value_at_most=analysis.p_value_at_most,
        calibration_images=analysis.calibration_images,
        calibration_fit=analysis.calibration_fit,
        rank_score=analysis.rank_score,
    ).pending(topic=topics.IMAGES_ANALYZED, key=image, traceparent=traceparent_of(image))


def within_size(analysis: Analysis, cutout: Mapping[str, Any]) -> Analysis:
    """The analysis, without an anomaly where the picture is too small for the bundle: it then ranks last.

    Args:
        analysis: What the model says.
        cutout: Its `width` and `height`, pixels.
    """
    if min(cutout["width"], cutout["height"]) >= MIN_JUDGED_SIDE or analysis.calibration_fit == "survey-model":
        return analysis
    return analysis.model_copy(update={"verdict": Verdict.ORDINARY, "too_small": True, "rank_score": 0.0})


def late_by(before: Document, analysis: Analysis, *, alpha: float) -> str | None:
    """Digest of the bundle that newly calls an image an anomaly; None where none does, or where the budget does.

    Args:
        before: The image before this analysis.
        analysis: This analysis.
        alpha: Its budget. What the earlier bundle would call an anomaly under it as well is no merit of the newer one:
            since then the survey got a larger budget.
    """
    if analysis.verdict is not Verdict.ANOMALY:
        return None
    earlier = before.get("analysis")
    if earlier is None or earlier["model_digest"] == analysis.model_digest:
        known: str | None = before.get("late_by")
        return known
    if before.get("verdict") == Verdict.ANOMALY.value or earlier["p_value"] <= alpha:
        return before.get("late_by")
    return analysis.model_digest


def _change(before: Document, analysis: Analysis, event: PendingEvent, now: datetime, *, late: str | None) -> Change:
    image = before["image_id"]
    values: dict[str, Any] = {
        "state": ImageState.ANALYZED.value,
        "analysis": analysis.model_dump(mode="json"),
        "verdict": analysis.verdict.value,
        "p_value": analysis.p_value,
        "rank_score": analysis.rank_score,
        "predicted_class": analysis.predicted_class,
        "analyzed_at": utc_text(now),
        "reason": None,
        "late_by": late,
        # The map of the analysis before says nothing of this one.
        "patch_map": None,
    }
    return Change(id=image, set=values, push={"pending": [event.model_dump(mode="json")]}, when=(_STILL_INGESTED,))
