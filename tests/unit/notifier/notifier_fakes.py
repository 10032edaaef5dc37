"""Fakes of what surrounds the notifier, and images to alert on."""

import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from astrolens.contracts import examples
from astrolens.contracts.alerts import Alert
from astrolens.contracts.catalogues import CatalogueAnswer, MatchStatus
from astrolens.contracts.crossmatch import Crossmatch, CrossmatchRecord, sum_up
from astrolens.contracts.events import CandidateMatched
from astrolens.contracts.ids import alert_id, content_digest, image_id
from astrolens.contracts.records import AlertRecord, ImageRecord, PendingEvent
from astrolens.contracts.verdicts import Verdict, rank_score_of
from astrolens.notifier.alert_service import AlertService
from astrolens.notifier.answer_cutoff import AnswerCutoffRecord
from astrolens.notifier.channels import DeliveryFailed
from astrolens.notifier.metrics import AlertMetrics
from astrolens.notifier.packets import decode_packet
from astrolens.notifier.unreadable import UnreadableDocuments
from astrolens.platform.errors import BusUnavailable
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.folder.store import FolderImageStore
from astrolens.platform.stores.images import cutout_key
from astrolens.platform.stores.records import Change
from astrolens.platform.stores.sqlite.store import SqliteRecordStore
from astrolens.platform.telemetry.metrics import Metrics

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
JPEG = examples.alert().cutout or b""


class Clock:
    """A clock that moves by a second whenever it is read."""

    def __init__(self) -> None:
        self.now = EPOCH

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


class FakeOutbox:
    """Publishes into a list, then clears what it published; or leaves everything pending."""

    def __init__(self, records: SqliteRecordStore) -> None:
        self.records = records
        self.published: list[PendingEvent] = []
        self.down = False

    async def release(self, collection: Collection, documents: Sequence[tuple[str, Sequence[PendingEvent]]]) -> None:
        if self.down:
            return
        self.published.extend(event for _, events in documents for event in events)
        await self.records.apply(
            collection, [Change(id=key, pull_pending=[event.event_id for event in events]) for key, events in documents]
        )

    def packets(self) -> list[Alert]:
        return [decode_packet(base64.b64decode(event.payload)) for event in self.published if event.binary]

    def json_alerts(self) -> list[dict[str, Any]]:
        return [json.loads(event.payload) for event in self.published if not event.binary]

    def clear(self) -> None:
        self.published.clear()


class FakePublisher:
    def __init__(self) -> None:
        self.published: list[PendingEvent] = []
        self.down = False

    async def publish(self, events: Sequence[PendingEvent]) -> None:
        if self.down:
            raise BusUnavailable("the event broker does not answer")
        self.published.extend(events)


@dataclass
class FakeChannel:
    """Accepts messages, or fails with a sentence."""

    name: str = "mailto #1"
    error: str | None = None
    sent: list[tuple[str, str, bytes | None]] = field(default_factory=list)
    attempts: int = 0

    async def send(self, title: str, body: str, *, picture: bytes | None) -> None:
        self.attempts += 1
        if self.error is not None:
            raise DeliveryFailed(self.error)
        self.sent.append((title, body, picture))


def image(
    number: int,
    *,
    verdict: Verdict = Verdict.ANOMALY,
    p_value: float = 0.0025,
    model: str = "a",
    predicted_class: str = "spiral",
    analyzed_at: datetime = EPOCH,
    **observation: Any,
) -> ImageRecord:
    """An analysed image; `model` is the letter of its model's digest."""
    digest = content_digest(f"image {number}".encode())
    base = examples.image()
    key = cutout_key(image_id(digest))
    analysis = examples.analysis().model_copy(
        update={
            "verdict": verdict,
            "p_value": p_value,
            "rank_score": rank_score_of(p_value),
            "model_digest": model * 64,
            "predicted_class": predicted_class,
            "analyzed_at": analyzed_at,
        }
    )
    return base.model_copy(
        update={
            "image_id": image_id(digest),
            "original": base.original.model_copy(update={"sha256": digest}),
            "cutout": base.cutout.model_copy(update={"key": key}),
            "observation": base.observation.model_copy(update=observation),
            "analysis": analysis,
            "verdict": verdict,
            "p_value": p_value,
            "rank_score": rank_score_of(p_value),
            "predicted_class": predicted_class,
            "analyzed_at": analyzed_at,
        }
    )


