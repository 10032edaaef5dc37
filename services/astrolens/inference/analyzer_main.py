"""The analyzer: composition root."""

from typing import Final

from astrolens.contracts import topics
from astrolens.contracts.events import ImageIngested
from astrolens.inference.analysis_monitor import AnalysisMonitor
from astrolens.inference.analyzer import SERVICE, Analyzer
from astrolens.inference.analyzer_metrics import AnalysisMetrics
from astrolens.inference.candidate_morphology import CandidateMorphology
from astrolens.inference.candidate_patch_maps import CandidatePatchMaps
from astrolens.inference.morphology_process import MorphologyProcess
from astrolens.inference.patch_codebooks import PatchCodebooks
from astrolens.inference.redelivery import Redelivery
from astrolens.inference.survey_models.checking import SurveyChecker
from astrolens.inference.survey_models.features import FeatureReader
from astrolens.inference.survey_models.fitting import SurveyModelFitter
from astrolens.inference.survey_models.keeper import SurveyModelKeeper
from astrolens.inference.survey_models.learned import LearnedSurveyWatcher
from astrolens.inference.survey_models.metrics import SurveyModelMetrics
from astrolens.inference.survey_models.reanalysis import SurveyReanalyzer
from astrolens.inference.survey_models.tracking import DriftTracker
from astrolens.inference.survey_models.watching import KnownSurveyWatcher
from astrolens.platform.runtime.service import ServiceApp
from astrolens.platform.settings import Settings
from astrolens.platform.stores.collections import Collection
from astrolens.rpc.model_client import ModelClient
from astrolens.usecases.originals import OriginalsProtection
from astrolens.usecases.reanalysis import Reanalysis
from astrolens.usecases.survey_models import SurveyModelStore

_BATCH: Final = 128
"""Four batches of the model server, so that its workers stay busy."""
_MORPHOLOGY_S: Final = 5.0
"""Seconds between passes over candidates; each measures a batch."""
_PATCH_MAPS_S: Final = 5.0
_SURVEY_MODELS_EVERY_S: Final = 10.0
_EARLIER_IMAGES_EVERY_S: Final = 5.0
"""With 128 images at most that wait: a survey of 10,000 images is judged again in some seven minutes."""


def create_app(settings: Settings) -> ServiceApp:
    """The analyzer, not yet running."""
    app = ServiceApp(
        settings, service=SERVICE, port=settings.analyzer_port, outbox=(Collection.IMAGES, Collection.SURVEY_MODELS)
    )
    model = ModelClient(settings.inference_address, stopping=app.stopping, tracing=app.tracing)
    monitor = AnalysisMonitor(AnalysisMetrics(app.metrics))
    analyzer = Analyzer(
        records=app.records,
        images=app.images,
        model=model,
        outbox=app.outbox,
        false_alarms_per_1000=settings.false_alarms_per_1000,
        on_written=monitor.record,
    )
    app.bus.consume(
        topics.IMAGES_INGESTED,
        ImageIngested,
        analyzer.handle,
        on_refused=analyzer.settle_refused,
        max_batch=_BATCH,
    )
    app.on_stop("model client", model.close)
    app.check("model", model.ping)
    _redeliver_periodically(app)
    _measure_periodically(app)
    _map_periodically(app, model)
    _keep_survey_models(app, model)
    return app


def _keep_survey_models(app: ServiceApp, model: ModelClient) -> None:
    metrics = SurveyModelMetrics(app.metrics)
    store = SurveyModelStore(records=app.records, releaser=app.outbox, service=SERVICE)
    features = FeatureReader(images=app.images, model=model)
    fitter = SurveyModelFitter(images=app.images, features=features, images_needed=app.settings.survey_model_images)
    keeper = SurveyModelKeeper(
        records=app.records,
        store=store,
        model=model,
        fitter=fitter,
        watcher=KnownSurveyWatcher(
            records=app.records,
            checker=SurveyChecker(),
            tracker=DriftTracker(records=app.records),
            images_needed=fitter.images_needed,
        ),
        learned=LearnedSurveyWatcher(records=app.records, checker=SurveyChecker(), images_needed=fitter.images_needed),
        metrics=metrics,
    )
    reanalyzer = SurveyReanalyzer(
        records=app.records,
        store=store,
        model=model,
        reanalysis=Reanalysis(
            records=app.records,
            releaser=app.outbox,
            originals=OriginalsProtection(app.images, expiring=app.settings.s3_expire_ordinary_days > 0),
            tracing=app.tracing,
            service=SERVICE,
        ),
        metrics=metrics,
        condition=app.condition,
    )
    app.every(
        "survey models",
        keeper.run_pass,
        interval_s=_SURVEY_MODELS_EVERY_S,
        issue="survey models cannot be fitted",
        lease=app.lease("analyzer:survey-models"),
        graceful=False,
    )
    app.every(
        "earlier images",
        reanalyzer.run_pass,
        interval_s=_EARLIER_IMAGES_EVERY_S,
        issue="earlier images cannot be analysed again",
        lease=app.lease("analyzer:earlier-images"),
        graceful=False,
    )


def _redeliver_periodically(app: ServiceApp) -> None:
    after_s = app.settings.redeliver_after_s
    redelivery = Redelivery(records=app.records, outbox=app.outbox, after_s=after_s, service=SERVICE)
    app.every(
        "redelivery",
        redelivery.run_pass,
        interval_s=after_s / 2,
        issue="waiting images cannot be redelivered",
        # A volatile broker has one analyzer; after a crash it must not wait for the end of its own old lease.
        lease=None if redelivery.is_volatile else app.lease("analyzer:redelivery"),
        graceful=False,
    )


def _measure_periodically(app: ServiceApp) -> None:
    process = MorphologyProcess()
    task = CandidateMorphology(records=app.records, images=app.images, measurement=process)
    app.every(
        "morphology",
        task.run_pass,
        interval_s=_MORPHOLOGY_S,
        issue="the morphology of candidates is not measured",
        lease=app.lease("analyzer:morphology"),
        graceful=False,
    )
    app.on_stop("morphology process", process.close)


def _map_periodically(app: ServiceApp, model: ModelClient) -> None:
    features = FeatureReader(images=app.images, model=model)
    task = CandidatePatchMaps(
        records=app.records,
        model=model,
        features=features,
        codebooks=PatchCodebooks(records=app.records, images=app.images, features=features),
    )
    app.every(
        "patch maps",
        task.run_pass,
        interval_s=_PATCH_MAPS_S,
        issue="where candidates are strange is not mapped",
        lease=app.lease("analyzer:patch-maps"),
        graceful=False,
    )
