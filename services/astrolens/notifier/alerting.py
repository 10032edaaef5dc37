"""Brings the alerts of some images in line with their analyses: at most one alert an image, each message once."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from pydantic import ValidationError

from astrolens.contracts.alerts import AlertType
from astrolens.contracts.base import utc_now
from astrolens.contracts.ids import alert_id
from astrolens.contracts.records import AlertRecord, ImageRecord, PendingEvent, Reason
from astrolens.contracts.verdicts import Analysis
from astrolens.notifier import lifecycle
from astrolens.notifier.metrics import AlertMetrics
from astrolens.platform.bus.ports import EventReleaser
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import ImageStore
from astrolens.platform.stores.records import Change, Clause, RecordStore, to_document
from astrolens.platform.telemetry.metrics import Stage
from astrolens.platform.telemetry.tracing import annotate_span, log_fields, traceparent_of

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Step:
    """One image whose alert has something new to tell."""

    image: ImageRecord
    analysis: Analysis
    alert_type: AlertType
    standing: AlertRecord | None


class AlertService:
    """Raises, updates and retracts alerts. The image record is the truth; events only say where to look."""

    def __init__(
        self,
        *,
        records: RecordStore,
        images: ImageStore,
        outbox: EventReleaser,
        metrics: AlertMetrics,
        channels: tuple[str, ...],
        on_news: Callable[[], None],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._records = records
        self._images = images
        self._outbox = outbox
        self._metrics = metrics
        self._channels = channels
        self._on_news = on_news
        self._clock = clock

    def expect(self, surveys: Iterable[str]) -> None:
        """Images of these surveys are analysed, and may deserve an alert."""
        for survey in surveys:
            self._metrics.expect(survey)

    async def reconcile(self, suspects: Sequence[str], others: Sequence[str] = ()) -> dict[str, Reason]:
        """Bring the alerts of some images in line. Doing it twice is doing it once.

        Args:
            suspects: Images that may deserve an alert.
            others: Images that deserve none as far as is known; they are looked at only where an alert stands.

        Returns:
            Why some images cannot have an alert, by image id.

        Raises:
            TransientError: A store is away; doing it again completes it.
        """
        standing = await self._standing([*suspects, *others])
        wanted = list(dict.fromkeys([*suspects, *(image for image in others if image in standing)]))
        if not wanted:
            return {}
        steps, refused = self._steps(wanted, await self._records.get(Collection.IMAGES, wanted), standing)
        if steps:
            await self._take(steps)
        return refused

    async def _standing(self, image_ids: Sequence[str]) -> dict[str, AlertRecord]:
        documents = await self._records.get(Collection.ALERTS, [alert_id(image) for image in dict.fromkeys(image_ids)])
        standing: dict[str, AlertRecord] = {}
        for identifier, document in documents.items():
            try:
                alert = AlertRecord.model_validate(document)
            except ValidationError as error:
                # Its place is taken, so that nothing is told twice; a person must look at it.
                _log.error("an alert record cannot be read", alert_id=identifier, error=str(error)[:500])
                continue
            standing[alert.image_id] = alert
        return standing

    def _steps(
        self, wanted: Sequence[str], documents: dict[str, dict[str, object]], standing: dict[str, AlertRecord]
    ) -> tuple[list[_Step], dict[str, Reason]]:
        steps: list[_Step] = []
        refused: dict[str, Reason] = {}
        for image_id in wanted:
            if image_id not in documents:
                refused[image_id] = Reason(code="unknown-image", detail=f"no image {image_id} in the record store")
                continue
            try:
                image = ImageRecord.model_validate(documents[image_id])
            except ValidationError as error:
                refused[image_id] = Reason(code="unreadable-record", detail=f"image {image_id}: {error}"[:500])
                continue
            if image.analysis is None:
                continue  # It is being analysed again; the event of that analysis comes.
            alert = standing.get(image_id)
            if (alert_type := lifecycle.next_step(image.analysis, alert)) is not None:
                steps.append(_Step(image, image.analysis, alert_type, alert))
        return steps, refused

    async def _take(self, steps: Sequence[_Step]) -> None:
        now = self._clock()
        public = [step for step in steps if not step.image.observation.injected]
        cutouts = await self._images.get_many([step.image.cutout.key for step in public])
        new: dict[str, AlertRecord] = {}
        changes: dict[str, tuple[AlertRecord, Change]] = {}
        for step in steps:
            cutout = cutouts.get(step.image.cutout.key)
            if step.standing is None:
                record = lifecycle.new_record(step.image, step.analysis, raised_at=now, channels=self._channels)
                record = record.model_copy(update={"pending": _messages(step, record, cutout, now)})
                new[record.alert_id] = record
            else:
                record = lifecycle.next_record(
                    step.standing,
                    step.analysis,
                    alert_type=step.alert_type,
                    updated_at=now,
                    channels=self._channels,
                )
                record = record.model_copy(update={"pending": _messages(step, record, cutout, now)})
                changes[record.alert_id] = record, _change(step.standing, record)
        written = await self._records.insert(Collection.ALERTS, list(new.values())) if new else set()
        if changes:
            written |= await self._records.apply(Collection.ALERTS, [change for _, change in changes.values()])
        told = [
            record for record in (*new.values(), *(one for one, _ in changes.values())) if record.alert_id in written
        ]
        # Messages of the same alert that wait since an outage go out before the new ones, in their order.
        waiting = {step.standing.alert_id: step.standing.pending for step in steps if step.standing is not None}
        await self._outbox.release(
            Collection.ALERTS,
            [(record.alert_id, [*waiting.get(record.alert_id, ()), *record.pending]) for record in told],
        )
        self._note(told, steps)

    def _note(self, told: Sequence[AlertRecord], steps: Sequence[_Step]) -> None:
        now = self._clock()
        by_image = {step.image.image_id: step for step in steps}
        for record in told:
            self._metrics.told(record.survey, record.alert_type, record.alert_tense)
            self._note_time(by_image[record.image_id], now)
            annotate_span(record.image_id, alert_id=record.alert_id, alert_type=record.alert_type)
            _log.info(
                "alert",
                alert_id=record.alert_id,
                alert_type=record.alert_type,
                alert_tense=record.alert_tense,
                topic=record.topic,
                p_value=record.p_value,
                **log_fields(record.image_id),
            )
        if any(record.undelivered for record in told):
            self._on_news()

    def _note_time(self, step: _Step, now: datetime) -> None:
        shared = self._metrics.shared
        waited_s = (now - step.analysis.analyzed_at).total_seconds()
        shared.stage_seconds.labels(Stage.ALERT).observe(max(waited_s, 0.0))
        # An update tells of an image that was told of before: it says nothing of how fast alerts are.
        if step.alert_type == "initial" and step.image.received_at is not None:
            latency_s = (now - step.image.received_at).total_seconds()
            shared.latency.labels(Stage.ALERT).observe(max(latency_s, 0.0))


def _messages(step: _Step, record: AlertRecord, cutout: bytes | None, now: datetime) -> tuple[PendingEvent, ...]:
    if record.topic is None:
        return ()
    alert = lifecycle.public_alert(step.image, step.analysis, record, cutout=cutout, published_at=now)
    return lifecycle.messages(alert, record.topic, traceparent=traceparent_of(record.image_id))


def _change(standing: AlertRecord, record: AlertRecord) -> Change:
    """Everything that differs, guarded by the revision: of two notifiers at once, one tells it."""
    before, after = to_document(standing), to_document(record)
    messages = after.pop("pending")
    return Change(
        id=record.alert_id,
        set={name: value for name, value in after.items() if value != before.get(name)},
        push={"pending": messages} if messages else {},
        when=(Clause("revision", "eq", standing.revision),),
    )
