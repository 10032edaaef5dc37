"""Keeps the interest rankings: learns again after every answer, and now and then as the archive grows."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Final

import structlog

from astrolens.contracts.base import utc_now
from astrolens.contracts.rankings import SHARED_RANKING, RankingRecord, personal_ranking
from astrolens.platform.errors import ModelUnavailable
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import RecordStore
from astrolens.rpc.model_client import ModelClient
from astrolens.trainer.metrics import TrainerMetrics
from astrolens.trainer.ranking.features import PoolFeatures
from astrolens.trainer.ranking.interest import LearnedRanking, learn_ranking
from astrolens.trainer.ranking.pool import Answers, PoolReader

POOL_LASTS: Final = timedelta(seconds=60)
"""So long the images of a pool serve before they are read again. Answers are read at every pass."""

_SAME_TIME: Final = datetime.min.replace(tzinfo=UTC)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Pool:
    features: PoolFeatures
    model_digest: str
    read_at: datetime
    answered: frozenset[str]


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
        self._reader = PoolReader(records)
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
        pool = await self._current_pool(answers, digest)
        if pool is None:
            return
        await self._learn(SHARED_RANKING, answers, pool)
        while self._answerers:
            user = self._answerers.pop()
            await self._learn(personal_ranking(user), await self._reader.read_answers(user), pool)
        self._metrics.ranking_seconds.observe(monotonic() - begun)

    async def _current_pool(self, answers: Answers, digest: str) -> _Pool | None:
        """The pool, read again when it is old, of another model, or an answered image is not in it."""
        now = self._clock()
        pool = self._pool
        asked = frozenset(answers.by_image)
        if (
            pool is not None
            and pool.model_digest == digest
            and now - pool.read_at < POOL_LASTS
            and asked <= pool.answered | set(pool.features.image_ids)
        ):
            return pool
        features = await self._reader.read_pool(list(answers.by_image), digest)
        self._pool = None if features is None else _Pool(features, digest, now, asked)
        return self._pool

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
