"""The notifier: composes its parts."""

import asyncio
from functools import partial
from typing import Final

import structlog

from astrolens.contracts import topics
from astrolens.contracts.events import ImageAnalyzed
from astrolens.notifier import handlers
from astrolens.notifier.alerting import AlertService
from astrolens.notifier.channels import open_channels
from astrolens.notifier.deliveries import Courier, DeliveryBook
from astrolens.notifier.heartbeat import PublicHeartbeat
from astrolens.notifier.metrics import AlertMetrics
from astrolens.notifier.ports import Channel
from astrolens.notifier.sweep import Sweep
from astrolens.platform.errors import TransientError
from astrolens.platform.retry import RetryPolicy, retry
from astrolens.platform.runtime.service import ServiceApp
from astrolens.platform.settings import Settings
from astrolens.platform.stores.collections import Collection

SERVICE: Final = "notifier"
INPUT: Final = topics.IMAGES_ANALYZED
"""What alerts are made from. A cross-match with catalogues comes in between by changing this."""

_log = structlog.get_logger(__name__)


def create_app(settings: Settings) -> ServiceApp:
    """The notifier; nothing is opened.

    Raises:
        ConfigurationError: A notification URL is none that Apprise understands, or a store's URL is wrong.
    """
    channels: tuple[Channel, ...] = open_channels(settings.notify_urls)
    app = ServiceApp(settings, service=SERVICE, port=settings.notifier_port, outbox=(Collection.ALERTS,))
    names = tuple(channel.name for channel in channels)
    app.info["channels"] = list(names)
    # The embedded broker's port differs at every start; listeners find it in `astrolens status --json`.
    app.info["broker"] = ",".join(settings.bootstrap_servers)
    metrics = AlertMetrics(app.metrics)
    book = DeliveryBook(records=app.records, images=app.images)
    couriers = [
        Courier(
            channel=channel,
            book=book,
            per_min=settings.notify_per_min,
            console=_console(settings),
            condition=app.condition,
            metrics=metrics,
        )
        for channel in channels
    ]

    def wake() -> None:
        for courier in couriers:
            courier.wake()

    alerts = AlertService(
        records=app.records,
        images=app.images,
        outbox=app.outbox,
        metrics=metrics,
        channels=names,
        on_news=wake,
    )
    app.bus.consume(INPUT, ImageAnalyzed, handlers.image_analyzed(alerts))
    sweep = Sweep(records=app.records, alerts=alerts, every_s=settings.redeliver_after_s)
    heartbeat = PublicHeartbeat(records=app.records, publisher=app.bus, condition=app.condition, instance=app.instance)
    app.spawn("sweep", lambda: sweep.run(app.stopping), graceful=True)
    app.spawn("public heartbeat", lambda: heartbeat.run(app.stopping), graceful=True)
    app.spawn("orphaned deliveries", lambda: _end_orphans(book, names, app.stopping))
    for name, courier in zip(names, couriers, strict=True):
        app.spawn(f"courier {name}", partial(courier.run, app.stopping), graceful=True)
    return app


async def _end_orphans(book: DeliveryBook, channels: tuple[str, ...], stopping: asyncio.Event) -> None:
    try:
        ended = await retry(
            lambda: book.end_orphans(channels), retry_policy=RetryPolicy(timeout_s=600.0), stopping=stopping
        )
    except TransientError as error:
        _log.warning("deliveries to removed channels stay open until the next start", error=str(error))
        return
    if ended:
        _log.info("ended deliveries to channels that are no longer in the settings", alerts=ended)


def _console(settings: Settings) -> str:
    host = "localhost" if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104 - compared, not bound
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
