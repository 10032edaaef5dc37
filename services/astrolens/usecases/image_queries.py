"""Lists of images: filters, sort orders and what people type, as queries of the record store."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from astrolens.contracts.base import utc_text
from astrolens.contracts.catalogues import CrossmatchStatus
from astrolens.contracts.records import Answer, ImageState
from astrolens.contracts.verdicts import Verdict
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Clause, Operator, Order, Query, RecordStore
from astrolens.usecases.coordinates import Cone
from astrolens.usecases.errors import InvalidRequest

Document = dict[str, Any]

MAX_LIMIT = 200
"""Longest page: a grid shows fewer, and 200 cards cost a few milliseconds."""

SEARCH_RADIUS_ARCSEC = 60.0
"""Radius of a search for `q=10.68 +41.27`: typed positions are seldom better than an arcminute."""

MAX_CONE_PAGES = 8
"""Store pages read for one page of a cone: the box holds little more than the cone, so more never helps."""

CANDIDATE_VERDICTS = (Verdict.ANOMALY, Verdict.NEAR_MISS)
"""The verdicts that make a candidate."""


class Sort(StrEnum):
    """Orders of a list of images."""

    STRANGENESS = "strangeness"
    NEWEST = "newest"
    LABELED = "labeled"
    ASYMMETRY = "asymmetry"
    CONCENTRATION = "concentration"
    GINI = "gini"
    RING = "ring"
    INTEREST = "interest"
    """What the answers say: the order of the interest ranking, which no field of an image holds."""
    USEFUL = "useful"
    """Unanswered images in the order that is most useful to answer, by the interest ranking."""


RANKED_SORTS = frozenset({Sort.INTEREST, Sort.USEFUL})
"""Orders of `usecases/rankings.py`."""


ORDERS = {
    Sort.STRANGENESS: Order("rank_score", descending=True),
    Sort.NEWEST: Order("ingested_at", descending=True),
    Sort.LABELED: Order("labeled_at", descending=True),
    Sort.ASYMMETRY: Order("morphology.asymmetry", descending=True),
    Sort.CONCENTRATION: Order("morphology.concentration", descending=True),
    Sort.GINI: Order("morphology.gini", descending=True),
    Sort.RING: Order("morphology.ring_score", descending=True),
}
"""A sort leaves out the images that lack its field: the unanalysed have no strangeness, and only candidates a
morphology."""


@dataclass(frozen=True, kw_only=True)
class ImageFilter:
    """Which images; every given condition must hold.

    `unlabeled` stands for `label=none`. `text` is what a person typed: `search_text.with_parsed_text` makes conditions
    of it, which needs the record store.
    """

    surveys: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    classes: tuple[str, ...] = ()
    labels: tuple[Answer, ...] = ()
    crossmatches: tuple[CrossmatchStatus, ...] = ()
    unlabeled: bool = False
    sources: tuple[str, ...] = ()
    batch: str | None = None
    states: tuple[ImageState, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    simulated: bool | None = None
    cone: Cone | None = None
    name: str | None = None
    """A part of the name, in any case: what no index finds."""
    name_prefix: str | None = None
    """How the name begins, in this case: found by an index."""
    object_id: str | None = None
    late_by: str | None = None
    per: Literal["image", "object"] | None = None
    """`object`: of the images of one object only the first in the list's order."""
    image_id: str | None = None
    id_prefix: str | None = None
    survey_object_prefix: str | None = None
    text: str | None = None
    text_radius_arcsec: float = SEARCH_RADIUS_ARCSEC
    max_artefact: float | None = None
    """Leaves out larger artefact scores, which only the interest ranking knows: `usecases/rankings.py`."""

    def clauses(self) -> tuple[Clause, ...]:
        """The conditions that the record store checks; a cone becomes the box around it.

        Raises:
            ValueError: The text has not become conditions.
            InvalidRequest: The list is not sorted by the interest ranking, but filtered by its artefact scores.
        """
        if self.max_artefact is not None:
            raise InvalidRequest(
                "No such filter",
                "Artefact scores are the interest ranking's: give max_artefact with sort=interest or sort=useful.",
            )
        if self.text is not None:
            raise ValueError("a typed text is no condition: call search_text.with_parsed_text first")
        found: list[Clause] = []
        for field, values in (
            ("observation.survey", self.surveys),
            ("verdict", self.verdicts),
            ("predicted_class", self.classes),
            ("label", self.labels),
            ("crossmatch_status", self.crossmatches),
            ("source", self.sources),
            ("state", self.states),
        ):
            found += _any_of(field, values)
        conditions: tuple[tuple[str, Operator, Any], ...] = (
            ("batch", "eq", self.batch),
            ("late_by", "eq", self.late_by),
            ("object_id", "eq", self.object_id),
            ("observation.simulated", "eq", self.simulated),
            ("ingested_at", "gte", self.since and utc_text(self.since)),
            ("ingested_at", "lt", self.until and utc_text(self.until)),
            ("image_id", "prefix", self.id_prefix),
            ("observation.extra.object_id", "prefix", self.survey_object_prefix),
            ("observation.name", "prefix", self.name_prefix),
            ("observation.name", "contains", self.name),
        )
        found += [Clause(field, op, value) for field, op, value in conditions if value is not None]
        if self.unlabeled:
            found.append(Clause("label", "exists", value=False))
        if self.cone is not None:
            chord = self.cone.chord
            for axis, centre in zip("xyz", self.cone.vector, strict=True):
                found.append(Clause(f"observation.position.{axis}", "gte", centre - chord))
                found.append(Clause(f"observation.position.{axis}", "lte", centre + chord))
        return tuple(found)

    def candidates(self) -> "ImageFilter":
        """The filter narrowed to candidates: whatever is not ordinary."""
        return replace(self, verdicts=CANDIDATE_VERDICTS)


