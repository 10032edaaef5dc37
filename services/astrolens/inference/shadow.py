"""A candidate scores the live stream beside the bundle in use: no verdict and no alert comes of it.

Live images wait in a short queue and are dropped when the comparison is behind or the server busy. When nothing comes,
recent images of the archive are read instead, so that a quiet night ends a comparison too. One thread
does all of it, a few images at a time; what was compared is stored after each pass, so that a crash costs seconds.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import structlog

from astrolens.contracts.base import utc_now, utc_text
from astrolens.contracts.ids import content_digest
from astrolens.contracts.models import ModelRecord, ModelState, ShadowRecord
from astrolens.contracts.records import ImageState
from astrolens.inference.engine import Engine, Item, ItemResult, Outcome
from astrolens.inference.loaded_model import load_engine
from astrolens.inference.model_metrics import ModelMetrics
from astrolens.inference.shadow_comparison import Judgement, compared, is_comparable, judgement
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.settings import Settings
from astrolens.platform.signing import load_verifier
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import ImageStore
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import Change, Clause, Document, Order, Query, RecordStore
from astrolens.science.bundle import BundleDamaged
from astrolens.usecases.model_promotion import read_current, state_of
from astrolens.usecases.model_registry import BundleRefused, ModelRegistry
from astrolens.usecases.survey_models import read_survey_models

MAX_QUEUED: Final = 64
"""Live images that wait for the candidate; further ones pass by."""
BUSY_ABOVE: Final = 32
"""Images that wait for the bundle in use: a full batch more than is being worked on. Then nothing is compared."""
CHUNK: Final = 8
LIVE_PER_PASS: Final = 16
"""Live images that a pass compares at most: every 2 s, some 5 % of a core. A thread of lower priority instead would
hold the interpreter's lock while it waits for a core, and the stream with it."""
REPLAYED_PER_PASS: Final = 32
"""Images of the archive that a pass compares at most."""
_PAGE: Final = 100
_BY: Final = "model-server"

T = TypeVar("T")
Arguments = ParamSpec("Arguments")

ChampionScores = tuple[float, float]
"""Rank score and p-value of an image by the bundle in use."""

_log = structlog.get_logger(__name__)


