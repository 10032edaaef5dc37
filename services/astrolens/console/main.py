"""The console's composition root: stores, bus and model client in, one web application out."""

import os
from collections.abc import Sequence
from functools import partial

from fastapi import FastAPI

from astrolens.console.application import create_application
from astrolens.console.archive import Archive
from astrolens.console.bookkeeping import Bookkeeping
from astrolens.console.context import AppContext
from astrolens.console.intake import Intake
from astrolens.console.labelling import Labelling
from astrolens.console.metrics import BooksMetrics
from astrolens.console.originals import Originals
from astrolens.console.ports import EventOutlet
from astrolens.console.repair import Repair
from astrolens.console.security_credentials import Credentials, LoginLimiter
from astrolens.console.stream import Broadcaster
from astrolens.contracts.records import Outcome, PendingEvent, Receipt
from astrolens.platform.runtime.heartbeat import instance_name
from astrolens.platform.runtime.service import ServiceApp
from astrolens.platform.settings import Settings
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import ImageStore
from astrolens.platform.stores.open import image_store, record_store
from astrolens.platform.stores.records import RecordStore
from astrolens.platform.telemetry.create_tracing import create_tracing
from astrolens.platform.telemetry.metrics import Metrics, Stage
from astrolens.platform.telemetry.tracing import NO_TRACING, Tracing
from astrolens.usecases.model_status import ModelClient
from astrolens.usecases.status import StatusReader


class ServiceOutlet:
    """The outbox of the service that will serve the application; attached once that is built."""

    def __init__(self) -> None:
        self._service: ServiceApp | None = None

    def attach(self, service: ServiceApp) -> None:
        """Publish through this service from now on."""
        self._service = service

    def release(self, collection: Collection, documents: Sequence[tuple[str, Sequence[PendingEvent]]]) -> None:
        """Publish in the background."""
        service = self._attached()
        service.spawn("release", lambda: service.outbox.release(collection, documents), graceful=True)

    async def publish(self, events: Sequence[PendingEvent]) -> None:
        """Publish now."""
        await self._attached().bus.publish(events)

    def _attached(self) -> ServiceApp:
        if self._service is None:
            raise RuntimeError("the outlet is used before the service is built")
        return self._service


def build_context(
    settings: Settings,
    *,
    records: RecordStore,
    images: ImageStore,
    outlet: EventOutlet,
    model: ModelClient,
    tracing: Tracing = NO_TRACING,
) -> AppContext:
    """Everything that routes and pages share; opens nothing."""
    status = StatusReader(records=records, model=model)
    originals = Originals(images, expiring=settings.s3_expire_ordinary_days > 0)
    return AppContext(
        settings=settings,
        records=records,
        images=images,
        archive=Archive(records=records, images=images, model=model),
        status=status,
        intake=Intake(
            records=records,
            images=images,
            outlet=outlet,
            status=status,
            max_in_flight=settings.max_in_flight,
            max_image_bytes=settings.max_image_bytes,
            tracing=tracing,
        ),
        labelling=Labelling(records=records, outlet=outlet, originals=originals),
        repair=Repair(records=records, outlet=outlet, originals=originals, tracing=tracing),
        model=model,
        stream=Broadcaster(status.read),
        credentials=Credentials(
            records=records, token=settings.token.get_secret_value() if settings.token is not None else None
        ),
        limiter=LoginLimiter(),
    )


def create_app(settings: Settings) -> ServiceApp:
    """The console service: REST and pages on `settings.port`."""
    records, images = record_store(settings.records_url), image_store(settings.images_url, settings.s3_options)
    outlet = ServiceOutlet()
    tracing = create_tracing(settings, service="console", instance=instance_name("console", settings.port))
    context = build_context(
        settings,
        records=records,
        images=images,
        outlet=outlet,
        model=ModelClient(settings.inference_address),
        tracing=tracing,
    )
    web = create_application(context)
    _mount_pages(context, web)
    service = ServiceApp(
        settings,
        service="console",
        port=settings.port,
        outbox=(Collection.RECEIPTS, Collection.IMAGES),
        web=web,
        records=records,
        images=images,
        tracing=tracing,
    )
    outlet.attach(service)
    context.intake.on_booked = partial(_count, service.metrics)
    bookkeeping = Bookkeeping(records=records, metrics=BooksMetrics(service.metrics))
    service.spawn("bookkeeping", lambda: bookkeeping.run(service.stopping), graceful=True)

    async def check_credentials() -> None:
        await context.credentials.start(host=settings.host, needed=not settings.is_loopback)

    async def end_streams() -> None:
        await service.stopping.wait()
        await context.stream.close()

    service.on_start("credentials", check_credentials)
    service.spawn("streams", end_streams, graceful=True)
    service.on_stop("model client", context.model.close)
    return service


def _count(metrics: Metrics, receipts: Sequence[Receipt]) -> None:
    """Count arrivals as the ingestor counts those of its sources; the ingestor settles them."""
    metrics.received.labels(Stage.INGEST).inc(len(receipts))
    for receipt in receipts:
        if receipt.outcome is not Outcome.RECEIVED:
            metrics.settled.labels(Stage.INGEST, receipt.outcome.value).inc()


def _mount_pages(context: AppContext, web: FastAPI) -> None:
    # NiceGUI reads this when it is imported, and would keep its files in the working folder.
    os.environ.setdefault("NICEGUI_STORAGE_PATH", str(context.settings.home / "console"))
    # Imported here, for only a console that serves needs NiceGUI: scripts and tests of the API do without.
    from nicegui import ui  # noqa: PLC0415

    from astrolens.console.pages import RUN_OPTIONS, mount  # noqa: PLC0415

    mount(context)
    ui.run_with(web, **RUN_OPTIONS)
