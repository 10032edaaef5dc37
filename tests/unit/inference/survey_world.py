"""Analyzer, model server and notifier's rule on real stores, without a broker and without gRPC."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from astrolens.contracts import topics
from astrolens.contracts.events import ImageIngested
from astrolens.contracts.ids import content_digest
from astrolens.contracts.records import CutoutInfo, ImageRecord, Observation, Original, PendingEvent, Reason
from astrolens.contracts.survey_models import SurveyModelRecord
from astrolens.contracts.verdicts import Analysis
from astrolens.inference.analyzer import Analyzer
from astrolens.inference.backbone import Backbone
from astrolens.inference.engine import Engine, Item
from astrolens.inference.messages import features_message, model_message, outcome_message
from astrolens.inference.model_metrics import ModelMetrics
from astrolens.inference.model_service import ModelService, describe
from astrolens.inference.similarity.index import SimilarityIndex
from astrolens.inference.similarity.vector_index import VectorIndex
from astrolens.inference.survey_models.checking import SurveyChecker
from astrolens.inference.survey_models.features import FeatureReader
from astrolens.inference.survey_models.fitting import SurveyModelFitter
from astrolens.inference.survey_models.keeper import SurveyModelKeeper
from astrolens.inference.survey_models.learned import LearnedSurveyWatcher
from astrolens.inference.survey_models.loading import SurveyModelLoader
from astrolens.inference.survey_models.metrics import SurveyModelMetrics
from astrolens.inference.survey_models.reanalysis import SurveyReanalyzer
from astrolens.inference.survey_models.tracking import DriftTracker
from astrolens.inference.survey_models.watching import KnownSurveyWatcher
from astrolens.platform.errors import ModelUnavailable
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.folder.store import FolderImageStore
from astrolens.platform.stores.images import cutout_key
from astrolens.platform.stores.records import Change
from astrolens.platform.stores.sqlite.store import SqliteRecordStore
from astrolens.platform.telemetry.metrics import Metrics
from astrolens.rpc.messages import Description, ExtractedTaps, ServedSurveyModel, analysis_or_reason, extracted_taps
from astrolens.rpc.model_client import CutoutRequest
from astrolens.science.bundle import Bundle
from astrolens.science.density import DensityEntry
from astrolens.science.scoring import Scorer
from astrolens.usecases.labelling import Labelling
from astrolens.usecases.originals import OriginalsProtection
from astrolens.usecases.reanalysis import Reanalysis
from astrolens.usecases.survey_models import SurveyModels, SurveyModelStore

from tests.unit.inference.tiny_bundle import image_id, picture

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
NEEDED = 44
RECIPE = (DensityEntry(name="scaled-density", taps=("scaled",), components=4, neighbours=3),)


class LocalModel:
    """A model server in the process: the same engine and messages, no gRPC."""

    def __init__(self, bundle: Bundle) -> None:
        scorer = Scorer(bundle)
        self.bundle = bundle
        self.away = False
        self.extracted = 0
        self.service = ModelService(
            engine=Engine(bundle=bundle, scorer=scorer, backbone=Backbone(bundle)),
            index=SimilarityIndex(VectorIndex(bundle.centroids)),
            description=describe(bundle, scorer, "CPU"),
            workers=1,
            metrics=ModelMetrics(Metrics("model-server")),
            on_done=lambda _: None,
        )
        self.engine = self.service._engine

    async def analyze(self, cutouts: Sequence[CutoutRequest]) -> list[Analysis | Reason]:
        outcomes = self.engine.analyze([Item(cutout.image_id, cutout.survey, cutout.jpeg) for cutout in cutouts])
        model = model_message(self.service.description.identity)
        return [
            analysis_or_reason(outcome_message(cutout.image_id, outcome), model, START)
            for cutout, outcome in zip(cutouts, outcomes, strict=True)
        ]

    async def describe(self) -> Description:
        if self.away:
            raise ModelUnavailable("away")
        identity = self.service.description.identity
        return Description(
            summary={
                "digest": identity.digest,
                "calibration_id": identity.calibration_id,
                "surveys": list(self.bundle.manifest.surveys),
            },
            whole={},
            survey_models={
                each.survey: ServedSurveyModel(each.calibration_id, each.revision) for each in self.service.served
            },
            taps=self.service.description.taps,
        )

    async def extract_taps(self, cutouts: Sequence[CutoutRequest], taps: Sequence[str]) -> ExtractedTaps:
        self.extracted += len(cutouts)
        ids, found = await self.service.extract_taps(
            [Item(cutout.image_id, "", cutout.jpeg) for cutout in cutouts], taps
        )
        identity = self.service.description.identity
        return extracted_taps(features_message(ids, {name: found[name] for name in taps if name in found}, identity))


class CountingOutbox:
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

    def of(self, topic: str) -> list[PendingEvent]:
        return [event for event in self.published if event.topic == topic]


class SurveyWorld:
    def __init__(self, folder: Path, bundle: Bundle) -> None:
        self.records = SqliteRecordStore(folder / "records.sqlite")
        self.images = FolderImageStore(folder / "images")
        self.outbox = CountingOutbox(self.records)
        self.model = LocalModel(bundle)
        self.now = START
        self.condition = Condition()
        self.server_condition = Condition()
        self.metrics = SurveyModelMetrics(Metrics("analyzer"))
        self.originals = OriginalsProtection(self.images, expiring=False)
        self.analyzer = Analyzer(
            records=self.records,
            images=self.images,
            model=self.model,
            outbox=self.outbox,
            false_alarms_per_1000=10.0,
            clock=self.clock,
        )
        self.labelling = Labelling(records=self.records, releaser=self.outbox, originals=self.originals)
        self.surveys = SurveyModels(records=self.records, releaser=self.outbox, clock=self.clock)
        self.store = SurveyModelStore(records=self.records, releaser=self.outbox, service="analyzer", clock=self.clock)
        self.restart()

    def clock(self) -> datetime:
        return self.now

    def restart(self) -> None:
        """New processes on the same stores."""
        fitter = SurveyModelFitter(
            images=self.images,
            features=FeatureReader(images=self.images, model=self.model),
            images_needed=NEEDED,
            recipe=RECIPE,
            clock=self.clock,
        )
        self.keeper = SurveyModelKeeper(
            records=self.records,
            store=self.store,
            model=self.model,
            fitter=fitter,
            watcher=KnownSurveyWatcher(
                records=self.records,
                checker=SurveyChecker(clock=self.clock),
                tracker=DriftTracker(records=self.records, clock=self.clock),
                images_needed=NEEDED,
                clock=self.clock,
            ),
            learned=LearnedSurveyWatcher(
                records=self.records,
                checker=SurveyChecker(clock=self.clock),
                images_needed=NEEDED,
                clock=self.clock,
            ),
            metrics=self.metrics,
            clock=self.clock,
        )
        self.reanalyzer = SurveyReanalyzer(
            records=self.records,
            store=self.store,
            model=self.model,
            reanalysis=Reanalysis(
                records=self.records, releaser=self.outbox, originals=self.originals, service="analyzer"
            ),
            metrics=self.metrics,
            condition=self.condition,
            clock=self.clock,
        )
        self.loader = SurveyModelLoader(
            records=self.records,
            images=self.images,
            model_digest=self.model.bundle.digest,
            condition=self.server_condition,
            on_loaded=self.model.service.serve,
        )

    async def open(self) -> None:
        await self.records.open()
        await self.images.open()

    async def close(self) -> None:
        await self.images.close()
        await self.records.close()

    async def ingest(self, seeds: Sequence[int], survey: str, *, phash: str | None = None, **observation: Any) -> None:
        """Ingest and analyse pictures of noise; `phash` says that they are copies of one."""
        made = []
        pictures = []
        for seed in seeds:
            jpeg, image = picture(seed), image_id(seed)
            pictures.append((cutout_key(image), jpeg, "image/jpeg"))
            digest = content_digest(jpeg)
            then = self.now + timedelta(milliseconds=seed)
            made.append(
                ImageRecord(
                    image_id=image,
                    receipt_id=f"r{seed}",
                    source="folder",
                    batch="b",
                    observation=Observation(survey=survey, **observation),
                    original=Original(key="o", sha256="s", size_bytes=1, media_type="image/jpeg", width=8, height=8),
                    cutout=CutoutInfo(
                        key=cutout_key(image), sha256=digest, width=48, height=48, scale=1.0, stretch="none"
                    ),
                    phash=phash or content_digest(image.encode())[:16],
                    ingested_at=then,
                    offered_at=then,
                )
            )
        await self.images.put_many(pictures)
        await self.records.insert(Collection.IMAGES, made)
        await self.analyze(seeds, survey)

    async def analyze(self, seeds: Sequence[int], survey: str) -> None:
        refused = await self.analyzer.handle([_event(image_id(seed), survey) for seed in seeds])
        assert refused == []

    async def analyze_requested(self) -> int:
        """Handle every request for an analysis that was published and not handled."""
        requested = [
            ImageIngested.model_validate_json(event.payload) for event in self.outbox.of(topics.IMAGES_INGESTED)
        ]
        self.outbox.published = [event for event in self.outbox.published if event.topic != topics.IMAGES_INGESTED]
        await self.analyzer.handle(requested)
        return len(requested)

    async def settle(self) -> None:
        """Let loader, reanalyzer and analyzer work until nothing is left to judge again."""
        for _ in range(20):
            await self.loader.run_pass()
            await self.reanalyzer.run_pass()
            await self.analyze_requested()
            self.now += timedelta(seconds=31)
            if all(record.rejudging is None or record.rejudging.finished_at for record in (await self.all()).values()):
                return
        raise AssertionError("earlier images are still not judged")

    async def all(self) -> dict[str, SurveyModelRecord]:
        return await self.store.read_all()

    async def state(self, survey: str) -> SurveyModelRecord:
        return (await self.all())[survey]

    async def document(self, seed: int) -> dict[str, Any]:
        return (await self.records.get(Collection.IMAGES, [image_id(seed)]))[image_id(seed)]

    async def documents(self, seeds: Sequence[int]) -> list[dict[str, Any]]:
        return list((await self.records.get(Collection.IMAGES, [image_id(seed) for seed in seeds])).values())


def _event(image: str, survey: str) -> ImageIngested:
    return ImageIngested(
        event_id=f"e{image}",
        producer="test",
        occurred_at=START,
        image_id=image,
        survey=survey,
        cutout_key=cutout_key(image),
        cutout_sha256="",
    )
