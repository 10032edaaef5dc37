"""`python -m tests.bench.ranking_latency`: from an answer to the new order, with a large archive behind it.

The trainer's own code on an SQLite archive as `make bench-growth` fills it: an answer is recorded, a pass learns the
ranking and stores it, and the first page of the new order is read. Bus and debounce are left out (`_DEBOUNCE_S` of
`trainer/main.py`, and some milliseconds). The pool is read again every minute, and neighbours are looked up, after the
new order is stored; what that takes is told apart. Similar images come from the product's own index, filled with the
first `--indexed` images of the archive.
"""

import argparse
import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from astrolens.contracts.base import utc_now
from astrolens.contracts.rankings import SHARED_RANKING, RankingRecord
from astrolens.contracts.records import Answer
from astrolens.inference.similarity.index import SimilarityIndex, UnknownImage
from astrolens.inference.similarity.vector_index import VectorIndex
from astrolens.platform.settings import PACKAGED_BUNDLE
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.open import record_store
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import Query, RecordStore
from astrolens.platform.telemetry.metrics import Metrics
from astrolens.rpc.model_client import ModelClient, Neighbour, UnknownToModel
from astrolens.science.bundle import Bundle
from astrolens.trainer.metrics import TrainerMetrics
from astrolens.trainer.ranking.features import embedding_of
from astrolens.trainer.ranking.service import InterestRanker
from astrolens.usecases.image_queries import ImageFilter, Sort
from astrolens.usecases.labelling import Labelling, LabelRequest
from astrolens.usecases.originals import OriginalsProtection
from astrolens.usecases.rankings import Rankings

from tests.bench.archive import Model, image_id
from tests.bench.growth_archives import Plan, sqlite_archive

_BETWEEN_ANSWERS = timedelta(seconds=2)
"""What a person needs: so often the pool is old."""
_OUTSIDE = 10
"""Every so manieth answer is about an image that need not be in the pool."""


class IndexedModel:
    """The model server, as the ranking needs it: its digest and its similarity index."""

    def __init__(self, digest: str, index: SimilarityIndex) -> None:
        self._digest = digest
        self._index = index

    async def describe(self) -> Any:
        return SimpleNamespace(digest=self._digest)

    async def similar(self, image: str, k: int) -> tuple[str, list[Neighbour]]:
        try:
            found = await asyncio.to_thread(self._index.like_image, image, k)
        except UnknownImage as error:
            raise UnknownToModel(image) from error
        return self._digest, [Neighbour(*each) for each in found]


class NoBus:
    """Publishes nothing."""

    async def release(self, *_: Any) -> None:
        return None


@dataclass
class Clock:
    """A clock that a person's pace moves on."""

    ahead: timedelta = field(default_factory=timedelta)

    def now(self) -> datetime:
        return utc_now() + self.ahead


