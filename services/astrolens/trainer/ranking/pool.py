"""The images that the interest ranking ranks: a bounded number, however large the archive."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from math import ceil, log
from typing import Final

from astrolens.contracts.rankings import MAX_RANKED
from astrolens.contracts.records import Answer
from astrolens.contracts.verdicts import Verdict
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import Clause, Document, Order, Query, RecordStore
from astrolens.trainer.ranking.features import FIELDS, PoolFeatures, pool_features

MAX_ANSWERED: Final = 2000
"""Newest answered images that are read."""
MAX_ANOMALIES: Final = 1500
MAX_NEAR_MISSES: Final = 1000
MAX_SAMPLE: Final = 500
"""Other images, drawn at random: what is ordinary, and what the detectors have missed."""
_PAGE: Final = 250
_HEX: Final = 16


class Answers:
    """Answers by image, and when the newest was given.

    Attributes:
        by_image: The label of each answered image, or one person's last answer.
        newest: When the newest answer was given; None where there is none.
    """

    def __init__(self, by_image: Mapping[str, Answer], newest: datetime | None) -> None:
        self.by_image = dict(by_image)
        self.newest = newest


class PoolReader:
    """Reads pools and answers.

    Args:
        records: The record store.
    """

    def __init__(self, records: RecordStore) -> None:
        self._records = records

    async def read_answers(self, user: str | None = None) -> Answers:
        """The newest answers: the labels of images, or of one person.

        Raises:
            StoreUnavailable: The record store is unreachable.
        """
        query = Query(
            where=(Clause("label", "in", [answer.value for answer in Answer]),),
            order=Order("labeled_at", descending=True),
            limit=_PAGE,
            fields=("label", "labeled_at", "labels"),
        )
        found: dict[str, Answer] = {}
        newest: datetime | None = None
        async for page in pages(self._records, Collection.IMAGES, query):
            for document in page:
                newest = newest or datetime.fromisoformat(document["labeled_at"])
                answer = document["label"] if user is None else _last_answer_of(user, document)
                if answer is not None:
                    found[document["image_id"]] = Answer(answer)
            if len(found) >= MAX_ANSWERED:
                break
        return Answers(found, newest)

    async def read_pool(self, answered: Sequence[str], model_digest: str) -> PoolFeatures | None:
        """The strangest images, those that were answered, and a random sample of the others, as features.

        Args:
            answered: Ids of answered images.
            model_digest: Images that another bundle analysed last are left out: their numbers mean something else.

        Returns:
            None where no image is left.

        Raises:
            StoreUnavailable: The record store is unreachable.
        """
        found: dict[str, Document] = {}
        for verdict, limit in ((Verdict.ANOMALY, MAX_ANOMALIES), (Verdict.NEAR_MISS, MAX_NEAR_MISSES)):
            found |= await self._strangest(verdict, limit)
        for start in range(0, min(len(answered), MAX_ANSWERED), _PAGE):
            ids = [image for image in answered[start : start + _PAGE] if image not in found]
            found |= await self._records.get(Collection.IMAGES, ids, fields=FIELDS) if ids else {}
        found |= await self._sample(model_digest)
        usable = [each for each in found.values() if _is_usable(each, model_digest)][:MAX_RANKED]
        if not usable:
            return None
        # Components of thousands of embeddings take tens of milliseconds: not on the event loop.
        return await asyncio.to_thread(pool_features, usable, seed=0)

    async def _strangest(self, verdict: Verdict, limit: int) -> dict[str, Document]:
        query = Query(
            where=(Clause("verdict", "eq", verdict.value),),
            order=Order("rank_score", descending=True),
            limit=_PAGE,
            fields=FIELDS,
        )
        found: dict[str, Document] = {}
        async for page in pages(self._records, Collection.IMAGES, query):
            found |= {document["image_id"]: document for document in page}
            if len(found) >= limit:
                break
        return found

    async def _sample(self, prefix: str) -> dict[str, Document]:
        """Random images: ids are digests, so that those with a common beginning are a random sample.

        The same beginning for as long as the model serves: a ranking changes with answers and images, not by chance.
        """
        images = sum((await self._records.tally(Collection.IMAGES, "state")).values())
        digits = max(0, ceil(log(max(images, 1) / MAX_SAMPLE, _HEX)))
        where = (Clause("image_id", "prefix", prefix[:digits]),) if digits else ()
        page = await self._records.find(Collection.IMAGES, Query(where=where, limit=MAX_SAMPLE, fields=FIELDS))
        return {document["image_id"]: document for document in page.documents}


def _is_usable(document: Document, model_digest: str) -> bool:
    analysis = document["analysis"]
    return analysis["model_digest"] == model_digest and bool(analysis["embedding"])


def _last_answer_of(user: str, document: Document) -> str | None:
    """One person's last answer about an image; None where there is none, or it was taken back."""
    answers = [label["answer"] for label in document["labels"] or () if label["user"] == user]
    return answers[-1] if answers else None
