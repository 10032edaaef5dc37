"""A model as the model server holds it: the bundle with its engine, its similarity index and its survey models."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import structlog

from astrolens.inference.backbone import Backbone
from astrolens.inference.engine import Engine, Item, ItemError, StepTimer
from astrolens.inference.model_metrics import ModelMetrics
from astrolens.inference.model_service import ModelService, describe
from astrolens.inference.similarity.catch_up import CatchUp
from astrolens.inference.similarity.index import BEGINNING, SimilarityIndex
from astrolens.inference.similarity.snapshot import SnapshotFolder
from astrolens.inference.similarity.snapshot_task import SnapshotTask
from astrolens.inference.similarity.vector_index import VectorIndex
from astrolens.inference.survey_models.loading import SurveyModelLoader
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.runtime.service import ServiceApp
from astrolens.platform.settings import Settings
from astrolens.science.bundle import Bundle, BundleDamaged
from astrolens.science.cutouts import encode_jpeg
from astrolens.science.golden import GoldenMismatch, check_golden
from astrolens.science.scoring import Scorer

_WARM_ROWS: Final = 8
"""Cutouts of the run that warms a session: as many as it takes at a time."""
_WARM_SIDE: Final = 64

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class LoadedModel:
    """Everything that belongs to one bundle; another bundle brings all of it anew."""

    service: ModelService
    survey_models: SurveyModelLoader
    catch_up: CatchUp
    snapshots: SnapshotTask

    @property
    def digest(self) -> str:
        """The bundle."""
        return self.service.description.identity.digest

    @property
    def words(self) -> str:
        """Name, version and digest, for people."""
        identity = self.service.description.identity
        return f"{identity.name} {identity.version} ({identity.digest[:12]})"


def load_engine(
    folder: Path, *, budget: float, expected_digest: str | None = None, step_timer: StepTimer | None = None
) -> tuple[Bundle, Scorer, Backbone, Engine]:
    """Check a bundle, load it, compare its golden inputs and warm it.

    Args:
        folder: The bundle.
        budget: False alarms per 1,000.
        expected_digest: The `model_digest` that it must have.
        step_timer: Times the steps of its engine.

    Raises:
        BundleDamaged: It must not be used.
    """
    bundle = Bundle.load(folder, expected_digest=expected_digest)
    scorer = Scorer(bundle, budget)
    backbone = Backbone(bundle)
    if backbone.cuda_failed:
        logger.warning("CUDA is installed, but no card can be used", runs_on=backbone.provider)
    try:
        checked = check_golden(bundle, partial(backbone.run, all_taps=False))
    except GoldenMismatch as error:
        raise BundleDamaged(folder, str(error)) from error
    engine = Engine(bundle=bundle, scorer=scorer, backbone=backbone, step_timer=step_timer)
    _warm(engine, folder, bundle.manifest.surveys)
    logger.info("bundle checked", digest=bundle.digest, golden_inputs=checked, provider=backbone.provider)
    return bundle, scorer, backbone, engine


def _warm(engine: Engine, folder: Path, surveys: Iterable[str]) -> None:
    """Run once: the first run of a session allocates, and a graph that gives no numbers is found here."""
    steps = np.arange(_WARM_SIDE)
    disc = 200.0 * np.exp(-((steps[:, None] - 32.0) ** 2 + (steps - 32.0) ** 2) / 60.0)
    jpeg = encode_jpeg(np.repeat((disc + 10.0).astype(np.uint8)[:, :, None], 3, axis=2))
    survey = next(iter(surveys))
    for outcome in engine.analyze([Item("", survey, jpeg)] * _WARM_ROWS):
        if isinstance(outcome, ItemError):
            raise BundleDamaged(folder, f"it does not analyse a plain picture: {outcome.detail}")


def load_model(
    app: ServiceApp, metrics: ModelMetrics, folder: Path, *, expected_digest: str | None = None
) -> LoadedModel:
    """Check and load a bundle and the last snapshot of its similarity index.

    Raises:
        BundleDamaged: The bundle must not be used.
        ConfigurationError: The home cannot be written.
    """
    settings = app.settings
    bundle, scorer, backbone, engine = load_engine(
        folder,
        budget=settings.false_alarms_per_1000,
        expected_digest=expected_digest,
        step_timer=lambda step: metrics.engine_seconds.labels(step).time(),
    )
    for survey, reason in scorer.limits().items():
        logger.warning("a calibration is too small for the budget", survey=survey, reason=reason)
    place = similarity_folder(settings, bundle.digest)
    try:
        snapshots = SnapshotFolder(place, model_digest=bundle.digest, centroids=bundle.centroids)
    except OSError as error:
        raise ConfigurationError(f"ASTROLENS_HOME: cannot write {place} ({error.strerror or error})") from error
    vectors, analyzed_until = snapshots.load() or (VectorIndex(bundle.centroids), BEGINNING)
    index = SimilarityIndex(vectors, analyzed_until=analyzed_until)
    service = ModelService(
        engine=engine,
        index=index,
        description=describe(bundle, scorer, backbone.provider),
        workers=settings.inference_threads or len(os.sched_getaffinity(0)),
        metrics=metrics,
        on_done=partial(_count, app),
    )
    return LoadedModel(
        service=service,
        survey_models=SurveyModelLoader(
            records=app.records,
            images=app.images,
            model_digest=bundle.digest,
            condition=app.condition,
            on_loaded=service.serve,
        ),
        catch_up=CatchUp(
            records=app.records,
            index=index,
            model_digest=bundle.digest,
            on_unusable=metrics.unusable_embeddings.inc,
        ),
        snapshots=SnapshotTask(index, snapshots),
    )


def _count(app: ServiceApp, images: int) -> None:
    app.processed += images


def similarity_folder(settings: Settings, model_digest: str) -> Path:
    """Where the snapshots of one model's similarity index lie."""
    return settings.home / "similarity" / model_digest[:16]
