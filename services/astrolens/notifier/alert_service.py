"""Brings alerts in line with analyses and labels of their images: at most one alert an image, each message once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog
from pydantic import ValidationError

from astrolens.contracts.base import utc_now
from astrolens.contracts.crossmatch import CrossmatchRecord
from astrolens.contracts.ids import alert_id
from astrolens.contracts.records import AlertRecord, Answer, ImageRecord, Label, Reason
from astrolens.notifier import lifecycle, public_alerts
from astrolens.notifier.alert_revisions import AlertRevision
from astrolens.notifier.answer_cutoff import AnswerCutoff
from astrolens.notifier.metrics import AlertMetrics
from astrolens.notifier.sightings import Sighting, Sightings
from astrolens.notifier.unreadable import UnreadableDocuments
from astrolens.platform.bus.ports import EventReleaser
from astrolens.platform.errors import PermanentError
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import ImageStore
from astrolens.platform.stores.records import Change, Clause, Document, RecordStore, to_document
from astrolens.platform.telemetry.metrics import Stage
from astrolens.platform.telemetry.tracing import annotate_span, log_fields, traceparent_of

CROSSMATCH_WAIT: Final = timedelta(minutes=10)
"""How long after its analysis an anomaly waits for what the catalogues say. The crossref service answers within
seconds, also while the catalogues are away; where it is away itself, the alert says that nobody asked."""

_UNANSWERED: Final[tuple[Answer | None, tuple[str, ...]]] = (None, ())

_log = structlog.get_logger(__name__)


@dataclass
class _CurrentAlerts:
    """The alerts of some images, by image id. Images whose alert exists but cannot be read are in `unreadable`."""

    alerts: dict[str, AlertRecord] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)


class AlertService:
    """Raises, updates and retracts alerts. The image record decides; events only say which images to look at."""

    def __init__(
        self,
        *,
        records: RecordStore,
        images: ImageStore,
        outbox: EventReleaser,
        metrics: AlertMetrics,
        unreadable: UnreadableDocuments,
        channels: tuple[str, ...],
        on_delivery_queued: Callable[[], None],
        surveys: Iterable[str] = (),
        publish_unreleased: bool = False,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Compose; nothing is read.

        Args:
            records: Images and alerts.
            images: Cutouts, which alerts carry.
            outbox: Publishes the messages of alerts.
            metrics: Counts alerts and their latency.
            unreadable: Where alerts that cannot be validated are reported.
            channels: Names of the channels that new alerts are delivered to.
            on_delivery_queued: Called after an alert was written that waits for a channel.
            surveys: The surveys of the settings that have alert topics of their own.
            publish_unreleased: Whether data that their survey has not released are published.
            clock: The present time.
        """
        self._surveys = frozenset(surveys)
        self._publish_unreleased = publish_unreleased
        self._records = records
        self._images = images
        self._outbox = outbox
        self._metrics = metrics
        self._unreadable = unreadable
        self._channels = channels
        self._sightings = Sightings(records=records, unreadable=unreadable, publish_unreleased=publish_unreleased)
        self._on_delivery_queued = on_delivery_queued
        self._clock = clock
        self._answer_cutoff = AnswerCutoff(records=records, clock=clock)

    def register_surveys(self, surveys: Iterable[str]) -> None:
        """Images of these surveys are analysed: alerts about them may follow."""
        for survey in surveys:
            self._metrics.register_survey(survey)

    async def reconcile(self, anomalies: Sequence[str], others: Sequence[str] = ()) -> dict[str, Reason]:
        """Bring the alerts of images that were just analysed in line. Idempotent.

        Args:
            anomalies: Ids of images that may need an alert.
            others: Ids of images that need none, according to their event; only those with an alert are read.

        Returns:
            Why the alerts of some images cannot be brought in line, by image id.

        Raises:
            TransientError: A store is unreachable; calling again completes the work.
        """
        current = await self._current_alerts([*anomalies, *others])
        wanted = dict.fromkeys([*anomalies, *(image for image in others if image in current.alerts)])
        return await self._reconcile([image for image in wanted if image not in current.unreadable], current.alerts)

    async def repair(self, analyzed_at: Mapping[str, datetime]) -> dict[str, Reason]:
        """Do what lost events would have done: see `lifecycle.is_outdated` for the rule.

        Images whose alert is at least as new as their analysis and their cross-match are left alone, whatever model
        they name, and so are those that were answered before answers changed alerts (`AnswerCutoff`).

        Args:
            analyzed_at: When images were last analysed, by image id.

        Returns:
            Why the alerts of some images cannot be brought in line, by image id.

        Raises:
            TransientError: A store is unreachable; calling again completes the work.
        """
        current = await self._current_alerts(list(analyzed_at))
        matched = await self._records.get(Collection.CROSSMATCHES, list(analyzed_at), fields=("revision",))
        answers = await self._newer_answers(current.alerts)
        revisions = {image: document.get("revision") or 0 for image, document in matched.items()}
        outdated = [
            image
            for image, at in analyzed_at.items()
            if image not in current.unreadable
            and lifecycle.is_outdated(
                current.alerts.get(image),
                at,
                label=answers.get(image, _UNANSWERED)[0],
                tags=answers.get(image, _UNANSWERED)[1],
                matched=revisions.get(image, 0),
            )
        ]
        return await self._reconcile(outdated, current.alerts)

    async def follows_answer(self, given_at: datetime) -> bool:
        """Whether an answer of this time changes alerts: see `AnswerCutoff`.

        Raises:
            TransientError: The record store is unreachable.
        """
        return given_at >= await self._answer_cutoff.time()

    async def _newer_answers(
        self, alerts: Mapping[str, AlertRecord]
    ) -> dict[str, tuple[Answer | None, tuple[str, ...]]]:
        """What people said of images with alerts, with tags; those of which nobody said anything are left out.

        Where an answer is older than `AnswerCutoff`, what the alert says of it stands.
        """
        since = await self._answer_cutoff.time()
        documents = await self._records.get(Collection.IMAGES, list(alerts), fields=("label", "labels"))
        found: dict[str, tuple[Answer | None, tuple[str, ...]]] = {}
        for image, document in documents.items():
            if not (label := document.get("label")):
                continue
            labels = [Label.model_validate(row) for row in document["labels"] or ()]
            given = lifecycle.label_given(Answer(label), labels)
            if given is None or given.recorded_at < since:
                found[image] = (alerts[image].label, alerts[image].tags)
            else:
                found[image] = (given.answer, given.tags)
        return found

    async def _current_alerts(self, image_ids: Sequence[str]) -> _CurrentAlerts:
        image_of = {alert_id(image): image for image in image_ids}
        found = _CurrentAlerts()
        for identifier, document in (await self._records.get(Collection.ALERTS, list(image_of))).items():
            try:
                found.alerts[image_of[identifier]] = AlertRecord.model_validate(document)
            except ValidationError as error:
                # The image has an alert, so it must not get a second one; only a person can repair the record.
                found.unreadable.add(image_of[identifier])
                self._unreadable.report(Collection.ALERTS, identifier, error)
        return found

    async def _reconcile(self, image_ids: Sequence[str], alerts: Mapping[str, AlertRecord]) -> dict[str, Reason]:
        if not image_ids:
            return {}
        documents = await self._records.get(Collection.IMAGES, image_ids)
        matched = await self._matched(image_ids)
        revisions, refused = _required_revisions(image_ids, documents, alerts, matched, now=self._clock())
        if revisions:
            refused |= await self._write(revisions)
        return refused

    async def _matched(self, image_ids: Sequence[str]) -> dict[str, CrossmatchRecord]:
        """What the catalogues said of images, where they were asked."""
        found: dict[str, CrossmatchRecord] = {}
        for image, document in (await self._records.get(Collection.CROSSMATCHES, image_ids)).items():
            try:
                record = CrossmatchRecord.model_validate(document)
            except ValidationError as error:
                self._unreadable.report(Collection.CROSSMATCHES, image, error)
                continue
            if record.crossmatch is not None:
                found[image] = record
        return found

    async def _write(self, revisions: Sequence[AlertRevision]) -> dict[str, Reason]:
        """Write and publish revisions; return why some cannot be, by image id."""
        now = self._clock()
        public = [revision for revision in revisions if not revision.image.observation.injected]
        cutouts = await self._images.get_many([revision.image.cutout.key for revision in public])
        sightings = await self._sightings.of([revision.image for revision in public])
        new: dict[str, AlertRecord] = {}
        changed: dict[str, AlertRecord] = {}
        changes: list[Change] = []
        refused: dict[str, Reason] = {}
        for revision in revisions:
            image = revision.image
            try:
                seen = sightings.get(image.image_id, ())
                record = self._record(revision, cutouts.get(image.cutout.key), seen, now)
            except (ValueError, TypeError, OverflowError, PermanentError) as error:
                # A value that the image record allows and the public alert does not: its neighbours are not held up.
                refused[image.image_id] = Reason(code="no-alert", detail=f"image {image.image_id}: {error}"[:500])
                continue
            if revision.current is None:
                new[record.alert_id] = record
            else:
                changed[record.alert_id] = record
                changes.append(_change(revision.current, record))
        written = await self._records.insert(Collection.ALERTS, list(new.values())) if new else set()
        if changes:
            written |= await self._records.apply(Collection.ALERTS, changes)
        records = [record for record in (*new.values(), *changed.values()) if record.alert_id in written]
        # Messages of the same alert that are still pending since an outage are published before the new ones.
        pending = {current.alert_id: current.pending for revision in revisions if (current := revision.current)}
        await self._outbox.release(
            Collection.ALERTS,
            [(record.alert_id, [*pending.get(record.alert_id, ()), *record.pending]) for record in records],
        )
        unchanged = {alert_id(revision.image.image_id) for revision in revisions if revision.is_unchanged}
        self._report([record for record in records if record.alert_id not in unchanged], revisions)
        return refused

    def _record(
        self, revision: AlertRevision, cutout: bytes | None, sightings: Sequence[Sighting], now: datetime
    ) -> AlertRecord:
        """The record of a revision, with its messages."""
        image, analysis = revision.image, revision.analysis
        found = revision.found
        match_revision = 0 if revision.matched is None else revision.matched.revision
        if revision.current is not None and revision.is_unchanged:
            return lifecycle.confirmed_record(
                revision.current, analysis, match_revision=match_revision, confirmed_at=now
            )
        seen_before = sum(each.earlier for each in sightings)
        if revision.current is None:
            record = lifecycle.new_record(
                image,
                analysis,
                found,
                match_revision=match_revision,
                raised_at=now,
                channels=self._channels,
                seen_before=seen_before,
                surveys=self._surveys,
                publish_unreleased=self._publish_unreleased,
            )
        else:
            record = lifecycle.next_record(
                revision.current,
                image,
                analysis,
                found,
                match_revision=match_revision,
                alert_type=revision.alert_type,
                updated_at=now,
                channels=self._channels,
                seen_before=seen_before,
                publish_unreleased=self._publish_unreleased,
            )
        if record.topic is None:
            return record
        alert = public_alerts.public_alert(
            image, analysis, found, record, sightings=sightings, cutout=cutout, published_at=now
        )
        pending = public_alerts.publishable_messages(alert, record.topic, traceparent=traceparent_of(record.image_id))
        return record.model_copy(update={"pending": pending})

    def _report(self, records: Sequence[AlertRecord], revisions: Sequence[AlertRevision]) -> None:
        """Count, trace and log what was written, and start its delivery."""
        now = self._clock()
        by_image = {revision.image.image_id: revision for revision in revisions}
        for record in records:
            self._metrics.count_alert(record.survey, record.alert_type, record.alert_tense)
            self._observe_latency(by_image[record.image_id], now)
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
        if any(record.undelivered for record in records):
            self._on_delivery_queued()

    def _observe_latency(self, revision: AlertRevision, now: datetime) -> None:
        shared = self._metrics.shared
        waited_s = (now - revision.analysis.analyzed_at).total_seconds()
        shared.stage_seconds.labels(Stage.ALERT).observe(max(waited_s, 0.0))
        # Updates are left out: the time since the image arrived says nothing of how fast they are.
        if revision.alert_type == "initial" and revision.image.received_at is not None:
            latency_s = (now - revision.image.received_at).total_seconds()
            shared.latency.labels(Stage.ALERT).observe(max(latency_s, 0.0))