@dataclass(frozen=True)
class ImagesFound:
    """Documents with their distance from the cone's centre (arcseconds) where a cone was asked for."""

    documents: list[Document]
    distances: list[float | None]
    next: str | None


async def find_images(
    records: RecordStore,
    wanted: ImageFilter,
    *,
    sort: Sort,
    limit: int,
    after: str | None = None,
    start: Document | None = None,
) -> ImagesFound:
    """One page of images.

    Args:
        records: The record store.
        wanted: Conditions.
        sort: Order; images without its field are left out.
        limit: Most images, 1 to 200. A cone's page may be shorter although `next` is set.
        after: Cursor of the page before.
        start: The first page begins with this image, or with what comes behind its place where it has left the list;
            earlier where fewer than `limit` follow, so that the page is full.
    """
    if wanted.image_id is not None:
        documents = list((await records.get(Collection.IMAGES, [wanted.image_id])).values())
        return ImagesFound(documents, [None] * len(documents), None)
    order = ORDERS[sort]
    where = wanted.clauses()
    if start is not None and after is None and (value := value_of(start, order)) is not None:
        where = (*where, Clause(order.field, "lte" if order.descending else "gte", value))
    found = await _find(records, wanted, Query(where=where, order=order, limit=limit, after=after))
    missing = limit - len(found.documents)
    if where == wanted.clauses() or found.next is not None or not missing:
        return found
    beyond = Clause(order.field, "gt" if order.descending else "lt", value)
    back = replace(order, descending=not order.descending)
    before = await _find(records, wanted, Query(where=(*wanted.clauses(), beyond), order=back, limit=missing))
    return ImagesFound(
        [*before.documents[::-1], *found.documents], [*before.distances[::-1], *found.distances], found.next
    )


async def _find(records: RecordStore, wanted: ImageFilter, query: Query) -> ImagesFound:
    if wanted.cone is None:
        page = await records.find(Collection.IMAGES, query)
        return ImagesFound(page.documents, [None] * len(page.documents), page.next)
    return await _find_in_cone(records, wanted.cone, query)


MAX_TIES = 500
"""Images with one value of the order among which a neighbour is looked for; strangeness and times have few."""


@dataclass(frozen=True)
class Neighbours:
    """The images beside one in a list; None at its ends."""

    previous: str | None
    next: str | None


async def neighbours(records: RecordStore, image: Document, wanted: ImageFilter, *, sort: Sort) -> Neighbours:
    """The images before and behind one in a list, by keyset: at whatever depth it costs three short walks.

    Args:
        records: The record store.
        image: The image's document; it may have left the list meanwhile, by an answer.
        wanted: Conditions of the list; of a cone the box around it.
        sort: Order of the list.
    """
    order = ORDERS[sort]
    value = value_of(image, order)
    if value is None:
        return Neighbours(None, None)
    where = wanted.clauses()
    ties = Query(where=(*where, Clause(order.field, "eq", value)), order=order, limit=MAX_TIES, fields=_NEIGHBOUR)
    tied = [document["image_id"] for document in (await records.find(Collection.IMAGES, ties)).documents]
    # One that has left the list stands before those of its value.
    at = tied.index(image["image_id"]) if image["image_id"] in tied else -1
    before = (
        tied[at - 1]
        if at > 0
        else await _beyond(records, where, replace(order, descending=not order.descending), value)
    )
    behind = tied[at + 1] if at + 1 < len(tied) else await _beyond(records, where, order, value)
    return Neighbours(before, behind)


def value_of(image: Document, order: Order) -> Any:
    """What an image is sorted by; None where it has no place in the order."""
    value: Any = image
    for key in order.field.split("."):
        value = (value or {}).get(key)
    return value


_NEIGHBOUR = ("image_id",)


async def _beyond(records: RecordStore, where: tuple[Clause, ...], order: Order, value: Any) -> str | None:
    """The first image beyond a value in an order."""
    beyond = Clause(order.field, "lt" if order.descending else "gt", value)
    query = Query(where=(*where, beyond), order=order, limit=1, fields=_NEIGHBOUR)
    found = (await records.find(Collection.IMAGES, query)).documents
    return found[0]["image_id"] if found else None


async def _find_in_cone(records: RecordStore, cone: Cone, query: Query) -> ImagesFound:
    documents: list[Document] = []
    distances: list[float | None] = []
    for _ in range(MAX_CONE_PAGES):
        page = await records.find(Collection.IMAGES, query)
        for document in page.documents:
            position = document["observation"]["position"]
            distance = cone.distance_arcsec(position["x"], position["y"], position["z"])
            if distance <= cone.radius_arcsec:
                documents.append(document)
                distances.append(distance)
        query = replace(query, after=page.next)
        if page.next is None or documents:
            break
    return ImagesFound(documents, distances, query.after)


def _any_of(field: str, values: Sequence[str]) -> list[Clause]:
    if not values:
        return []
    texts = [str(value) for value in values]
    return [Clause(field, "eq", texts[0])] if len(texts) == 1 else [Clause(field, "in", texts)]
