"""Follows the promotions: verify, load beside the old model, warm, check, swap; on any failure the old one goes on."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import structlog

from astrolens.contracts.base import utc_now
from astrolens.contracts.models import PromotionRecord
from astrolens.inference.loaded_model import LoadedModel, load_model
from astrolens.inference.model_metrics import ModelMetrics
from astrolens.platform.errors import AstroLensError, ConfigurationError, StoreUnavailable
from astrolens.platform.runtime.service import ServiceApp
from astrolens.platform.settings import PACKAGED_BUNDLE, PACKAGED_BUNDLE_DIGEST, Settings
from astrolens.platform.signing import load_verifier
from astrolens.science.bundle import Bundle, BundleDamaged
from astrolens.usecases.errors import NotFound
from astrolens.usecases.model_promotion import read_current, record_settings_bundle
from astrolens.usecases.model_registry import BundleRefused, ModelRegistry, remove_unused

SERVICE: Final = "model-server"
ISSUE: Final = "refused model"
"""Not the name of the periodic task, whose next pass would clear it."""
RETRY_AFTER: Final = timedelta(minutes=1)
"""From one attempt to load a promoted bundle to the next: most that are refused stay refused."""

Loader = Callable[[ServiceApp, ModelMetrics, Path, str], LoadedModel]

logger = structlog.get_logger(__name__)


class ModelSwap:
    """Keeps the model that is to serve.

    Each model server follows the document by itself: a consumer group would tell one of them.

    Args:
        app: The model server.
        metrics: Its metrics.
        serve: Lets a loaded model answer, in one step.
        clock: The present time.
    """

    def __init__(
        self,
        app: ServiceApp,
        metrics: ModelMetrics,
        *,
        serve: Callable[[LoadedModel], Awaitable[None]],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._serve = serve
        self._clock = clock
        self._registry = ModelRegistry(records=app.records, images=app.images, clock=clock)
        self._settings_digest = ""
        self._model: LoadedModel | None = None
        self._failed: tuple[int, datetime] | None = None
        """Number of the promotion whose bundle was refused, and when."""
        self._unnoted_refusal: tuple[str, str] | None = None
        """A refused bundle whose history does not say so yet, and why it is not served."""
        self._noted_served: str | None = None

    @property
    def model(self) -> LoadedModel:
        """The model that serves."""
        if self._model is None:
            raise RuntimeError("no model is loaded yet")
        return self._model

    @property
    def has_model(self) -> bool:
        """Whether one is loaded."""
        return self._model is not None

    async def load_first(self) -> None:
        """Load what is to serve: the promoted bundle, or that of the settings until one is promoted.

        Where the promoted one is refused, that of the settings serves and the condition says so.

        Raises:
            ConfigurationError: The bundle of the settings is damaged, or the home cannot be written.
        """
        settings = self._app.settings
        try:
            bundle = await asyncio.to_thread(load_settings_bundle, settings)
        except BundleDamaged as error:
            raise ConfigurationError(f"ASTROLENS_BUNDLE: {error}") from error
        manifest = bundle.manifest
        self._settings_digest = bundle.digest
        await self._registry.record_installed(
            digest=bundle.digest, name=manifest.name, version=manifest.version, created_at=manifest.created_at
        )
        current = await record_settings_bundle(self._app.records, bundle.digest, at=self._clock())
        if current.digest != bundle.digest:
            try:
                await self._use(await self._load(current))
            except (AstroLensError, BundleDamaged, BundleRefused) as error:
                self._refuse(current, str(error), serving=f"that of the settings, {manifest.name} {manifest.version},")
            else:
                return
        try:
            await self._use(await self._load_folder(settings.bundle, bundle.digest))
        except BundleDamaged as error:
            raise ConfigurationError(f"ASTROLENS_BUNDLE: {error}") from error

    async def run_pass(self) -> None:
        """Serve what was promoted since.

        Raises:
            StoreUnavailable: The record store is unreachable; the model goes on serving.
        """
        current = await read_current(self._app.records)
        await self._note()
        if current is None or (current.number == 0 and current.digest != self.model.digest):
            return  # Of servers with different settings each serves its own bundle until one is promoted.
        if current.digest == self.model.digest:
            self._settled()
            return
        if self._failed and self._failed[0] == current.number and self._clock() - self._failed[1] < RETRY_AFTER:
            return
        try:
            fresh = await self._load(current)
        except StoreUnavailable:
            raise
        except (AstroLensError, BundleDamaged, BundleRefused) as error:
            self._refuse(current, str(error), serving=self.model.words)
            return
        await self._use(fresh)
        self._metrics.swaps.labels("rolled-back" if current.rollback else "promoted").inc()
        self._settled()
        await asyncio.to_thread(remove_unused, self._cache, [current.digest, current.previous_digest or ""])

    @property
    def _cache(self) -> Path:
        return self._app.settings.home / "models"

    async def _load(self, current: PromotionRecord) -> LoadedModel:
        if current.digest == self._settings_digest:
            return await self._load_folder(self._app.settings.bundle, current.digest)
        try:
            verifier = await asyncio.to_thread(load_verifier, self._app.settings.model_trusted_keys)
            folder = await self._registry.fetch(current.digest, self._cache, verifier=verifier)
        except NotFound as error:
            raise BundleRefused(str(error)) from error
        return await self._load_folder(folder, current.digest)

    async def _load_folder(self, folder: Path, digest: str) -> LoadedModel:
        model = await asyncio.to_thread(load_model, self._app, self._metrics, folder, expected_digest=digest)
        # Before the first answer: an image must not be judged by the pooled calibration because this model is young.
        await model.survey_models.run_pass()
        return model

    async def _use(self, fresh: LoadedModel) -> None:
        old, self._model = self._model, fresh
        await self._serve(fresh)
        if old is None:
            return
        logger.info("model swapped", old=old.digest, new=fresh.digest)
        await old.service.retire()
        try:
            await old.snapshots.save()
        except StoreUnavailable as error:
            logger.warning("similarity index of the old model not saved", error=str(error))

    async def _note(self) -> None:
        """Write into the registry what became of bundles; what somebody else's change prevents is for the next pass."""
        digest = self.model.digest
        if self._noted_served != digest and await self._registry.note_served(digest):
            self._noted_served = digest
        if self._unnoted_refusal is not None:
            refused, why = self._unnoted_refusal
            if await self._registry.note_refusal(refused, by=SERVICE, why=why):
                self._unnoted_refusal = None

    def _refuse(self, current: PromotionRecord, reason: str, *, serving: str) -> None:
        if self._failed is None or self._failed[0] != current.number:
            self._metrics.swaps.labels("refused").inc()
            self._unnoted_refusal = (current.digest, f"not served: {reason}"[:500])
        self._failed = (current.number, self._clock())
        self._metrics.refused.set(1)
        sentence = (
            f"the model {current.digest[:12]}, promoted by {current.by}, is not served: {reason}; {serving} goes on "
            "serving: roll back, or publish and promote it again"
        )
        if self._app.condition.set_issue(ISSUE, sentence):
            logger.error("promoted model refused", digest=current.digest, reason=reason)

    def _settled(self) -> None:
        self._failed = self._unnoted_refusal = None
        self._metrics.refused.set(0)
        if self._app.condition.clear_issue(ISSUE):
            logger.info("the promoted model serves")


def load_settings_bundle(settings: Settings) -> Bundle:
    """The bundle of the settings: trusted where somebody put it, the packaged one by its digest in the package.

    Raises:
        BundleDamaged: It is damaged, or the packaged one is not the one of this version.
    """
    packaged = settings.bundle == PACKAGED_BUNDLE
    return Bundle.load(settings.bundle, expected_digest=PACKAGED_BUNDLE_DIGEST if packaged else None)
