"""The ingestor's composition root: stores, bus, sandbox, fetchers and sources in, one service out."""

import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import structlog

from astrolens.contracts import topics
from astrolens.contracts.base import utc_now
from astrolens.contracts.events import ImageSubmitted
from astrolens.ingestor.arrivals import SERVICE
from astrolens.ingestor.backpressure import Backpressure, images_to_analyze
from astrolens.ingestor.downloader import Downloader
from astrolens.ingestor.fetching import SafeFetcher
from astrolens.ingestor.handlers import SubmittedImages
from astrolens.ingestor.metrics import IngestMetrics
from astrolens.ingestor.near_duplicates import NearDuplicateLinker
from astrolens.ingestor.observer import PrometheusObserver
from astrolens.ingestor.receipt_sweeper import SWEEP_INTERVAL_S, ReceiptSweeper
from astrolens.ingestor.retention import INTERVAL_S, Retention, remove_expiry_rule
from astrolens.ingestor.sandbox import DecodingSandbox, SandboxLimits
from astrolens.ingestor.sandbox_replies import Confinement
from astrolens.ingestor.service import IngestService
from astrolens.ingestor.source_feeder import SourceFeeder, show_sources_as_off
from astrolens.ingestor.source_lease import SourceLease
from astrolens.ingestor.sources.base import Source
from astrolens.ingestor.sources.folder import FolderSource
from astrolens.ingestor.sources.sdss import MAX_PICTURE_BYTES, SdssSource
from astrolens.ingestor.sources.selection import create_sources
from astrolens.ingestor.sources.simulated import SimulatedSource
from astrolens.ingestor.sources.skyserver import create_skyserver
from astrolens.ingestor.sources.throttling import Backoff, TokenBucket
from astrolens.platform.disk import DiskSpace
from astrolens.platform.runtime.disk_watch import DISK_CHECK_INTERVAL_S, DiskWatch
from astrolens.platform.runtime.service import ServiceApp
from astrolens.platform.settings import Settings
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import ImageStore
from astrolens.platform.stores.records import RecordStore
from astrolens.platform.telemetry.archive_metrics import ArchiveMetrics
from astrolens.science.rejection import DecodeLimits

if TYPE_CHECKING:
    from astrolens.science.simulation import SimulatedImage

_log = structlog.get_logger(__name__)


def create_app(
    settings: Settings, *, records: RecordStore | None = None, images: ImageStore | None = None
) -> ServiceApp:
    """The ingestor; opens nothing.

    Args:
        settings: All settings.
        records: A record store other than the settings' (tests).
        images: An image store other than the settings' (tests).

    Raises:
        ConfigurationError: A source is unknown, or a URL names no adapter.
    """
    app = ServiceApp(
        settings,
        service=SERVICE,
        port=settings.ingestor_port,
        outbox=(Collection.IMAGES,),
        records=records,
        images=images,
        private_memory=True,
    )
    metrics = IngestMetrics(app.metrics)
    observer = PrometheusObserver(metrics)
    service = IngestService(
        records=app.records,
        images=app.images,
        decoder=_create_sandbox(app, metrics),
        outbox=app.outbox,
        downloader=Downloader(_create_fetcher(app, metrics.archives)),
        near_duplicates=NearDuplicateLinker(app.records, radius=settings.near_duplicate_radius),
        observer=observer,
    )
    analysis_backlog = Backpressure(records=app.records, max_in_flight=settings.max_in_flight, count=images_to_analyze)
    submitted = SubmittedImages(records=app.records, service=service, backpressure=analysis_backlog)
    app.bus.consume(topics.IMAGES_SUBMITTED, ImageSubmitted, submitted.handle, on_refused=submitted.refused)
    _add_sweeps(app, service, analysis_backlog)
    _add_retention(app)
    _add_sources(app, service, observer, metrics.archives)
    return app


def _create_sandbox(app: ServiceApp, metrics: IngestMetrics) -> DecodingSandbox:
    settings = app.settings
    decode = DecodeLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
    sandbox = DecodingSandbox(
        settings.decoders,
        SandboxLimits(decode=decode),
        on_death=lambda cause: metrics.sandbox_deaths.labels(cause).inc(),
        on_decoded=metrics.sandbox_seconds.observe,
        on_failure=app.condition.record_error,
        on_confined=partial(_report_confinement, app),
        require_confinement=settings.require_sandbox,
    )
    metrics.sandbox_children.set_function(lambda: sandbox.children)
    metrics.sandbox_waiting.set_function(lambda: sandbox.waiting)
    app.on_stop("sandbox", sandbox.close)
    app.on_start("sandbox", sandbox.start)
    return sandbox


def _report_confinement(app: ServiceApp, confinement: Confinement) -> None:
    """Show in the heartbeat which layers confine the decoders; say once, loudly, which the kernel refused."""
    layers = confinement.model_dump()
    if app.info.get("sandbox") == layers:
        return
    app.info["sandbox"] = layers
    if confinement.refused:
        sentence = f"decoders are confined in part only: this machine refuses {', '.join(confinement.refused)}"
        app.condition.record_error(sentence)
        _log.warning(sentence, system=sys.platform)


