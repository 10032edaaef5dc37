"""The composition root of the notifier."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from astrolens.contracts import topics
from astrolens.contracts.alerts import HEARTBEAT_INTERVAL_S
from astrolens.contracts.events import CandidateMatched, LabelRecorded
from astrolens.notifier import channel_worker, handlers
from astrolens.notifier.alert_service import AlertService
from astrolens.notifier.channel_worker import ChannelWorker
from astrolens.notifier.channels import open_channels
from astrolens.notifier.delivery_queue import DeliveryQueue
from astrolens.notifier.heartbeat import PublicHeartbeat
from astrolens.notifier.metrics import AlertMetrics
from astrolens.notifier.ports import Channel
from astrolens.notifier.sweep import Sweep
from astrolens.notifier.unreadable import UnreadableDocuments
from astrolens.platform.runtime.service import ServiceApp
from astrolens.platform.settings import Settings
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.leases import Lease

SERVICE: Final = "notifier"
INPUT_TOPIC: Final = topics.CANDIDATES_MATCHED
"""The topic that alerts are made from: candidates whose places the catalogues were asked about."""

_IDLE_INTERVAL_S: Final = 3600.0
"""Interval of a periodic task whose work is done after its first successful pass."""

_DELIVERIES: Final = "notifier.deliveries"
"""The lease under which deliveries are changed. One for all channels, because they share the records of alerts."""

_log = structlog.get_logger(__name__)


def create_app(settings: Settings) -> ServiceApp:
    """The notifier; nothing is opened.

    Raises:
        ConfigurationError: Apprise does not accept a notification URL, or a store's URL is wrong.
    """
    channels: tuple[Channel, ...] = open_channels(settings.notify_urls)
    app = ServiceApp(settings, service=SERVICE, port=settings.notifier_port, outbox=(Collection.ALERTS,))
    names = tuple(channel.name for channel in channels)
    app.info["channels"] = list(names)
    # The embedded broker's port differs at every start; listeners find it in `astrolens status --json`.
    app.info["broker"] = ",".join(settings.bootstrap_servers)
    metrics = AlertMetrics(app.metrics)
    unreadable = UnreadableDocuments(app.condition)
    queue = DeliveryQueue(records=app.records, images=app.images, unreadable=unreadable)
    workers = [
        ChannelWorker(
            channel=channel,
            queue=queue,
            per_min=settings.notify_per_min,
            console=_console(settings),
            condition=app.condition,
            metrics=metrics,
        )
        for channel in channels
    ]

    def wake_workers() -> None:
        for worker in workers:
            worker.wake.set()

    alerts = AlertService(
        records=app.records,
        images=app.images,
        outbox=app.outbox,
        metrics=metrics,
        unreadable=unreadable,
        channels=names,
        on_delivery_queued=wake_workers,
        surveys=(settings.folder_survey, *settings.alert_surveys),
        publish_unreleased=settings.publish_unreleased,
    )
    app.bus.consume(INPUT_TOPIC, CandidateMatched, handlers.candidate_matched(alerts))
    app.bus.consume(
        topics.LABELS_RECORDED, LabelRecorded, handlers.label_recorded(alerts), group="astrolens-notifier-labels"
    )
    _sweep_periodically(app, alerts, unreadable)
    _publish_heartbeats(app)
    removed_channels = _removed_channels(queue, names, app.lease(_DELIVERIES))
    app.every("removed channels", removed_channels, interval_s=_IDLE_INTERVAL_S, graceful=False)
    for name, worker in zip(names, workers, strict=True):
        app.every(
            f"deliveries to {name}",
            worker.deliver,
            interval_s=channel_worker.POLL_INTERVAL_S,
            lease=app.lease(_DELIVERIES),
            wake=worker.wake,
        )
    return app


def _sweep_periodically(app: ServiceApp, alerts: AlertService, unreadable: UnreadableDocuments) -> None:
    unfinished = asyncio.Event()
    sweep = Sweep(
        records=app.records, alerts=alerts, unreadable=unreadable, stopping=app.stopping, unfinished=unfinished
    )
    app.every(
        "sweep for lost events",
        sweep.run_pass,
        interval_s=app.settings.redeliver_after_s,
        lease=app.lease("notifier.sweep"),
        wake=unfinished,
    )


def _publish_heartbeats(app: ServiceApp) -> None:
    heartbeat = PublicHeartbeat(
        records=app.records,
        publisher=app.bus,
        lease=app.lease("notifier.heartbeat"),
        instance=app.instance,
    )
    app.every(
        "public heartbeat",
        heartbeat.publish,
        interval_s=HEARTBEAT_INTERVAL_S,
        issue="no heartbeat for listeners",
        fixed_rate=True,
    )
    app.on_stop("lease of the public heartbeat", heartbeat.release_lease)


def _removed_channels(queue: DeliveryQueue, channels: tuple[str, ...], lease: Lease) -> Callable[[], Awaitable[None]]:
    """Ends deliveries to removed channels, once per start: a later pass could only meet channels of newer settings.

    The lease is acquired for that one pass and not held afterwards.
    """
    done = False

    async def fail_removed_channels() -> None:
        nonlocal done
        if done or not await lease.acquire():
            return
        ended = await queue.fail_removed_channels(channels)
        done = True
        if ended:
            _log.info("ended deliveries to channels that are no longer in the settings", alerts=ended)

    return fail_removed_channels


def _console(settings: Settings) -> str:
    host = "localhost" if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104 - compared, not bound
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