async def measure(records: RecordStore, model: IndexedModel, *, images: int, answers: int) -> dict[str, Any]:
    """Answer images of the queue, and now and then any image; time each answer to the page of the new order."""
    clock, rng = Clock(), np.random.default_rng(0)
    stored: list[tuple[float, float]] = []
    upsert = records.upsert

    async def watched(collection: Collection, documents: Sequence[Any]) -> None:
        await upsert(collection, documents)
        if collection is Collection.RANKINGS:
            stored.append((time.perf_counter(), time.process_time()))

    records.upsert = watched  # type: ignore[method-assign]
    ranker = InterestRanker(
        records=records, model=cast("ModelClient", model), metrics=TrainerMetrics(Metrics("trainer")), clock=clock.now
    )
    originals = OriginalsProtection(cast("Any", None), expiring=False)
    labelling = Labelling(records=records, releaser=cast("Any", NoBus()), originals=originals)
    rankings = Rankings(records=records)
    begun = time.perf_counter()
    await ranker.run_pass()
    first_s = time.perf_counter() - begun
    wall, cpu, after = [], [], []
    for number in range(answers):
        document = (await records.get(Collection.RANKINGS, [SHARED_RANKING]))[SHARED_RANKING]
        ranking = RankingRecord.model_validate(document)
        wanted = ranking.image_ids[ranking.queue[0]]
        if number % _OUTSIDE == _OUTSIDE - 1:
            wanted = image_id(int(rng.integers(images)))
        answer = (Answer.INTERESTING, Answer.ARTEFACT, Answer.ORDINARY)[int(rng.integers(3))]
        stored.clear()
        start, start_cpu = time.perf_counter(), time.process_time()
        await labelling.answer(LabelRequest(image_id=wanted, answer=answer), user="bench")
        await ranker.run_pass()
        ended = time.perf_counter()
        page, page_cpu = time.perf_counter(), time.process_time()
        await rankings.page(ImageFilter(), user="bench", sort=Sort.USEFUL, limit=20)
        read, read_cpu = time.perf_counter() - page, time.process_time() - page_cpu
        wall.append(stored[0][0] - start + read)
        cpu.append(stored[0][1] - start_cpu + read_cpu)
        after.append(ended - stored[0][0])
        clock.ahead += _BETWEEN_ANSWERS
    return {
        "images": images,
        "answers": answers,
        "pool": len(ranking.image_ids),
        "first_pass_s": round(first_s, 2),
        "answer_to_order_s": _percentiles(wall),
        "answer_to_order_cpu_s": _percentiles(cpu),
        "afterwards_s": _percentiles(after),
    }


async def index_of(records: RecordStore, bundle: Bundle, count: int) -> SimilarityIndex:
    """The similarity index of the first `count` images of an archive."""
    index = SimilarityIndex(VectorIndex(bundle.centroids))
    query = Query(limit=2000, fields=("analysis.embedding",))
    async for page in pages(records, Collection.IMAGES, query):
        index.add((each["image_id"], embedding_of(each).astype("<f2").tobytes()) for each in page)
        if len(index) >= count:
            break
    return index


def _percentiles(seconds: list[float]) -> dict[str, float]:
    return {f"p{at}": round(float(np.percentile(seconds, at)), 3) for at in (50, 95, 100)}


def main() -> None:
    """Measure one archive and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archive", type=Path, required=True, help="folder that keeps the archives of bench-growth")
    parser.add_argument("--images", type=int, default=100_000, help="size of the archive")
    parser.add_argument("--database", type=Path, help="a copy of this filled archive instead")
    parser.add_argument("--indexed", type=int, default=20_000, help="images in the similarity index")
    parser.add_argument("--answers", type=int, default=100)
    options = parser.parse_args()
    bundle = Bundle.load(PACKAGED_BUNDLE)
    model = Model.of(bundle)

    def say(text: str) -> None:
        print(text, flush=True)

    with tempfile.TemporaryDirectory(dir=options.archive) as scratch:
        if options.database is not None:
            for suffix in ("", "-wal"):
                if (path := Path(f"{options.database}{suffix}")).exists():
                    shutil.copy(path, Path(scratch) / f"records.sqlite{suffix}")
            url = f"sqlite:///{scratch}/records.sqlite"
        else:
            plan = Plan(
                folder=options.archive,
                scratch=Path(scratch),
                model=model,
                images=0,
                rounds=0,
                fill_s=3_600.0,
                start_s=60.0,
            )
            url = sqlite_archive(plan, options.images, say).settings["records_url"]
        print(json.dumps(asyncio.run(_run(url, bundle, model, options)), indent=2))


async def _run(url: str, bundle: Bundle, model: Model, options: argparse.Namespace) -> dict[str, Any]:
    records = record_store(url)
    await records.open()
    try:
        images = sum((await records.tally(Collection.IMAGES, "state")).values())
        index = await index_of(records, bundle, options.indexed)
        served = IndexedModel(model.digest, index)
        return await measure(records, served, images=images, answers=options.answers)
    finally:
        await records.close()


if __name__ == "__main__":
    main()
