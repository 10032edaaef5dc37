"""The images that the interest ranking ranks: a bounded number, however large the archive."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain, zip_longest
from math import ceil, log
from typing import Final, Protocol

from astrolens.contracts.records import Answer
from astrolens.contracts.verdicts import Verdict
from astrolens.platform.errors import ModelUnavailable
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import Clause, Document, Order, Query, RecordStore
from astrolens.rpc.model_client import Neighbour, UnknownToModel
from astrolens.trainer.ranking.features import FIELDS

MAX_ANSWERED: Final = 1500
"""Newest answered images that are read."""
MAX_ANOMALIES: Final = 1500
MAX_NEAR_MISSES: Final = 1000
MAX_NEIGHBOURS: Final = 500
"""Images that look like those which interested people."""
ASKED_FOR_NEIGHBOURS: Final = 50
"""Newest interesting images whose neighbours are looked up, one question of the similarity index each."""
NEIGHBOURS_EACH: Final = 20
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


class SimilarImages(Protocol):
    """The similarity index of the model server."""

    async def similar(self, image_id: str, k: int) -> tuple[str, list[Neighbour]]:
        """The digest of the model that answers, and the `k` images most like one, best first.

        Raises:
            UnknownToModel: The index does not know the image.
            ModelUnavailable: No server answers.
        """


class PoolReader:
    """Reads pools and answers.

    Args:
        records: The record store.
        similar: Finds images that look alike.
    """

    def __init__(self, records: RecordStore, similar: SimilarImages) -> None:
        self._records = records
        self._similar = similar

    async def read_answers(self, user: str | None = None) -> Answers:
        """The newest answers: the labels of images, or of one person.

        Raises:
            StoreUnavailable: The record store is unreachable.
        """
        query = Query(
            # Only labelled images have it: the newest are read along an index, however many there are.
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

    async def read_pool(self, model_digest: str) -> dict[str, Document]:
        """The strangest images and a random sample of the others, by id, with `FIELDS`.

        Args:
            model_digest: Images that another bundle analysed last are left out: their numbers mean something else.

        Raises:
            StoreUnavailable: The record store is unreachable.
        """
        found: dict[str, Document] = {}
        for verdict, limit in ((Verdict.ANOMALY, MAX_ANOMALIES), (Verdict.NEAR_MISS, MAX_NEAR_MISSES)):
            found |= await self._strangest(verdict, limit)
        found |= await self._sample(model_digest)
        return _usable(found, model_digest)

    async def read_images(self, image_ids: Iterable[str], model_digest: str) -> dict[str, Document]:
        """Named images, as `read_pool` gives them.

        Raises:
            StoreUnavailable: The record store is unreachable.
        """
        wanted = list(dict.fromkeys(image_ids))
        found: dict[str, Document] = {}
        for start in range(0, len(wanted), _PAGE):
            found |= await self._records.get(Collection.IMAGES, wanted[start : start + _PAGE], fields=FIELDS)
        return _usable(found, model_digest)

    async def neighbours(self, image_ids: Sequence[str], model_digest: str) -> list[str]:
        """Images that look like those which interested people: what the detectors may have missed.

        Each of them gives its nearest first, so that the limit cuts the farthest neighbours of all.
        """
        found: list[list[str]] = []
        for image in image_ids[:ASKED_FOR_NEIGHBOURS]:
            try:
                digest, neighbours = await self._similar.similar(image, NEIGHBOURS_EACH)
            except UnknownToModel:
                continue  # Another bundle analysed it last, or the index has not caught up yet.
            except ModelUnavailable:
                break  # The pool does without until it is read again.
            if digest == model_digest:
                found.append([neighbour.image_id for neighbour in neighbours])
        by_rank = chain.from_iterable(zip_longest(*found))
        return list(dict.fromkeys(image for image in by_rank if image is not None))[:MAX_NEIGHBOURS]

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


def _usable(documents: Mapping[str, Document], model_digest: str) -> dict[str, Document]:
    return {
        image: document
        for image, document in documents.items()
        if (analysis := document["analysis"])["model_digest"] == model_digest and analysis["embedding"]
    }


def _last_answer_of(user: str, document: Document) -> str | None:
    """One person's last answer about an image; None where there is none, or it was taken back."""
    answers = [label["answer"] for label in document["labels"] or () if label["user"] == user]
    return answers[-1] if answers else None
