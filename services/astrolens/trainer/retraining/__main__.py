"""`python -m astrolens.trainer.retraining FOLDER`: perform the run whose order is in the folder.

The process gives itself the lowest priority and its bounds before it loads anything large.
"""

import asyncio
import contextlib
import logging
import resource
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from astrolens.contracts.training_runs import GateReport
from astrolens.platform.errors import AstroLensError
from astrolens.platform.runtime.lowest_priority import take_lowest_priority
from astrolens.platform.runtime.parent_watch import watch_parent
from astrolens.platform.settings import Settings, load_settings
from astrolens.platform.stores.images import ImageStore
from astrolens.platform.stores.open import image_store, record_store
from astrolens.platform.stores.records import RecordStore
from astrolens.trainer.retraining.orders import ORDER, OUTCOME, Order, Outcome, write

_MIB = 1 << 20

log = logging.getLogger("astrolens.trainer.retraining")


def main() -> None:
    """Run the command line."""
    folder = Path(sys.argv[1])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    order = Order.model_validate_json((folder / ORDER).read_bytes())
    _bound(order)
    watch_parent()
    try:
        outcome = _perform(order, folder, load_settings())
    except (AstroLensError, MemoryError, OSError, ValueError) as error:
        log.exception("the run failed")
        text = str(error) or type(error).__name__
        if isinstance(error, MemoryError):
            text = f"it needs more than {order.memory_mib} MiB of memory (ASTROLENS_TRAINING_MEMORY_MIB)"
        outcome = Outcome(state="failed", failure=text[:1000])
    write(folder, OUTCOME, outcome)


def _perform(order: Order, folder: Path, settings: Settings) -> Outcome:
    # After the bounds are set: these take seconds and hundreds of megabytes.
    import torch  # noqa: PLC0415

    from astrolens.trainer.export import ExportFailed  # noqa: PLC0415
    from astrolens.trainer.retraining.archive_images import ArchiveImage, ArchiveReader  # noqa: PLC0415
    from astrolens.trainer.retraining.registry_access import champion_folder, publish_challenger  # noqa: PLC0415
    from astrolens.trainer.retraining.run import Run  # noqa: PLC0415
    from astrolens.trainer.retraining.starting_weights import WeightsNotFound  # noqa: PLC0415

    torch.set_num_threads(1)

    def read_archive(cutouts: Path, replay: int) -> tuple[list[ArchiveImage], list[ArchiveImage]]:
        async def read() -> tuple[list[ArchiveImage], list[ArchiveImage]]:
            async with _stores(settings) as (records, images):
                reader = ArchiveReader(records, images, cutouts)
                return await reader.labelled(), await reader.unanswered(replay)

        return asyncio.run(read())

    async def find_champion() -> Path:
        async with _stores(settings) as (records, images):
            return await champion_folder(records, images, settings, folder)

    def publish(bundle: Path, report: GateReport, manifest: bytes) -> str:
        async def put() -> str:
            async with _stores(settings) as (records, images):
                return await publish_challenger(
                    records,
                    images,
                    settings,
                    folder=bundle,
                    report=report,
                    manifest=manifest,
                    run_id=order.run_id,
                )

        return asyncio.run(put())

    try:
        own = order.model_copy(update={"champion": asyncio.run(find_champion())})
        return Run(own, folder, read_archive=read_archive, publish=publish).perform()
    except (ExportFailed, WeightsNotFound) as error:
        log.exception("no challenger can be built")
        return Outcome(state="failed", failure=str(error))


@contextlib.asynccontextmanager
async def _stores(settings: Settings) -> AsyncIterator[tuple[RecordStore, ImageStore]]:
    records, images = record_store(settings.records_url), image_store(settings.images_url, settings.s3_options)
    await records.open()
    try:
        await images.open()
        try:
            yield records, images
        finally:
            await images.close()
    finally:
        await records.close()


def _bound(order: Order) -> None:
    """Take what the stream leaves, and no more than the order allows."""
    take_lowest_priority()
    memory = order.memory_mib * _MIB
    # Of data, not of the address space: torch maps gigabytes of libraries that it never touches.
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    # Of all its processes together, with a minute at least to say so.
    seconds = max(60, int(order.cpu_hours * 3600 - order.spent_cpu_s))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 60))


if __name__ == "__main__":
    main()
