"""The model server: composition root. `create_app` builds it; a model is loaded once it runs."""

import asyncio
import os
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from astrolens.inference.backbone import Backbone
from astrolens.inference.call_limits import CallLimits
from astrolens.inference.engine import Engine
from astrolens.inference.model_metrics import ModelMetrics
from astrolens.inference.model_service import ModelService, describe
from astrolens.inference.rpc_server import RpcServer
from astrolens.inference.similarity.catch_up import CatchUp
from astrolens.inference.similarity.index import BEGINNING, SimilarityIndex
from astrolens.inference.similarity.snapshot import SnapshotFolder
from astrolens.inference.similarity.snapshot_task import SnapshotTask
from astrolens.inference.similarity.vector_index import VectorIndex
from astrolens.inference.survey_models.loading import SurveyModelLoader
from astrolens.platform.errors import ConfigurationError, StoreUnavailable
from astrolens.platform.runtime.service import ServiceApp
from astrolens.platform.settings import Settings
from astrolens.science.bundle import Bundle, BundleDamaged
from astrolens.science.scoring import Scorer

SERVICE: Final = "model-server"
_GRACE_SHARE: Final = 0.3
"""Of the grace period, for calls under way: the longest takes some seconds."""
_CATCH_UP_EVERY_S: Final = 30.0
"""How late an image that another model server analysed is found here."""
_SNAPSHOT_EVERY_S: Final = 60.0
_SURVEY_MODELS_EVERY_S: Final = 10.0
"""How late a new survey model serves; see `rejudging.SETTLED`."""

logger = structlog.get_logger(__name__)


def create_app(settings: Settings) -> ServiceApp:
    """The model server, not yet running."""
    app = ServiceApp(settings, service=SERVICE, port=settings.model_server_port, with_bus=False)
    server = ModelServer(app)
    app.on_start("model", server.start)
    app.on_stop("model", server.close)
    return app


class ModelServer:
    """Listens, then loads, then answers; the similarity index is completed while it answers."""

    def __init__(self, app: ServiceApp) -> None:
        self._app = app
        self._metrics = ModelMetrics(app.metrics)
        limits = CallLimits(on_refused=self._metrics.queue_refusals.inc)
        self._rpc = RpcServer(app.settings.inference_address, tracing=app.tracing, limits=limits)
        self._service: ModelService | None = None
        self._snapshots: SnapshotTask | None = None

    async def start(self) -> None:
        """Load the model and answer with it.

        Raises:
            ConfigurationError: The address is taken, the bundle damaged, or the home not writable.
        """
        await self._rpc.start()
        service, folder = await asyncio.to_thread(load, self._app, self._metrics)
        self._service = service
        self._snapshots = SnapshotTask(service.index, folder)
        service.start()
        identity = service.description.identity
        self._app.info.update(
            model=identity.name,
            model_version=identity.version,
            model_digest=identity.digest,
            calibration_id=identity.calibration_id,
            execution_provider=identity.execution_provider,
            address=self._app.settings.inference_address,
        )
        survey_models = SurveyModelLoader(
            records=self._app.records,
            images=self._app.images,
            model_digest=identity.digest,
            condition=self._app.condition,
            on_loaded=service.serve,
        )
        # Before the first answer: an image must not be judged by the pooled calibration because this server is young.
        await survey_models.run_pass()
        await self._rpc.serve(service)
        logger.info("model loaded", model=identity.name, digest=identity.digest, images=len(service.index))
        catch_up = CatchUp(
            records=self._app.records,
            index=service.index,
            model_digest=identity.digest,
            on_unusable=self._metrics.unusable_embeddings.inc,
        )
        self._app.every(
            "survey models",
            survey_models.run_pass,
            interval_s=_SURVEY_MODELS_EVERY_S,
            issue="survey models cannot be read",
            graceful=False,
        )
        self._app.every(
            "similarity catch-up",
            catch_up.run_pass,
            interval_s=_CATCH_UP_EVERY_S,
            issue="the similarity index cannot be completed from the record store",
            graceful=False,
        )
        self._app.every(
            "similarity snapshot",
            self._snapshots.run_pass,
            interval_s=_SNAPSHOT_EVERY_S,
            issue="the similarity index cannot be saved",
        )

    async def close(self) -> None:
        """Let the calls under way end, then save the similarity index."""
        await self._rpc.close(self._app.settings.shutdown_grace_s * _GRACE_SHARE)
        if self._service is not None:
            await self._service.close()
        if self._snapshots is not None:
            try:
                await self._snapshots.save()
            except StoreUnavailable as error:
                logger.warning("similarity index not saved; the next start reads it from the records", error=str(error))


def load(app: ServiceApp, metrics: ModelMetrics) -> tuple[ModelService, SnapshotFolder]:
    """Check and load the bundle and the last snapshot of its similarity index.

    Raises:
        ConfigurationError: The bundle is damaged, or the home cannot be written.
    """
    settings = app.settings
    workers = settings.inference_threads or len(os.sched_getaffinity(0))
    try:
        bundle = Bundle.load(settings.bundle)
        scorer = Scorer(bundle, settings.false_alarms_per_1000)
        backbone = Backbone(bundle)
    except BundleDamaged as error:
        raise ConfigurationError(f"ASTROLENS_BUNDLE: {error}") from error
    for survey, reason in scorer.limits().items():
        logger.warning("a calibration is too small for the budget", survey=survey, reason=reason)
    folder = similarity_folder(settings, bundle.digest)
    try:
        snapshots = SnapshotFolder(folder, model_digest=bundle.digest, centroids=bundle.centroids)
    except OSError as error:
        raise ConfigurationError(f"ASTROLENS_HOME: cannot write {folder} ({error.strerror or error})") from error
    vectors, analyzed_until = snapshots.load() or (VectorIndex(bundle.centroids), BEGINNING)
    service = ModelService(
        engine=Engine(
            bundle=bundle,
            scorer=scorer,
            backbone=backbone,
            step_timer=lambda step: metrics.engine_seconds.labels(step).time(),
        ),
        index=SimilarityIndex(vectors, analyzed_until=analyzed_until),
        description=describe(bundle, scorer, backbone.provider),
        workers=workers,
        metrics=metrics,
        on_done=partial(_count, app),
    )
    return service, snapshots


def _count(app: ServiceApp, images: int) -> None:
    app.processed += images


def similarity_folder(settings: Settings, model_digest: str) -> Path:
    """Where the snapshots of one model's similarity index lie."""
    return settings.home / "similarity" / model_digest[:16]