def _required_revisions(
    image_ids: Sequence[str],
    documents: Mapping[str, Document],
    alerts: Mapping[str, AlertRecord],
    matched: Mapping[str, CrossmatchRecord],
    *,
    now: datetime,
) -> tuple[list[AlertRevision], dict[str, Reason]]:
    """The revisions that the analyses of images require, and the images that are missing or unreadable."""
    revisions: list[AlertRevision] = []
    refused: dict[str, Reason] = {}
    for image_id in image_ids:
        if image_id not in documents:
            refused[image_id] = Reason(code="unknown-image", detail=f"no image {image_id} in the record store")
            continue
        try:
            image = ImageRecord.model_validate(documents[image_id])
        except ValidationError as error:
            refused[image_id] = Reason(code="unreadable-record", detail=f"image {image_id}: {error}"[:500])
            continue
        if image.analysis is None:
            continue  # It is being analysed again; another event follows.
        current, match = alerts.get(image_id), matched.get(image_id)
        if current is None and match is None and now - image.analysis.analyzed_at < CROSSMATCH_WAIT:
            continue  # The catalogues are being asked; another event follows, or the sweep comes back to it.
        alert_type = lifecycle.next_alert_type(
            image.analysis,
            current,
            label=image.label,
            tags=lifecycle.tags_given(image.label, image.labels),
            matched=0 if match is None else match.revision,
        )
        if alert_type is not None:
            revisions.append(AlertRevision(image, image.analysis, match, alert_type, current))
    return revisions, refused


def _change(current: AlertRecord, record: AlertRecord) -> Change:
    """Every field that differs. The guard on `revision` lets one of several notifiers write it."""
    before, after = to_document(current), to_document(record)
    messages = after.pop("pending")
    return Change(
        id=record.alert_id,
        set={name: value for name, value in after.items() if value != before.get(name)},
        push={"pending": messages} if messages else {},
        when=(Clause("revision", "eq", current.revision),),
    )
