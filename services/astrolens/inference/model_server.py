"""The model server: composition root. `create_app` builds it; a model is loaded once it runs."""

from typing import Final

import structlog

from astrolens.inference.call_limits import CallLimits
from astrolens.inference.loaded_model import LoadedModel
from astrolens.inference.model_metrics import ModelMetrics
from astrolens.inference.model_swap import SERVICE, ModelSwap
from astrolens.inference.rpc_server import RpcServer
from astrolens.inference.shadow import ShadowRunner
from astrolens.platform.errors import StoreUnavailable
from astrolens.platform.runtime.service import ServiceApp
from astrolens.platform.settings import Settings

_GRACE_SHARE: Final = 0.3
"""Of the grace period, for calls under way: the longest takes some seconds."""
_CATCH_UP_EVERY_S: Final = 30.0
"""How late an image that another model server analysed is found here."""
_SNAPSHOT_EVERY_S: Final = 60.0
_SURVEY_MODELS_EVERY_S: Final = 10.0
"""How late a new survey model serves; see `survey_models.reanalysis.PROPAGATION_TIME`."""
_SHADOW_EVERY_S: Final = 2.0
_PROMOTED_EVERY_S: Final = 2.0
"""How late a promoted bundle is noticed: one small document is read."""

logger = structlog.get_logger(__name__)


def create_app(settings: Settings) -> ServiceApp:
    """The model server, not yet running."""
    app = ServiceApp(settings, service=SERVICE, port=settings.model_server_port, with_bus=False)
    server = ModelServer(app)
    app.on_start("model", server.start)
    app.on_stop("model", server.close)
    return app


class ModelServer:
    """Listens, then loads, then answers; the similarity index is completed while it answers.

    Periodic work is about the model that serves at the moment: all of it changes when another is promoted.
    """

    def __init__(self, app: ServiceApp) -> None:
        self._app = app
        metrics = ModelMetrics(app.metrics)
        limits = CallLimits(on_refused=metrics.queue_refusals.inc)
        self._rpc = RpcServer(app.settings.inference_address, tracing=app.tracing, limits=limits)
        self._swap = ModelSwap(app, metrics, serve=self._serve)
        self._shadow = ShadowRunner(
            records=app.records,
            images=app.images,
            settings=app.settings,
            metrics=metrics,
            serving=lambda: self._swap.model.digest,
            queued=lambda: self._swap.model.service.queued,
        )

    async def start(self) -> None:
        """Load the model that is to serve and answer with it.

        Raises:
            ConfigurationError: The address is taken, the bundle damaged, or the home not writable.
        """
        await self._rpc.start()
        await self._swap.load_first()
        app = self._app
        app.every(
            "promoted model",
            self._swap.run_pass,
            interval_s=_PROMOTED_EVERY_S,
            issue="it cannot be read which model is to serve",
            graceful=False,
        )
        app.every(
            "shadow comparison",
            self._shadow.run_pass,
            interval_s=_SHADOW_EVERY_S,
            issue="a candidate cannot be compared with the model in use",
            lease=app.lease("model-server:shadow"),
            graceful=False,
        )
        app.every(
            "survey models",
            self._load_survey_models,
            interval_s=_SURVEY_MODELS_EVERY_S,
            issue="survey models cannot be read",
            graceful=False,
        )
        app.every(
            "similarity catch-up",
            self._catch_up,
            interval_s=_CATCH_UP_EVERY_S,
            issue="the similarity index cannot be completed from the record store",
            graceful=False,
        )
        app.every(
            "similarity snapshot",
            self._save_snapshot,
            interval_s=_SNAPSHOT_EVERY_S,
            issue="the similarity index cannot be saved",
        )

    async def close(self) -> None:
        """Let the calls under way end, then save the similarity index."""
        await self._rpc.close(self._app.settings.shutdown_grace_s * _GRACE_SHARE)
        if not self._swap.has_model:
            return
        self._shadow.close()
        await self._swap.model.service.close()
        try:
            await self._swap.model.snapshots.save()
        except StoreUnavailable as error:
            logger.warning("similarity index not saved; the next start reads it from the records", error=str(error))

    async def _load_survey_models(self) -> None:
        await self._swap.model.survey_models.run_pass()

    async def _catch_up(self) -> None:
        await self._swap.model.catch_up.run_pass()

    async def _save_snapshot(self) -> None:
        await self._swap.model.snapshots.run_pass()

    async def _serve(self, model: LoadedModel) -> None:
        """Answer with this model from now on. A call under way is answered by the one that it found."""
        model.service.on_analyzed = self._shadow.submit
        model.service.start()
        await self._rpc.serve(model.service)
        identity = model.service.description.identity
        self._app.info.update(
            model=identity.name,
            model_version=identity.version,
            model_digest=identity.digest,
            calibration_id=identity.calibration_id,
            execution_provider=identity.execution_provider,
            address=self._app.settings.inference_address,
        )
        logger.info("model loaded", model=identity.name, digest=identity.digest, images=len(model.service.index))