def _create_fetcher(app: ServiceApp, archives: ArchiveMetrics) -> SafeFetcher:
    """What people's URLs are fetched with."""
    settings = app.settings
    fetcher = SafeFetcher(hosts=settings.fetch_hosts, max_bytes=settings.max_image_bytes, on_request=archives.observe)
    app.on_stop("fetcher", fetcher.close)
    app.on_start("fetcher", fetcher.open)
    return fetcher


def _add_sweeps(app: ServiceApp, service: IngestService, backpressure: Backpressure) -> None:
    after_s = app.settings.redeliver_after_s
    sweeper = ReceiptSweeper(records=app.records, service=service, after_s=after_s, backpressure=backpressure)
    app.every(
        "sweep",
        sweeper.sweep,
        interval_s=min(SWEEP_INTERVAL_S, after_s),
        issue="arrivals wait to be processed again",
        lease=app.lease("ingestor:sweep"),
        graceful=False,
    )


def _add_retention(app: ServiceApp) -> None:
    """Mark originals that may expire, where the image store can expire them."""
    originals, days = app.images.expiry, app.settings.s3_expire_ordinary_days
    if originals is None:
        return
    if not days:
        app.spawn("retention", lambda: remove_expiry_rule(originals, condition=app.condition))
        return
    app.every(
        "retention",
        Retention(records=app.records, originals=originals, days=days).run_pass,
        interval_s=INTERVAL_S,
        issue="originals wait to be marked or unmarked",
        lease=app.lease("ingestor:retention"),
        graceful=False,
    )


def _add_sources(
    app: ServiceApp, service: IngestService, observer: PrometheusObserver, archives: ArchiveMetrics
) -> None:
    """Create the sources of the settings, each with its feeder."""
    settings = app.settings
    factories = _source_factories(app, archives)
    sources = create_sources(settings.sources, factories)
    disk = DiskSpace.of(settings)
    app.every("disk watch", DiskWatch(disk, app.condition).check, interval_s=DISK_CHECK_INTERVAL_S)
    backpressure = Backpressure(
        records=app.records,
        max_in_flight=settings.max_in_flight,
        disk=disk,
    )
    others = [name for name in factories if all(source.name != name for source in sources)]
    app.on_start("sources that are off", lambda: show_sources_as_off(app.records, others, now=utc_now()))
    app.info["sources"] = [source.name for source in sources]
    for source in sources:
        app.on_start(f"check {source.name}", partial(_check, source))
        feeder = SourceFeeder(
            source=source,
            service=service,
            records=app.records,
            lease=SourceLease(app.lease(f"source:{source.name}"), source=source.name, condition=app.condition),
            backpressure=backpressure,
            condition=app.condition,
            on_admitted=partial(_count_processed, app),
            on_status=observer.source,
            on_lease_lost=observer.source_lease_lost,
            tracing=app.tracing,
        )
        app.spawn(f"source {source.name}", partial(feeder.run, app.stopping), graceful=True)


def _render(settings: Settings, number: int) -> "SimulatedImage":
    """One image of the simulated sky."""
    from astrolens.science.simulation import simulate  # noqa: PLC0415 - half a second, and only this source needs it

    return simulate(settings.simulated_seed, number, oddity_rate=settings.simulated_oddity_rate)


def _source_factories(app: ServiceApp, archives: ArchiveMetrics) -> dict[str, Callable[[], Source]]:
    """Every source there is, by its name in the settings."""
    settings = app.settings
    server = create_skyserver(settings.sdss_base_url)

    def simulated() -> Source:
        return SimulatedSource(
            render=partial(_render, settings),
            seed=settings.simulated_seed,
            rate_per_min=settings.simulated_rate_per_min,
            records=app.records,
        )

    def folder() -> Source:
        return FolderSource(
            path=settings.folder_path,
            survey=settings.folder_survey,
            records=app.records,
            max_bytes=settings.max_image_bytes,
        )

    def sdss() -> Source:
        # A fetcher of its own: it may speak to SkyServer and to nobody else.
        fetcher = SafeFetcher(
            hosts=(server.host,),
            max_bytes=MAX_PICTURE_BYTES,
            total_s=60.0,
            read_s=30.0,
            on_request=archives.observe,
        )
        app.on_stop("survey fetcher", fetcher.close)
        app.on_start("survey fetcher", fetcher.open)
        return SdssSource(
            fetcher=fetcher,
            server=server,
            rate_per_min=settings.sdss_rate_per_min,
            query_limit=settings.sdss_query_limit,
            bucket=TokenBucket(settings.sdss_rate_per_min, on_wait=archives.wait_seconds.labels(server.host).inc),
            backoff=Backoff(on_change=archives.circuit_open.labels(server.host).set),
        )

    return {"simulated": simulated, "folder": folder, "sdss": sdss}


async def _check(source: Source) -> None:
    source.check()


def _count_processed(app: ServiceApp, admitted: int) -> None:
    app.processed += admitted
