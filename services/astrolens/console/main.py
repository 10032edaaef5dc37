"""The console's composition root: stores, bus and model client in, one web application out."""

import asyncio
import os
from collections.abc import Callable, Sequence

from fastapi import FastAPI

from astrolens.console.answer_feed import AnswerFeed
from astrolens.console.application import create_application
from astrolens.console.books_exporter import EXPORT_INTERVAL_S, BooksExporter
from astrolens.console.context import AppContext
from astrolens.console.credentials import Credentials
from astrolens.console.login_limiter import LoginLimiter
from astrolens.console.metrics import BooksMetrics
from astrolens.console.session_key import session_key
from astrolens.console.stream import POLL_INTERVAL_S, StatusStream
from astrolens.contracts.records import Outcome, Receipt
from astrolens.platform.bus.ports import EventPublisher, EventReleaser, PendingByDocument
from astrolens.platform.disk import DiskSpace
from astrolens.platform.runtime.disk_watch import DISK_CHECK_INTERVAL_S, DiskWatch
from astrolens.platform.runtime.service import ServiceApp
from astrolens.platform.settings import Settings
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import ImageStore
from astrolens.platform.stores.records import RecordStore
from astrolens.platform.telemetry.metrics import Metrics, Stage
from astrolens.platform.telemetry.tracing import NO_TRACING, Tracing
from astrolens.rpc.model_client import ModelClient
from astrolens.usecases.archive import Archive
from astrolens.usecases.bulk_labelling import BulkLabelling
from astrolens.usecases.crossmatches import Crossmatches
from astrolens.usecases.dead_letters import DeadLetterActions
from astrolens.usecases.discoveries import Discoveries
from astrolens.usecases.intake import Intake
from astrolens.usecases.labelling import Labelling
from astrolens.usecases.maps import Maps
from astrolens.usecases.model_status import ModelStatus
from astrolens.usecases.models import Models
from astrolens.usecases.originals import OriginalsProtection
from astrolens.usecases.rankings import Rankings
from astrolens.usecases.reanalysis import Reanalysis
from astrolens.usecases.sky_objects import SkyObjects
from astrolens.usecases.status import StatusReader
from astrolens.usecases.survey_models import SurveyModels
from astrolens.usecases.training_runs import TrainingRuns
from astrolens.usecases.upload_notes import UploadNotes


class BackgroundReleaser:
    """Releases in a task of the service, so that an answer does not wait for the broker.

    A task that the service's end cuts short leaves its events pending, and the relay publishes them later.
    """

    def __init__(self, service: ServiceApp) -> None:
        self._service = service

    async def release(self, collection: Collection, documents: PendingByDocument) -> None:
        """Begin to release; returns at once."""
        outbox = self._service.outbox
        self._service.spawn("release", lambda: outbox.release(collection, documents), graceful=True)


def build_context(
    settings: Settings,
    *,
    records: RecordStore,
    images: ImageStore,
    releaser: EventReleaser,
    publisher: EventPublisher,
    model_client: ModelClient,
    model_status: ModelStatus,
    disk: DiskSpace | None = None,
    tracing: Tracing = NO_TRACING,
    on_received: Callable[[Sequence[Receipt]], None] = lambda _: None,
) -> AppContext:
    """Everything that routes and pages share; opens nothing."""
    status = StatusReader(records=records, model=model_status)
    originals = OriginalsProtection(images, expiring=settings.s3_expire_ordinary_days > 0)
    answers = AnswerFeed()
    labelling = Labelling(records=records, releaser=releaser, originals=originals, on_recorded=answers.publish)
    return AppContext(
        settings=settings,
        records=records,
        images=images,
        archive=Archive(records=records, images=images, model=model_client),
        status=status,
        intake=Intake(
            records=records,
            images=images,
            releaser=releaser,
            status=status,
            max_in_flight=settings.max_in_flight,
            max_image_bytes=settings.max_image_bytes,
            disk=disk or DiskSpace.of(settings),
            tracing=tracing,
            on_received=on_received,
        ),
        upload_notes=UploadNotes(records),
        labelling=labelling,
        bulk_labelling=BulkLabelling(records=records, labelling=labelling),
        rankings=Rankings(records=records, personal=settings.personal_rankings),
        discoveries=Discoveries(records),
        training_runs=TrainingRuns(records=records),
        reanalysis=Reanalysis(records=records, releaser=releaser, originals=originals, tracing=tracing),
        survey_models=SurveyModels(records=records, releaser=releaser),
        models=Models(records=records, images=images, releaser=releaser),
        crossmatches=Crossmatches(records=records),
        maps=Maps(records=records),
        sky_objects=SkyObjects(records=records),
        dead_letters=DeadLetterActions(records=records, publisher=publisher),
        model=model_status,
        stream=StatusStream(status.read),
        answers=answers,
        credentials=Credentials(
            records=records, token=settings.token.get_secret_value() if settings.token is not None else None
        ),
        login_limiter=LoginLimiter(),
    )


def create_app(settings: Settings) -> ServiceApp:
    """The console service: REST and pages on `settings.port`."""
    service = ServiceApp(
        settings,
        service="console",
        port=settings.port,
        outbox=(Collection.RECEIPTS, Collection.IMAGES, Collection.PROMOTIONS),
    )
    model_client = ModelClient(settings.inference_address)
    disk = DiskSpace.of(settings)
    context = build_context(
        settings,
        records=service.records,
        images=service.images,
        releaser=BackgroundReleaser(service),
        publisher=service.bus,
        model_client=model_client,
        model_status=ModelStatus(model_client),
        disk=disk,
        tracing=service.tracing,
        on_received=lambda receipts: _count(service.metrics, receipts),
    )
    web = create_application(context)
    _mount_pages(context, web)
    service.serve_web(web)
    exporter = BooksExporter(records=service.records, metrics=BooksMetrics(service.metrics))
    service.every("status stream", context.stream.poll, interval_s=POLL_INTERVAL_S, wake=context.stream.wake)
    service.every("disk watch", DiskWatch(disk, service.condition).check, interval_s=DISK_CHECK_INTERVAL_S)
    service.every("books exporter", exporter.export, interval_s=EXPORT_INTERVAL_S)

    async def check_credentials() -> None:
        key = await asyncio.to_thread(session_key, settings)
        await context.credentials.start(host=settings.host, needed=not settings.is_loopback, key=key)

    service.on_start("credentials", check_credentials)
    service.on_stop("model client", model_client.close)
    service.on_stop("streams", context.stream.close)
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

    from astrolens.console.pages import mount  # noqa: PLC0415

    ui.run_with(web, **mount(context))
