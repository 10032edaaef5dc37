"""The analyzer: composition root."""

from datetime import timedelta
from typing import Final

import structlog

from astrolens.contracts import topics
from astrolens.contracts.base import utc_now
from astrolens.contracts.events import ImageIngested
from astrolens.inference.analyzer import SERVICE, Analyzer
from astrolens.inference.analyzer_metrics import AnalysisMetrics
from astrolens.inference.stream_health import StreamHealth
from astrolens.platform.errors import TransientError
from astrolens.platform.retry import sleep_unless
from astrolens.platform.runtime.service import ServiceApp
from astrolens.platform.settings import Settings
from astrolens.platform.stores.collections import Collection
from astrolens.rpc.model_client import ModelClient

_BATCH: Final = 128
"""Four batches of the model server: both cores stay busy while one of them is decoded."""
_VOLATILE_BELOW_S: Final = 60.0
"""An offer that is repeated so soon means a broker that forgets: at start it has forgotten everything."""

logger = structlog.get_logger(__name__)


def create_app(settings: Settings) -> ServiceApp:
    """The analyzer, not yet running."""
    app = ServiceApp(settings, service=SERVICE, port=settings.analyzer_port, outbox=(Collection.IMAGES,))
    model = ModelClient(settings.inference_address, stopping=app.stopping, tracing=app.tracing)
    health = StreamHealth(AnalysisMetrics(app.metrics))
    analyzer = Analyzer(records=app.records, images=app.images, model=model, outbox=app.outbox, on_written=health.note)
    app.bus.consume(
        topics.IMAGES_INGESTED,
        ImageIngested,
        analyzer.handle,
        on_refused=analyzer.settle_refused,
        max_batch=_BATCH,
    )
    app.on_stop("model client", model.close)
    app.check("model", model.ping)
    app.spawn("stale offers", lambda: _offer_stale(app, analyzer))
    return app


async def _offer_stale(app: ServiceApp, analyzer: Analyzer) -> None:
    """Offer images again whose event got lost: now, and then whenever one has waited too long."""
    after_s = app.settings.redeliver_after_s
    patience = timedelta(seconds=0.0 if after_s < _VOLATILE_BELOW_S else after_s)
    while True:
        try:
            offered = await analyzer.redeliver_stale(older_than=utc_now() - patience)
            if offered:
                logger.info("offered waiting images again", images=offered)
            patience = timedelta(seconds=after_s)
            app.condition.clear_issue("stale offers")
        except TransientError as error:
            app.condition.set_issue("stale offers", f"waiting images cannot be offered again: {error}")
        if await sleep_unless(app.stopping, after_s / 2):
            return