def crossmatch(status: MatchStatus = MatchStatus.FAILED) -> Crossmatch:
    """What one required catalogue said."""
    if status is MatchStatus.MATCHED:
        return examples.matched()
    return sum_up((CatalogueAnswer(catalogue="simbad", required=True, status=status, detail="a sentence"),))


def matched(picture: ImageRecord, *, status: MatchStatus = MatchStatus.FAILED, revision: int = 1) -> CrossmatchRecord:
    """The cross-match of an analysed image."""
    analysis = picture.analysis
    assert analysis is not None
    found = crossmatch(status)
    return CrossmatchRecord(
        image_id=picture.image_id,
        survey=picture.observation.survey,
        position=picture.observation.position,
        model_digest=analysis.model_digest,
        calibration_id=analysis.calibration_id,
        predicted_class=analysis.predicted_class,
        verdict=analysis.verdict,
        analyzed_at=analysis.analyzed_at,
        status=found.status,
        crossmatch=found,
        revision=revision,
        created_at=EPOCH,
    )


def candidate(picture: ImageRecord, **given: Any) -> CandidateMatched:
    """The event of a candidate that was matched with the catalogues."""
    return CandidateMatched.of(matched(picture, **given), service="test", at=EPOCH)


@dataclass
class World:
    """Real stores in a folder; everything else is a fake."""

    records: SqliteRecordStore
    images: FolderImageStore
    outbox: FakeOutbox
    metrics: AlertMetrics
    clock: Clock
    condition: Condition = field(default_factory=Condition)
    deliveries_queued: int = 0

    def __post_init__(self) -> None:
        self.unreadable = UnreadableDocuments(self.condition)

    def service(self, *channels: str, surveys: Sequence[str] = (), publish_unreleased: bool = False) -> AlertService:
        return AlertService(
            records=self.records,
            images=self.images,
            outbox=self.outbox,
            metrics=self.metrics,
            unreadable=self.unreadable,
            channels=channels,
            on_delivery_queued=self._on_delivery_queued,
            surveys=surveys,
            publish_unreleased=publish_unreleased,
            clock=self.clock,
        )

    async def put(
        self,
        *pictures: ImageRecord,
        cutout: bytes | None = JPEG,
        status: MatchStatus | None = MatchStatus.FAILED,
        revision: int = 1,
    ) -> None:
        """Put images, or put them again after another analysis, with what the catalogue says (None: not asked yet)."""
        await self.records.upsert(Collection.IMAGES, pictures)
        if status is not None:
            records = [matched(each, status=status, revision=revision) for each in pictures if each.analysis]
            await self.records.upsert(Collection.CROSSMATCHES, records)
        if cutout is not None:
            await self.images.put_many([(picture.cutout.key, cutout, "image/jpeg") for picture in pictures])

    async def alert(self, picture: ImageRecord) -> AlertRecord | None:
        found = await self.records.get(Collection.ALERTS, [alert_id(picture.image_id)])
        return AlertRecord.model_validate(next(iter(found.values()))) if found else None

    def sample(self, metric: str, **labels: str) -> float | None:
        """The value that Prometheus would read."""
        return self.metrics.shared.registry.get_sample_value(metric, labels)

    def _on_delivery_queued(self) -> None:
        self.deliveries_queued += 1


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[World]:
    records = SqliteRecordStore(folder / "records.sqlite")
    images = FolderImageStore(folder / "images")
    await records.open()
    await images.open()
    await records.insert(Collection.META, [AnswerCutoffRecord(since=EPOCH)])
    try:
        yield World(records, images, FakeOutbox(records), AlertMetrics(Metrics("notifier")), Clock())
    finally:
        await images.close()
        await records.close()
