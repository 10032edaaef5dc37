"""An analyzer with real stores and everything else made up."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from astrolens.contracts import topics
from astrolens.contracts.events import ImageIngested
from astrolens.contracts.ids import content_digest, event_id
from astrolens.contracts.records import CutoutInfo, ImageRecord, Observation, Original, PendingEvent, Reason
from astrolens.contracts.verdicts import Analysis, DetectorResult, Verdict
from astrolens.inference.analyzer import Analyzer
from astrolens.inference.redelivery import Redelivery
from astrolens.platform.errors import ModelUnavailable
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.folder.store import FolderImageStore
from astrolens.platform.stores.images import cutout_key
from astrolens.platform.stores.records import Change
from astrolens.platform.stores.sqlite.store import SqliteRecordStore
from astrolens.rpc.model_client import CutoutRequest

from tests.unit.inference.tiny_bundle import image_id

NOW = datetime(2026, 5, 1, 12, 0, 0, 250, tzinfo=UTC)


class FakeModel:
    """Calls everything an anomaly; refuses what starts with `bad`; away when told so."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.away = False
        self.digest = "m1"

    async def analyze(self, cutouts: Sequence[CutoutRequest]) -> list[Analysis | Reason]:
        self.asked.append([cutout.image_id for cutout in cutouts])
        if self.away:
            raise ModelUnavailable("away")
        return [
            Reason(code="cutout-undecodable", detail="broken")
            if cutout.jpeg.startswith(b"bad")
            else self.analysis(cutout)
            for cutout in cutouts
        ]

    def analysis(self, cutout: CutoutRequest) -> Analysis:
        return Analysis(
            model_name="tiny",
            model_digest=self.digest,
            preprocessing_digest="p",
            calibration_id="c",
            calibration_survey=cutout.survey,
            execution_provider="CPU",
            class_probabilities={"spiral": 1.0},
            predicted_class="spiral",
            detectors={"msp": DetectorResult(score=1.0, p_value=0.5)},
            p_value=0.001,
            verdict=Verdict.ANOMALY,
            embedding="",
            analyzed_at=NOW,
        )


class FakeOutbox:
    """Publishes into a list and clears, as the real one does; or dies before it."""

    def __init__(self, records: SqliteRecordStore) -> None:
        self.records = records
        self.published: list[PendingEvent] = []
        self.dies = False

    async def release(self, collection: Collection, documents: Any) -> None:
        if self.dies:
            raise RuntimeError("killed")
        for key, events in documents:
            self.published += events
            await self.records.apply(collection, [Change(id=key, pull_pending=[event.event_id for event in events])])


class World:
    def __init__(self, folder: Path) -> None:
        self.records = SqliteRecordStore(folder / "records.sqlite")
        self.images = FolderImageStore(folder / "images")
        self.model = FakeModel()
        self.outbox = FakeOutbox(self.records)
        self.now = NOW
        self.analyzer = Analyzer(
            records=self.records,
            images=self.images,
            model=self.model,
            outbox=self.outbox,
            false_alarms_per_1000=10.0,
            clock=lambda: self.now,
        )

    def redelivery(self, *, after_s: float = 20.0) -> Redelivery:
        """Another analyzer's redelivery."""
        return Redelivery(
            records=self.records, outbox=self.outbox, after_s=after_s, service="analyzer", clock=lambda: self.now
        )

    async def ingest(self, *seeds: int, cutout: bytes = b"jpeg", stored: bytes | None = None, ago_s: float = 0) -> None:
        for seed in seeds:
            image = image_id(seed)
            key = cutout_key(image)
            if stored != b"":
                await self.images.put(key, stored or cutout, media_type="image/jpeg")
            then = NOW - timedelta(seconds=ago_s)
            record = ImageRecord(
                image_id=image,
                receipt_id=f"r{seed}",
                source="folder",
                batch="b",
                observation=Observation(survey="sdss"),
                original=Original(key="o", sha256="s", size_bytes=1, media_type="image/jpeg", width=8, height=8),
                cutout=CutoutInfo(
                    key=key, sha256=content_digest(cutout), width=64, height=64, scale=1.0, stretch="none"
                ),
                phash=content_digest(f"picture {seed}".encode())[:16],
                ingested_at=then,
                offered_at=then,
            )
            await self.records.insert(Collection.IMAGES, [record])

    async def document(self, seed: int) -> dict[str, Any]:
        return (await self.records.get(Collection.IMAGES, [image_id(seed)]))[image_id(seed)]


def event(seed: int) -> ImageIngested:
    return ImageIngested(
        event_id=event_id(topics.IMAGES_INGESTED, image_id(seed)),
        producer="test",
        occurred_at=NOW,
        image_id=image_id(seed),
        survey="sdss",
        cutout_key=cutout_key(image_id(seed)),
        cutout_sha256="",
    )
