"""The analyzer: composition root."""

from typing import Final

from astrolens.contracts import topics
from astrolens.contracts.events import ImageIngested
from astrolens.inference.analysis_monitor import AnalysisMonitor
from astrolens.inference.analyzer import SERVICE, Analyzer
from astrolens.inference.analyzer_metrics import AnalysisMetrics
from astrolens.inference.candidate_morphology import CandidateMorphology
from astrolens.inference.morphology_process import MorphologyProcess
from astrolens.inference.redelivery import Redelivery
from astrolens.platform.runtime.service import ServiceApp
from astrolens.platform.settings import Settings
from astrolens.platform.stores.collections import Collection
from astrolens.rpc.model_client import ModelClient

_BATCH: Final = 128
"""Four batches of the model server, so that its workers stay busy."""
_MORPHOLOGY_S: Final = 5.0
"""Seconds between passes over candidates; each measures a batch."""


def create_app(settings: Settings) -> ServiceApp:
    """The analyzer, not yet running."""
    app = ServiceApp(settings, service=SERVICE, port=settings.analyzer_port, outbox=(Collection.IMAGES,))
    model = ModelClient(settings.inference_address, stopping=app.stopping, tracing=app.tracing)
    monitor = AnalysisMonitor(AnalysisMetrics(app.metrics))
    analyzer = Analyzer(
        records=app.records, images=app.images, model=model, outbox=app.outbox, on_written=monitor.record
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
    return app


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
