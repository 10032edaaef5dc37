"""The ingestor's composition root: stores, bus, sandbox, fetchers and sources in, one service out."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog

from astrolens.contracts import topics
from astrolens.contracts.base import utc_now
from astrolens.contracts.events import ImageSubmitted
from astrolens.ingestor.arrivals import SERVICE
from astrolens.ingestor.downloads import Downloads
from astrolens.ingestor.feeding import Feeder, mark_off
from astrolens.ingestor.fetching import SafeFetcher
from astrolens.ingestor.gate import Gate, images_to_analyze
from astrolens.ingestor.handlers import SubmittedImages
from astrolens.ingestor.metrics import IngestMetrics
from astrolens.ingestor.near_duplicates import NearDuplicateIndex
from astrolens.ingestor.observer import PrometheusObserver
from astrolens.ingestor.recovery import Sweeper, restore_index
from astrolens.ingestor.retention import Retention
from astrolens.ingestor.sandbox import DecodingSandbox, SandboxLimits
from astrolens.ingestor.service import IngestService
from astrolens.ingestor.sources.base import Source
from astrolens.ingestor.sources.choosing import choose, skyserver
from astrolens.ingestor.sources.folder import FolderSource
from astrolens.ingestor.sources.pacing import Circuit, TokenBucket
from astrolens.ingestor.sources.sdss import MAX_PICTURE_BYTES, SdssSource
from astrolens.ingestor.sources.simulated import SimulatedSource
from astrolens.platform.runtime.service import ServiceApp
from astrolens.platform.settings import Settings
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import Expiry, ImageStore
from astrolens.platform.stores.records import RecordStore
from astrolens.platform.telemetry.archive_metrics import ArchiveMetrics
from astrolens.science.rejection import DecodeLimits
from astrolens.science.simulation import simulate

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
    )
    index = NearDuplicateIndex(radius=settings.near_duplicate_radius)
    metrics = IngestMetrics(app.metrics)
    telling = PrometheusObserver(metrics)
    sandbox = DecodingSandbox(
        settings.decoders,
        _limits(settings),
        on_death=lambda cause: metrics.sandbox_deaths.labels(cause).inc(),
        on_decoded=metrics.sandbox_seconds.observe,
    )
    metrics.sandbox_children.set_function(lambda: sandbox.children)
    metrics.sandbox_waiting.set_function(lambda: sandbox.waiting)
    fetcher = SafeFetcher(
        hosts=settings.fetch_hosts, max_bytes=settings.max_image_bytes, on_request=metrics.archives.note
    )
    service = IngestService(
        records=app.records,
        images=app.images,
        decoder=sandbox,
        outbox=app.outbox,
        downloads=Downloads(fetcher),
        index=index,
        observer=telling,
    )
    _start_and_stop(app, index, sandbox, fetcher)

    to_analyze = Gate(records=app.records, max_in_flight=settings.max_in_flight, count=images_to_analyze)
    submitted = SubmittedImages(records=app.records, service=service, gate=to_analyze)
    app.bus.consume(topics.IMAGES_SUBMITTED, ImageSubmitted, submitted.handle, on_refused=submitted.refused)
    sweeper = Sweeper(
        records=app.records,
        service=service,
        after_s=settings.redeliver_after_s,
        gate=to_analyze,
        condition=app.condition,
    )
    app.spawn("sweep", lambda: sweeper.run(app.stopping))
    _schedule_retention(app)
    _feed(app, service, telling, metrics.archives)
    return app


def _start_and_stop(app: ServiceApp, index: NearDuplicateIndex, sandbox: DecodingSandbox, fetcher: SafeFetcher) -> None:
    async def restore() -> None:
        restored = await restore_index(app.records, index)
        _log.info("restored the index of near-duplicates", images=restored)

    app.on_start("near-duplicates", restore)
    app.on_stop("sandbox", sandbox.close)
    app.on_start("sandbox", sandbox.start)
    app.on_stop("fetcher", fetcher.close)
    app.on_start("fetcher", fetcher.open)


def _schedule_retention(app: ServiceApp) -> None:
    """Mark originals that may go, where the store can let them go."""
    if not isinstance(app.images, Expiry):
        return
    retention = Retention(
        records=app.records,
        originals=app.images,
        days=app.settings.s3_expire_ordinary_days,
        condition=app.condition,
    )
    app.spawn("retention", lambda: retention.run(app.stopping))


def _feed(app: ServiceApp, service: IngestService, telling: PrometheusObserver, archives: ArchiveMetrics) -> None:
    """Give every source its feeder."""
    settings = app.settings
    server = skyserver(settings.sdss_base_url)
    # A fetcher of its own: it may speak to SkyServer and to nobody else.
    fetcher = SafeFetcher(
        hosts=(server.host,), max_bytes=MAX_PICTURE_BYTES, total_s=60.0, read_s=30.0, on_request=archives.note
    )
    known: dict[str, Callable[[], Source]] = {
        "simulated": lambda: SimulatedSource(
            render=lambda number: simulate(settings.simulated_seed, number, oddity_rate=settings.simulated_oddity_rate),
            seed=settings.simulated_seed,
            rate_per_min=settings.simulated_rate_per_min,
            records=app.records,
        ),
        "folder": lambda: FolderSource(
            path=settings.folder_path,
            survey=settings.folder_survey,
            records=app.records,
            max_bytes=settings.max_image_bytes,
        ),
        "sdss": lambda: SdssSource(
            fetcher=fetcher,
            server=server,
            rate_per_min=settings.sdss_rate_per_min,
            query_limit=settings.sdss_query_limit,
            bucket=TokenBucket(settings.sdss_rate_per_min, on_wait=archives.paced_seconds.labels(server.host).inc),
            circuit=Circuit(on_change=archives.left_alone.labels(server.host).set),
        ),
    }
    sources = choose(settings.sources, known)
    if any(source.name == "sdss" for source in sources):
        app.on_stop("survey fetcher", fetcher.close)
        app.on_start("survey fetcher", fetcher.open)
    gate = Gate(
        records=app.records,
        max_in_flight=settings.max_in_flight,
        free_mib=partial(_free_mib, settings.home),
        min_free_mib=settings.min_free_disk_mib,
    )
    others = [name for name in known if all(source.name != name for source in sources)]
    app.on_start("sources that are off", lambda: mark_off(app.records, others, now=utc_now()))
    app.info["sources"] = [source.name for source in sources]
    for source in sources:
        app.on_start(f"check {source.name}", partial(_check, source))
        feeder = Feeder(
            source=source,
            service=service,
            records=app.records,
            gate=gate,
            on_admitted=partial(_add, app),
            on_status=telling.source,
            tracing=app.tracing,
        )
        app.spawn(f"source {source.name}", partial(feeder.run, app.stopping), graceful=True)


async def _check(source: Source) -> None:
    source.check()


def _add(app: ServiceApp, admitted: int) -> None:
    app.processed += admitted


def _limits(settings: Settings) -> SandboxLimits:
    return SandboxLimits(decode=DecodeLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels))


def _free_mib(folder: Path) -> float:
    """Free space on the disk of a folder, MiB."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free / 2**20
