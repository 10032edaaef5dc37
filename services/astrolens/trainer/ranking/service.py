"""Keeps the interest rankings: learns again after every answer, and now and then as the archive grows."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from time import monotonic
from typing import Final

import structlog

from astrolens.contracts.base import utc_now
from astrolens.contracts.rankings import MAX_RANKED, SHARED_RANKING, RankingRecord, personal_ranking
from astrolens.contracts.records import Answer
from astrolens.platform.errors import ModelUnavailable
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Document, RecordStore
from astrolens.rpc.model_client import ModelClient
from astrolens.trainer.metrics import TrainerMetrics
from astrolens.trainer.ranking.features import PoolFeatures, pool_features
from astrolens.trainer.ranking.interest import LearnedRanking, learn_ranking
from astrolens.trainer.ranking.pool import ASKED_FOR_NEIGHBOURS, Answers, PoolReader

POOL_LASTS: Final = timedelta(seconds=60)
"""So long the images of a pool serve before they are read again. Answers are read at every pass."""

_SAME_TIME: Final = datetime.min.replace(tzinfo=UTC)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Pool:
    """The images that are ranked.

    Attributes:
        documents: By id.
        features: Of those documents.
        model_digest: The bundle that analysed them.
        read_at: When the strangest images and the sample were read.
        looked_for: Answered images that were looked for, in the pool or not to be had.
        expanded: Interesting images whose neighbours were looked for.
    """

    documents: dict[str, Document]
    features: PoolFeatures
    model_digest: str
    read_at: datetime
    looked_for: frozenset[str] = frozenset()
    expanded: frozenset[str] = frozenset()


class InterestRanker:
    """Learns rankings and stores them as documents with versions.

    Args:
        records: The record store.
        model: Describes the model in use.
        metrics: Times and counts.
        personal: Whether each person who answers has a ranking of his own beside the shared one.
        clock: The present time.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        model: ModelClient,
        metrics: TrainerMetrics,
        personal: bool = False,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._records = records
        self._model = model
        self._metrics = metrics
        self._personal = personal
        self._clock = clock
        self._reader = PoolReader(records, model)
        self._pool: _Pool | None = None
        self._answerers: set[str] = set()

    def note_answerer(self, user: str) -> None:
        """Somebody has answered: the next pass learns his ranking too, where people have their own."""
        if self._personal:
            self._answerers.add(user)

    async def run_pass(self) -> None:
        """Learn the shared ranking, and those of the people who answered since the last pass.

        Raises:
            StoreUnavailable: The record store is unreachable; the next pass learns from the same answers.
        """
        begun = monotonic()
        try:
            digest = (await self._model.describe()).digest
        except ModelUnavailable:
            return  # The readiness check says so; the last ranking stands.
        answers = await self._reader.read_answers()
        people = sorted(self._answerers)
        self._answerers.clear()
        self._pool = await self._with_answered(await self._current_pool(digest), answers)
        await self._learn_all(answers, people)
        self._metrics.ranking_seconds.observe(monotonic() - begun)
        # Whoever answered sees the new order by now: what takes longer comes after it.
        before = self._pool
        if before is None or self._clock() - before.read_at >= POOL_LASTS:
            self._pool = None
            self._pool = await self._with_answered(await self._current_pool(digest), answers)
        self._pool = await self._with_neighbours(self._pool, answers)
        if self._pool is not before:
            await self._learn_all(answers, people)

    async def _learn_all(self, answers: Answers, people: Sequence[str]) -> None:
        if self._pool is None:
            return
        await self._learn(SHARED_RANKING, answers, self._pool)
        for user in people:
            await self._learn(personal_ranking(user), await self._reader.read_answers(user), self._pool)

    async def _current_pool(self, digest: str) -> _Pool | None:
        """The pool as it was, or read anew where there is none of this model."""
        if self._pool is not None and self._pool.model_digest == digest:
            return self._pool
        documents = await self._reader.read_pool(digest)
        return await _pool_of(documents, digest, self._clock()) if documents else None

    async def _with_answered(self, pool: _Pool | None, answers: Answers) -> _Pool | None:
        """The pool with every answered image that can be had."""
        if pool is None:
            return None
        asked = frozenset(answers.by_image)
        missing = asked - pool.looked_for - pool.documents.keys()
        found = await self._reader.read_images(missing, pool.model_digest) if missing else {}
        return replace(await _joined(pool, found), looked_for=pool.looked_for | asked)

    async def _with_neighbours(self, pool: _Pool | None, answers: Answers) -> _Pool | None:
        """The pool with what looks like the newest interesting images."""
        if pool is None:
            return None
        interesting = [image for image, answer in answers.by_image.items() if answer is Answer.INTERESTING]
        asked = [image for image in interesting[:ASKED_FOR_NEIGHBOURS] if image not in pool.expanded]
        if not asked:
            return pool
        near = await self._reader.neighbours(asked, pool.model_digest)
        missing = [image for image in near if image not in pool.documents]
        found = await self._reader.read_images(missing, pool.model_digest) if missing else {}
        return replace(await _joined(pool, found), expanded=pool.expanded | set(asked))

    async def _learn(self, name: str, answers: Answers, pool: _Pool) -> None:
        stored = (await self._records.get(Collection.RANKINGS, [name])).get(name)
        before = RankingRecord.model_validate(stored) if stored else None
        learned = await asyncio.to_thread(learn_ranking, pool.features, answers.by_image)
        after = _record(name, before, learned, answers, pool, now=self._clock())
        if before is not None and _content(before) == _content(after):
            return
        await self._records.upsert(Collection.RANKINGS, [after])
        self._metrics.rankings_learned.inc()
        _log.info("ranking learned", ranking=name, version=after.version, answers=after.answers)