class ShadowRunner:
    """Compares one candidate at a time; of several model servers the one that holds the lease does.

    Args:
        records: The record store.
        images: The image store.
        settings: Keys that are trusted, the budget, and on how many images a new candidate is compared.
        metrics: How far it is.
        serving: Digest of the bundle that this process has loaded, which is the one in use. Where it refuses the
            promoted one, that is another.
        queued: Images that wait for the bundle in use.
        clock: The present time.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        images: ImageStore,
        settings: Settings,
        metrics: ModelMetrics,
        serving: Callable[[], str],
        queued: Callable[[], int],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._records = records
        self._images = images
        self._settings = settings
        self._metrics = metrics
        self._serving = serving
        self._queued = queued
        self._clock = clock
        self._registry = ModelRegistry(records=records, images=images, clock=clock)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="shadow")
        self._live: deque[tuple[Item, ChampionScores]] = deque()
        self._dropped = 0
        self._engine: Engine | None = None
        self._record: ShadowRecord | None = None
        self._replay_after: str | None = None
        self._replay_ended = False

    def submit(self, items: Sequence[Item], outcomes: Sequence[Outcome]) -> None:
        """Queue what the bundle in use has just analysed, as far as there is room. Does nothing without a candidate."""
        if self._record is None:
            return
        busy = self._queued() > BUSY_ABOVE
        for item, outcome in zip(items, outcomes, strict=True):
            if not item.image_id or not isinstance(outcome, ItemResult):
                continue
            scores = outcome.scores
            if not is_comparable(scores.calibration_fit):
                continue
            if busy or len(self._live) >= MAX_QUEUED:
                self._dropped += 1
            else:
                self._live.append((item, (scores.rank_score, scores.p_value)))

    async def run_pass(self) -> None:
        """Compare what waits; then, in idle time, some of the archive; store what came out.

        Raises:
            StoreUnavailable: A store is unreachable; the next pass goes on.
        """
        record = await self._open_comparison()
        if record is None or self._engine is None:
            return
        before = record
        for _ in range(LIVE_PER_PASS // CHUNK):
            if not self._live or record.images >= record.wanted:
                break
            chunk = [self._live.popleft() for _ in range(min(CHUNK, len(self._live)))]
            items = [item for item, _ in chunk]
            record = await self._compare_images(
                record, items, {item.image_id: known for item, known in chunk}, replayed=False
            )
        if record is before and self._queued() == 0 and record.images < record.wanted:
            record = await self._replay(record)
        dropped, self._dropped = self._dropped, 0
        record = record.model_copy(update={"dropped": record.dropped + dropped})
        if record.images >= record.wanted:
            record = record.model_copy(update={"finished_at": self._clock()})
            self._metrics.shadow_ended.labels("finished").inc()
            _log.info("comparison finished", digest=record.digest, newly_anomalous=record.newly_anomalous)
        await self._store(record)

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _open_comparison(self) -> ShadowRecord | None:
        """The comparison under way, with its candidate loaded; None where there is none."""
        current = await read_current(self._records)
        if current is None:
            return None
        champion = self._serving()
        summaries = await self._summaries()
        open_ones = [summary for summary in summaries.values() if summary["finished_at"] is None]
        for summary in open_ones:
            # One with the promoted bundle waits where this process has yet to load that.
            if summary["champion_digest"] not in {champion, current.digest} or summary["digest"] == current.digest:
                # Another bundle serves meanwhile: what was compared stays, nothing is added.
                ended = Change(id=summary["digest"], set={"finished_at": utc_text(self._clock())})
                await self._records.apply(Collection.SHADOWS, [ended])
        fitting = [
            summary
            for summary in open_ones
            if summary["champion_digest"] == champion and summary["digest"] != current.digest
        ]
        if not fitting:
            self._forget()
            if (started := await self._start_next(champion, known=summaries)) is None:
                return None
            fitting = [{"digest": started.digest, "began_at": utc_text(started.began_at)}]
        summary = min(fitting, key=lambda each: (each["began_at"], each["digest"]))
        under_way = self._record
        if under_way and (under_way.digest, utc_text(under_way.began_at)) == (summary["digest"], summary["began_at"]):
            return under_way
        self._forget()
        document = (await self._records.get(Collection.SHADOWS, [summary["digest"]])).get(summary["digest"])
        if document is None:
            return None
        record = ShadowRecord.model_validate(document)
        try:
            self._engine = await self._load(record.digest)
        except (BundleDamaged, BundleRefused, ConfigurationError) as error:
            await self._give_up(record, str(error))
            return None
        self._record = record
        self._metrics.compare(record)
        return record

    async def _summaries(self) -> dict[str, Document]:
        """Every comparison without its columns."""
        found: dict[str, Document] = {}
        query = Query(limit=_PAGE, fields=("champion_digest", "began_at", "finished_at"))
        async for page in pages(self._records, Collection.SHADOWS, query):
            found |= {document["digest"]: document for document in page}
        return found

    async def _start_next(self, champion: str, *, known: Mapping[str, Document]) -> ShadowRecord | None:
        """Begin with the newest candidate whose gates passed and that was never compared.

        While the promoted bundle is not the one that serves, only a person begins: a swap may be under way.
        """
        current = await read_current(self._records)
        if self._settings.shadow_images == 0 or current is None or current.digest != champion:
            return None
        for record in await self._registry.read_all():
            was_compared = record.digest in known or any(each.state is ModelState.SHADOW for each in record.history)
            passed = record.gates.get("passed") is True and not record.is_installed
            if was_compared or not passed or state_of(record, current) is not ModelState.CANDIDATE:
                continue
            shadow = ShadowRecord(
                digest=record.digest,
                champion_digest=champion,
                wanted=self._settings.shadow_images,
                began_at=self._clock(),
            )
            await self._records.upsert(Collection.SHADOWS, [shadow])
            why = f"its gates passed; compared on {shadow.wanted} images"
            await self._registry.change_state(record, ModelState.SHADOW, by=_BY, why=why)
            return shadow
        return None

    async def _load(self, digest: str) -> Engine:
        verifier = await asyncio.to_thread(load_verifier, self._settings.model_trusted_keys)
        folder = await self._registry.fetch(digest, self._settings.home / "models", verifier=verifier)
        return await self._in_thread(self._load_folder, folder, digest)

    def _load_folder(self, folder: Path, digest: str) -> Engine:
        budget = self._settings.false_alarms_per_1000
        return load_engine(folder, budget=budget, expected_digest=digest)[3]

    async def _give_up(self, record: ShadowRecord, reason: str) -> None:
        self._metrics.shadow_ended.labels("given-up").inc()
        _log.error("candidate cannot be compared", digest=record.digest, reason=reason)
        self._forget()
        await self._records.delete(Collection.SHADOWS, [record.digest])
        found: ModelRecord = await self._registry.get(record.digest)
        await self._registry.change_state(
            found, ModelState.CANDIDATE, by=_BY, why=f"it cannot be compared: {reason}"[:500]
        )

    async def _compare_images(
        self, record: ShadowRecord, items: Sequence[Item], champion: Mapping[str, ChampionScores], *, replayed: bool
    ) -> ShadowRecord:
        assert self._engine is not None  # noqa: S101 - the caller has looked
        budgets = await self._budgets()
        outcomes = await self._in_thread(self._engine.analyze, items)
        pairs: dict[str, tuple[Judgement, Judgement]] = {}
        failed = 0
        for item, outcome in zip(items, outcomes, strict=True):
            if not isinstance(outcome, ItemResult):
                failed += 1
            elif is_comparable(outcome.scores.calibration_fit):
                alpha = budgets.get(item.survey, self._settings.false_alarms_per_1000) / 1000.0
                pairs[item.image_id] = (
                    judgement(*champion[item.image_id], alpha=alpha),
                    judgement(outcome.scores.rank_score, outcome.scores.p_value, alpha=alpha),
                )
        added = compared(record, pairs, replayed=replayed)
        return added.model_copy(update={"failed": added.failed + failed})

    async def _budgets(self) -> dict[str, float]:
        """False alarms per 1,000 of the surveys that have a budget of their own."""
        surveys = await read_survey_models(self._records)
        return {
            survey: record.false_alarms_per_1000
            for survey, record in surveys.items()
            if record.false_alarms_per_1000 is not None
        }

    async def _replay(self, record: ShadowRecord) -> ShadowRecord:
        """Compare some images of the archive, the newest first; of the bundle in use the stored figures."""
        if self._replay_ended:
            return record
        query = Query(
            order=Order("ingested_at", descending=True),
            limit=min(REPLAYED_PER_PASS, record.wanted - record.images),
            after=self._replay_after,
            where=(Clause("state", "eq", ImageState.ANALYZED.value),),
            fields=(
                *("observation.survey", "p_value", "rank_score", "cutout.key", "cutout.sha256"),
                *("analysis.model_digest", "analysis.calibration_fit"),
            ),
        )
        page = await self._records.find(Collection.IMAGES, query)
        self._replay_after, self._replay_ended = page.next, page.next is None
        documents = {each["image_id"]: each for each in page.documents if _is_comparable(each, record)}
        cutouts = await self._images.get_many([each["cutout"]["key"] for each in documents.values()])
        items = [
            Item(image, each["observation"]["survey"], jpeg)
            for image, each in documents.items()
            if (jpeg := cutouts.get(each["cutout"]["key"])) and content_digest(jpeg) == each["cutout"]["sha256"]
        ]
        champion = {image: (each["rank_score"], each["p_value"]) for image, each in documents.items()}
        return await self._compare_images(record, items, champion, replayed=True) if items else record

    async def _store(self, record: ShadowRecord) -> None:
        if record != self._record:
            await self._records.upsert(Collection.SHADOWS, [record])
        if record.finished_at is not None:
            self._forget()
        else:
            self._record = record
            self._metrics.compare(record)

    def _forget(self) -> None:
        self._record = self._engine = None
        self._metrics.compare(None)
        self._live.clear()
        self._dropped = 0
        self._replay_after, self._replay_ended = None, False

    async def _in_thread(
        self, work: Callable[Arguments, T], *arguments: Arguments.args, **named: Arguments.kwargs
    ) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(work, *arguments, **named))


def _is_comparable(document: Document, record: ShadowRecord) -> bool:
    analysis = document["analysis"]
    judged = analysis["model_digest"] == record.champion_digest and document["rank_score"] is not None
    comparable = is_comparable(analysis["calibration_fit"])
    return judged and comparable and document["image_id"] not in record.image_ids
