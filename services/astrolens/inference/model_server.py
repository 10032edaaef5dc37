"""The model server: composition root. `create_app` builds it; a model is loaded once it runs."""

import asyncio
import os
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from astrolens.inference.backbone import Backbone
from astrolens.inference.engine import Engine
from astrolens.inference.model_metrics import ModelMetrics
from astrolens.inference.model_service import ModelService, describe
from astrolens.inference.rpc_server import RpcServer
from astrolens.inference.similarity.log import LogInUse
from astrolens.inference.similarity.memory import SimilarityMemory
from astrolens.inference.similarity.reconciling import Reconciler
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.runtime.service import ServiceApp
from astrolens.platform.settings import Settings
from astrolens.science.bundle import Bundle, BundleDamaged
from astrolens.science.scoring import Scorer

SERVICE: Final = "model-server"
_GRACE_SHARE: Final = 0.3
"""Of the grace period, for calls under way: the longest takes some seconds."""

logger = structlog.get_logger(__name__)


def create_app(settings: Settings) -> ServiceApp:
    """The model server, not yet running."""
    app = ServiceApp(settings, service=SERVICE, port=settings.model_server_port, with_bus=False)
    server = ModelServer(app)
    app.on_start("model", server.start)
    app.on_stop("model", server.close)
    return app


class ModelServer:
    """Listens, then loads, then answers."""

    def __init__(self, app: ServiceApp) -> None:
        self._app = app
        self._rpc = RpcServer(app.settings.inference_address, tracing=app.tracing)
        self._service: ModelService | None = None

    async def start(self) -> None:
        """Load the model and answer with it.

        Raises:
            ConfigurationError: The address is taken, the bundle damaged, or the home in use.
        """
        await self._rpc.start()
        self._service = service = await asyncio.to_thread(load, self._app)
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
        reconciler = Reconciler(
            records=self._app.records,
            memory=service.memory,
            model_digest=identity.digest,
            cursor_file=similarity_folder(self._app.settings, identity.digest) / "reconciled.json",
        )
        self._app.spawn("similarity reconciler", reconciler.run)
        await self._rpc.serve(service)
        logger.info("model loaded", model=identity.name, digest=identity.digest, images=len(service.memory))

    async def close(self) -> None:
        """Let the calls under way end, then let go of the model."""
        await self._rpc.close(self._app.settings.shutdown_grace_s * _GRACE_SHARE)
        if self._service is not None:
            await self._service.close()


def load(app: ServiceApp) -> ModelService:
    """Check and load the bundle, and what is remembered of its images.

    Raises:
        ConfigurationError: The bundle is damaged, or another model server uses this home.
    """
    settings = app.settings
    workers = settings.inference_threads or len(os.sched_getaffinity(0))
    try:
        bundle = Bundle.load(settings.bundle)
        scorer = Scorer(bundle, settings.false_alarms_per_1000)
        backbone = Backbone(bundle)
    except BundleDamaged as error:
        raise ConfigurationError(f"ASTROLENS_BUNDLE: {error}") from error
    folder = similarity_folder(settings, bundle.digest)
    try:
        memory = SimilarityMemory(bundle=bundle, folder=folder)
    except LogInUse as error:
        raise ConfigurationError(
            f"ASTROLENS_HOME: another model server uses {folder}; give each one a home of its own"
        ) from error
    except OSError as error:
        raise ConfigurationError(f"ASTROLENS_HOME: cannot write {folder} ({error.strerror})") from error
    metrics = ModelMetrics(app.metrics)
    return ModelService(
        engine=Engine(
            bundle=bundle,
            scorer=scorer,
            backbone=backbone,
            timed=lambda step: metrics.engine_seconds.labels(step).time(),
        ),
        memory=memory,
        description=describe(bundle, scorer, backbone.provider),
        workers=workers,
        metrics=metrics,
        condition=app.condition,
        on_done=partial(_count, app),
    )


def _count(app: ServiceApp, images: int) -> None:
    app.processed += images


def similarity_folder(settings: Settings, model_digest: str) -> Path:
    """Where the embeddings of one model are remembered."""
    return settings.home / "similarity" / model_digest[:16]
