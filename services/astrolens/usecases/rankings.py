"""The interest ranking as people see it: pages of images in its order, and what it has learned."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import structlog
from pydantic import Field, ValidationError

from astrolens.contracts.rankings import SHARED_RANKING, RankingRecord, personal_ranking
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Clause, Document, Query, RecordStore
from astrolens.usecases.errors import InvalidRequest
from astrolens.usecases.image_queries import ImageFilter, Neighbours, Sort
from astrolens.usecases.list_totals import COUNT_TIMEOUT_S, EXACT_BELOW, Total
from astrolens.usecases.sky_objects import answered_objects, first_by_place, images_per_object
from astrolens.usecases.views import ImageCard, ImagePage, View

_CHUNK = 200
"""Images of the ranking that are looked up at a time."""

_COUNTED = 1_000
"""Images of the ranking that are counted at a time."""

MIN_ANSWERS_OF_KINDS = 10
"""Answers before which nothing is said of what a ranking prefers: after one or two its order is still mostly chance."""

_log = structlog.get_logger(__name__)


class RankingView(View):
    """What a ranking has learned, without its images."""

    ranking: str = Field(description="`shared`, or `user:` and a name.")
    version: int = Field(description="Grows each time that it is learned; 0 before the first time.")
    learned_at: datetime | None
    last_answer_at: datetime | None = Field(description="The newest answer that it knows.")
    answers: dict[str, int] = Field(description="Images by the answer that it learned from.")
    images: int = Field(description="Images that it ranks.")
    prefers: list[str] = Field(
        description=f"Kinds of strangeness that its first images have more of, from {MIN_ANSWERS_OF_KINDS} answers on."
    )
    avoids: list[str] = Field(
        description=f"Kinds of strangeness that its first images have less of, from {MIN_ANSWERS_OF_KINDS} answers on."
    )
    model_digest: str | None

    @classmethod
    def of(cls, name: str, record: RankingRecord | None) -> "RankingView":
        """The view of a ranking; before the first time nothing is known."""
        tells_kinds = record is not None and sum(record.answers.values()) >= MIN_ANSWERS_OF_KINDS
        return cls(
            ranking=name,
            version=record.version if record else 0,
            learned_at=record.learned_at if record else None,
            last_answer_at=record.last_answer_at if record else None,
            answers=record.answers if record else {},
            images=len(record.image_ids) if record else 0,
            prefers=list(record.prefers) if record and tells_kinds else [],
            avoids=list(record.avoids) if record and tells_kinds else [],
            model_digest=record.model_digest if record else None,
        )


class Rankings:
    """Reads rankings.

    Args:
        records: The record store.
        personal: Whether people have rankings of their own; else all see the shared one.
    """

    def __init__(self, *, records: RecordStore, personal: bool = False) -> None:
        self._records = records
        self._personal = personal
        self._read: dict[str, RankingRecord] = {}

    async def summary(self, user: str) -> RankingView:
        """What the ranking of a person has learned."""
        name, record = await self._ranking(user)
        return RankingView.of(name, record)

    async def page(
        self,
        wanted: ImageFilter,
        *,
        user: str,
        sort: Sort,
        limit: int,
        after: str | None = None,
        start: str | None = None,
    ) -> ImagePage:
        """A page of ranked images that fulfil a filter. Images that the ranking does not name are left out.

        Args:
            wanted: Conditions; a position is not among them.
            user: Whose ranking, where people have their own.
            sort: `interest`, or `useful`: the unanswered images in the order that is most useful to answer.
            limit: Most images.
            after: Cursor of the page before: the last image. It holds although the ranking was learned again meanwhile;
                `useful` begins again where that image was answered.
            start: The first page begins with this image, where it is in the list; earlier where fewer than `limit`
                follow.

        Raises:
            InvalidRequest: The filter names a position, or the cursor an image that is not ranked any more.
        """
        _, record = await self._ranking(user)
        _refuse_place(wanted)
        if record is None:
            return ImagePage(items=[], next=None)
        rows = _rows(record, sort, wanted)
        places = _places(record, rows, wanted)
        if after is not None:
            rows = rows[_place_after(record, rows, after, sort) :]
        elif start in record.image_ids and (row := record.image_ids.index(start)) in rows:
            rows = rows[max(0, min(rows.index(row), len(rows) - limit)) :]
        found: list[ImageCard] = []
        async for row, document in self._walk(record, rows, wanted, sort, places):
            scores = {"interest": record.interest[row], "artefact_score": record.artefact[row]}
            found.append(ImageCard.of(document).model_copy(update=scores))
            if len(found) == limit:
                more = None if row == rows[-1] else found[-1].image_id
                return ImagePage(items=await self._seen(found, wanted), next=more)
        return ImagePage(items=await self._seen(found, wanted), next=None)

    async def _seen(self, cards: list[ImageCard], wanted: ImageFilter) -> list[ImageCard]:
        """Cards with the number of images of their object, in a list with one image an object."""
        if wanted.per != "object":
            return cards
        counts = await images_per_object(self._records, [{"object_id": card.object_id} for card in cards])
        return [card.model_copy(update={"object_images": counts.get(card.object_id or "", 1)}) for card in cards]

    async def total(self, wanted: ImageFilter, *, user: str, sort: Sort) -> Total:
        """How many images a ranked list has.

        Raises:
            InvalidRequest: The filter names a position.
        """
        _, record = await self._ranking(user)
        _refuse_place(wanted)
        if record is None:
            return Total(0)
        rows = _rows(record, sort, wanted)
        wanted = _to_check(wanted, sort)
        if wanted.per == "object":
            return await self._objects(record, rows, wanted)
        found = 0
        for start in range(0, len(rows), _COUNTED):
            ids = [record.image_ids[row] for row in rows[start : start + _COUNTED]]
            where = (Clause("image_id", "in", ids), *wanted.clauses())
            counted = await self._records.count(Collection.IMAGES, where, limit=_COUNTED, within_s=COUNT_TIMEOUT_S)
            if counted is None:
                return Total(None, exact=False)
            found += counted
        return Total(found)

    async def _objects(self, record: RankingRecord, rows: list[int], wanted: ImageFilter) -> Total:
        """How many objects of the sky a ranked list shows; None beyond `EXACT_BELOW` ranked images."""
        if len(rows) > EXACT_BELOW:
            return Total(None, exact=False)
        seen: set[str] = set()
        alone = 0
        for start in range(0, len(rows), _COUNTED):
            ids = [record.image_ids[row] for row in rows[start : start + _COUNTED]]
            where = (Clause("image_id", "in", ids), *wanted.clauses())
            query = Query(where=where, limit=_COUNTED, fields=("image_id", "object_id"))
            page = await self._records.find(Collection.IMAGES, query)
            objects = {each["object_id"] for each in page.documents if each.get("object_id")} - seen
            seen |= objects - (await answered_objects(self._records, list(objects)) if wanted.unlabeled else set())
            alone += sum(not each.get("object_id") for each in page.documents)
        return Total(len(seen) + alone)

    async def neighbours(self, image: str, wanted: ImageFilter, *, user: str, sort: Sort) -> Neighbours:
        """The images before and behind one in a ranked list; behind one that was answered, the first of the queue.

        Raises:
            InvalidRequest: The filter names a position.
        """
        _, record = await self._ranking(user)
        _refuse_place(wanted)
        if record is None:
            return Neighbours(None, None)
        rows = _rows(record, sort, wanted)
        places = _places(record, rows, wanted)
        at = next((place for place, row in enumerate(rows) if record.image_ids[row] == image), None)
        if at is None:
            return Neighbours(None, await self._first(record, rows, wanted, sort, places))
        before = await self._first(record, rows[:at][::-1], wanted, sort, places)
        return Neighbours(before, await self._first(record, rows[at + 1 :], wanted, sort, places))

    async def _first(
        self, record: RankingRecord, rows: list[int], wanted: ImageFilter, sort: Sort, places: Mapping[str, int]
    ) -> str | None:
        async for row, _ in self._walk(record, rows, wanted, sort, places):
            return record.image_ids[row]
        return None

    async def _walk(
        self, record: RankingRecord, rows: list[int], wanted: ImageFilter, sort: Sort, places: Mapping[str, int]
    ) -> AsyncIterator[tuple[int, Document]]:
        """Rows whose image fulfils the filter, in their order, with their documents."""
        wanted = _to_check(wanted, sort)
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            documents = await self._matching([record.image_ids[row] for row in chunk], wanted)
            kept = set(documents)
            if wanted.per == "object":
                kept = await first_by_place(self._records, wanted, places, list(documents.values()))
            for row in chunk:
                if (image := record.image_ids[row]) in kept:
                    yield row, documents[image]

    async def _matching(self, image_ids: Sequence[str], wanted: ImageFilter) -> dict[str, Document]:
        where = (Clause("image_id", "in", image_ids), *wanted.clauses())
        page = await self._records.find(Collection.IMAGES, Query(where=where, limit=_CHUNK))
        return {document["image_id"]: document for document in page.documents}

    async def _ranking(self, user: str) -> tuple[str, RankingRecord | None]:
        """The ranking of a person, or the shared one while he has none; its document is read when it has changed."""
        if self._personal and (record := await self._load(personal_ranking(user))) is not None:
            return record.ranking, record
        return SHARED_RANKING, await self._load(SHARED_RANKING)

    async def _load(self, name: str) -> RankingRecord | None:
        known = self._read.get(name)
        head = (await self._records.get(Collection.RANKINGS, [name], fields=("version",))).get(name)
        if head is None:
            return None
        if known is not None and known.version == head["version"]:
            return known
        document = (await self._records.get(Collection.RANKINGS, [name])).get(name)
        if document is None:
            return None
        try:
            record = RankingRecord.model_validate(document)
        except ValidationError as error:
            _log.error("a ranking cannot be read and is left out", ranking=name, error=str(error))
            return None
        self._read[name] = record
        return record


def _refuse_place(wanted: ImageFilter) -> None:
    if wanted.cone is not None:
        detail = "Images around a position cannot be sorted by interest: take sort=strangeness."
        raise InvalidRequest("No such order", detail)


def _to_check(wanted: ImageFilter, sort: Sort) -> ImageFilter:
    """What is left to check in the record store, which knows no artefact scores.

    An answer that came after the ranking was learned takes its image from the queue of the useful, too.
    """
    return replace(wanted, max_artefact=None, unlabeled=wanted.unlabeled or sort is Sort.USEFUL)


def _places(record: RankingRecord, rows: list[int], wanted: ImageFilter) -> dict[str, int]:
    """Where each image stands in a list with one image an object; other lists need it not."""
    if wanted.per != "object":
        return {}
    return {record.image_ids[row]: place for place, row in enumerate(rows)}


def _rows(record: RankingRecord, sort: Sort, wanted: ImageFilter) -> list[int]:
    rows = record.queue if sort is Sort.USEFUL else range(len(record.image_ids))
    most = wanted.max_artefact
    return [row for row in rows if most is None or record.artefact[row] <= most]


def _place_after(record: RankingRecord, rows: list[int], after: str, sort: Sort) -> int:
    try:
        return rows.index(record.image_ids.index(after)) + 1
    except ValueError:
        if sort is Sort.USEFUL:
            return 0  # It was answered, and the queue has been made anew since.
        detail = f"The cursor {after!r} names no image of the present ranking: begin again without `after`."
        raise InvalidRequest("Invalid cursor", detail) from None