async def _pool_of(documents: dict[str, Document], digest: str, read_at: datetime) -> _Pool:
    # Components of thousands of embeddings take tens of milliseconds: not on the event loop.
    features = await asyncio.to_thread(pool_features, list(documents.values()), seed=0)
    return _Pool(documents, features, digest, read_at)


async def _joined(pool: _Pool, found: Mapping[str, Document]) -> _Pool:
    """The pool with more images; where they are too many, the last of the old ones go."""
    new = {image: document for image, document in found.items() if image not in pool.documents}
    if not new:
        return pool
    room = max(MAX_RANKED - len(new), 0)
    documents = dict(islice(pool.documents.items(), room)) | dict(islice(new.items(), MAX_RANKED))
    grown = await _pool_of(documents, pool.model_digest, pool.read_at)
    return replace(grown, looked_for=pool.looked_for, expanded=pool.expanded)


def _record(
    name: str, before: RankingRecord | None, learned: LearnedRanking, answers: Answers, pool: _Pool, *, now: datetime
) -> RankingRecord:
    ids = pool.features.image_ids
    place = {int(row): rank for rank, row in enumerate(learned.order)}
    counts: dict[str, int] = {}
    for answer in answers.by_image.values():
        counts[answer.value] = counts.get(answer.value, 0) + 1
    return RankingRecord(
        ranking=name,
        version=1 if before is None else before.version + 1,
        learned_at=now,
        last_answer_at=answers.newest,
        model_digest=pool.model_digest,
        answers=counts,
        image_ids=tuple(ids[row] for row in learned.order),
        interest=tuple(round(float(learned.interest[row]), 4) for row in learned.order),
        artefact=tuple(round(float(learned.artefact[row]), 4) for row in learned.order),
        queue=tuple(place[int(row)] for row in learned.queue),
        prefers=learned.prefers,
        avoids=learned.avoids,
    )


def _content(record: RankingRecord) -> RankingRecord:
    """A ranking as if it had been learned once and at the same time: what a reader would see differ."""
    return record.model_copy(update={"version": 1, "learned_at": _SAME_TIME})
