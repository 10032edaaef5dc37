"""The real console over a made-up archive, without bus and model server.

`python -m tests.browser.serve HOME PORT COUNT`
"""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import NormalDist
from typing import Any

import uvicorn
from astrolens.console.application import create_application
from astrolens.console.main import build_context
from astrolens.console.stream import POLL_INTERVAL_S
from astrolens.contracts.records import PendingEvent
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.runtime.periodic import PeriodicTask
from astrolens.platform.settings import Settings
from astrolens.platform.stores.images import ImageStore
from astrolens.platform.stores.open import image_store, record_store
from astrolens.platform.stores.records import Collection, Query, RecordStore
from astrolens.rpc.messages import Description
from astrolens.rpc.model_client import ModelClient, Neighbour, UnknownToModel
from astrolens.usecases.model_status import ModelStatus
from fastapi import FastAPI

from tests.browser import sky
from tests.browser.models import fill_models

CONSOLE_MD = Path(__file__).resolve().parents[2] / "docs" / "console.md"
DOCUMENTED = re.compile(r"```python\n(# answers.py\n.*?)```", re.DOTALL)
"""The page in docs/console.md."""


class NoBus:
    """Labels stay pending, as while a broker is unreachable."""

    async def release(self, collection: Collection, documents: Sequence[tuple[str, Sequence[PendingEvent]]]) -> None:
        """Leave the events pending."""

    async def publish(self, events: Sequence[PendingEvent]) -> None:
        """Take dead letters that are sent again."""


class CannedModel(ModelClient):
    """A model server that knows the first images and looks like a bell curve."""

    def __init__(self, records: RecordStore) -> None:
        super().__init__("127.0.0.1:9")
        self._records = records

    async def describe(self) -> Description:
        """What a small bundle would say."""
        probabilities = [index / 100 for index in range(1, 100)] + [0.995, 0.999]
        scores = [NormalDist().inv_cdf(p) for p in probabilities]
        strip = {"probabilities": probabilities, "scores": scores}
        summary = {
            "name": "first-light",
            "version": "1",
            "digest": "ab" * 32,
            "preprocessing_digest": "cd" * 32,
            "calibration_id": "first-light-1@10.0",
            "execution_provider": "CPUExecutionProvider",
            "alpha": sky.ALPHA,
            "classes": list(sky.CLASSES),
            "detectors": list(sky.DETECTORS),
            "surveys": list(sky.SURVEYS),
            "indexed_images": 1000,
        }
        strips = dict.fromkeys((*sky.DETECTORS, "combined"), strip)
        whole = {
            **summary,
            "embedding_dim": 192,
            "figures": {
                "cpu_ms_per_image": 3.6,
                "test": {
                    "sdss": {
                        "morphology": {
                            "n": 600,
                            "accuracy": 0.913,
                            "accuracy_interval": [0.89, 0.93],
                            "macro_f1": 0.88,
                        },
                        "false_alarms": {"n": 600, "flagged": 6, "rate": 0.01, "interval": [0.004, 0.02]},
                        "oddities": {
                            "n": 62,
                            "auroc": {"combined": 0.91, "msp": 0.7},
                            "auroc_interval": [0.88, 0.94],
                            "recall_at_budget": 0.46,
                            "curve": [[0.001, 0.17], [0.01, 0.27], [0.1, 0.6]],
                        },
                    }
                },
            },
            "model_card": "# first-light\n\nA card with <b>markup</b> that must stay text.\n",
            "calibration": {
                "id": "first-light-1",
                "alpha": sky.ALPHA,
                "surveys": {survey: {"images": 800, "strips": strips} for survey in sky.SURVEYS},
            },
        }
        return Description(summary, whole)

    async def similar(self, image_id: str, k: int) -> tuple[str, list[Neighbour]]:
        """The first images there are."""
        page = await self._records.find(Collection.IMAGES, Query(limit=k + 1))
        ids = [document["image_id"] for document in page.documents if document["image_id"] != image_id][:k]
        if not ids:
            raise UnknownToModel(image_id)
        return "ab" * 32, [Neighbour(each, 0.99 - 0.01 * index) for index, each in enumerate(ids)]


class PooledImages:
    """An image store where every cutout is one of a pool: a hundred thousand images need 48 files."""

    def __init__(self, inner: ImageStore) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    async def get(self, key: str) -> bytes:
        """The picture of a key."""
        return await self._inner.get(_pooled(key))

    async def link(self, key: str, **how: Any) -> str | None:
        """Where the picture of a key is served."""
        return await self._inner.link(_pooled(key), **how)


def _pooled(key: str) -> str:
    return f"pool/{int(Path(key).stem[:8], 16) % sky.POOL}.jpg"


def application(home: Path, port: int, count: int) -> FastAPI:
    """The console as `main` builds it, with its stores opened by the application's own life."""
    settings = Settings(home=home, port=port, log_level="WARNING")
    records, files = record_store(settings.records_url), image_store(settings.images_url, settings.s3_options)
    bus, model = NoBus(), CannedModel(records)
    context = build_context(
        settings,
        records=records,
        images=PooledImages(files),  # type: ignore[arg-type]
        releaser=bus,
        publisher=bus,
        model_client=model,
        model_status=ModelStatus(model),
    )

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        await records.open()
        await files.open()
        if not (await records.find(Collection.IMAGES, Query(limit=1))).documents:
            await sky.fill(records, files, count)
            if count:
                page = await records.find(Collection.IMAGES, Query(limit=20, fields=("image_id",)))
                await fill_models(records, [document["image_id"] for document in page.documents])
        await context.credentials.start(host=settings.host, needed=context.login_needed, key=b"k" * 32)
        stream = context.stream
        polling = PeriodicTask(
            "status stream", stream.poll, interval_s=POLL_INTERVAL_S, condition=Condition(), wake=stream.wake
        )
        stopping = asyncio.Event()
        tasks = [asyncio.create_task(polling.run(stopping)), asyncio.create_task(_beat(records, count))]
        yield
        for task in tasks:
            task.cancel()
        await context.stream.close()
        await files.close()
        await records.close()

    web = create_application(context, lifespan=life)
    os.environ.setdefault("NICEGUI_STORAGE_PATH", str(home / "console"))
    from astrolens.console import pages

    options = pages.mount(context, (*pages.PAGES, documented_page()))
    from nicegui import ui

    ui.run_with(web, **options)
    return web


def documented_page() -> Any:
    """The page that docs/console.md makes."""
    module: dict[str, Any] = {}
    exec(DOCUMENTED.search(CONSOLE_MD.read_text())[1], module)  # type: ignore[index]  # noqa: S102
    return module["PAGE"]


async def _beat(records: RecordStore, count: int) -> None:
    """Heartbeats of the services that live."""
    while count:
        services, _ = sky.statuses(sky.datetime.now(sky.UTC))
        await records.upsert(Collection.SERVICES, sky.documents(services))
        await asyncio.sleep(2)


if __name__ == "__main__":
    uvicorn.run(
        application(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])),
        host="127.0.0.1",
        port=int(sys.argv[2]),
        log_level="warning",
    )
