"""How many documents a list has: exact where that is cheap, else about, and never dearer because the archive grew.

A tally knows lists that are filtered by its own fields. Others are counted up to `EXACT_BELOW` within
`COUNT_TIMEOUT_S`; beyond that a sample of the documents tells about how many there are. Keys are digests, so that a
range of them is a fair sample.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import floor, log10
from time import monotonic
from typing import Final

from astrolens.platform.stores.collections import DECLARATIONS, Collection
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import Clause, Order, Query, RecordStore
from astrolens.usecases.image_queries import ORDERS, ImageFilter, Sort
from astrolens.usecases.sky_objects import answered_objects

EXACT_BELOW: Final = 10_000
COUNT_TIMEOUT_S: Final = 0.5
"""Longest count, and longest look at the sample; pages are read beside it, and do not wait."""
NAME_COUNT_TIMEOUT_S: Final = 2.0
"""Longest count of names with a part, which reads all names: a million of them in a fifth of a second."""
SAMPLE_SIZE: Final = 5_000
"""Documents of the sample: a list of a hundredth of the archive is known within 14 %."""
MIN_SAMPLED: Final = 10
"""Fewer of a list in the sample say nothing."""
BATCH_SIZE: Final = 2_000
"""Images that are read at a time, where what is counted is no field: distances in the box around a cone, objects."""
CACHE_TTL_S: Final = 10.0
"""How long a total is kept: the pages of one list ask for the same."""
CACHE_SIZE: Final = 200

_LEFT_OUT: Final = frozenset({"batch_state", "batch_outcome"})
"""Tallies with a counter for every batch there ever was."""

_EQUIVALENT_FIELDS: Final = {"rank_score": "verdict", "labeled_at": "label"}
"""Fields of images that are there where another is, which tallies count by."""


_ALWAYS: Final = (Clause("ingested_at", "exists", value=True),)


@dataclass(frozen=True)
class Total:
    """How many there are; None where even about is not known."""

    count: int | None
    exact: bool = True


class ListTotals:
    """Totals of lists, kept for some seconds."""

    def __init__(self, *, records: RecordStore) -> None:
        self._records = records
        self._kept: dict[tuple[object, ...], tuple[float, Total]] = {}

    async def of_images(self, wanted: ImageFilter, *, sort: Sort, anew: bool = False) -> Total:
        """The total of a list of images, without those that the order leaves out; counted `anew`, or as kept."""
        order = ORDERS[sort]
        key = (wanted, order)
        if not anew and (kept := self._kept.get(key)) is not None and kept[0] > monotonic():
            return kept[1]
        total = await self._images(wanted, order)
        while len(self._kept) >= CACHE_SIZE:
            self._kept.pop(next(iter(self._kept)))
        self._kept[key] = (monotonic() + CACHE_TTL_S, total)
        return total

    async def of(self, collection: Collection, where: Sequence[Clause]) -> Total:
        """The total of any list."""
        exact = await self._tallied(collection, where)
        if exact is not None:
            return Total(exact)
        within_s = NAME_COUNT_TIMEOUT_S if any(clause.op == "contains" for clause in where) else COUNT_TIMEOUT_S
        counted = await self._records.count(collection, where, limit=EXACT_BELOW, within_s=within_s)
        if counted is not None and counted < EXACT_BELOW:
            return Total(counted)
        return await self._estimate(collection, where)

    async def _images(self, wanted: ImageFilter, order: Order) -> Total:
        if wanted.image_id is not None:
            return Total(len(await self._records.get(Collection.IMAGES, [wanted.image_id], fields=("image_id",))))
        where = (*wanted.clauses(), Clause(order.field, "exists", value=True))
        if wanted.per == "object":
            return await self._objects(replace(wanted, per=None), where, order)
        if wanted.cone is None:
            return await self.of(Collection.IMAGES, where)
        fields = tuple(f"observation.position.{axis}" for axis in "xyz")
        query = Query(where=where, order=order, limit=BATCH_SIZE, fields=fields)
        page = await self._records.find(Collection.IMAGES, query)
        places = [document["observation"]["position"] for document in page.documents]
        radius = wanted.cone.radius_arcsec
        inside = sum(wanted.cone.distance_arcsec(each["x"], each["y"], each["z"]) <= radius for each in places)
        if page.next is None:
            return Total(inside)
        box = await self.of(Collection.IMAGES, where)
        return Total(None if box.count is None else _rounded(box.count * inside / len(places)), exact=False)

    async def _objects(self, wanted: ImageFilter, where: Sequence[Clause], order: Order) -> Total:
        """How many objects of the sky a list shows; beyond `EXACT_BELOW` images as many an image as its first ones."""
        images = await self._images(wanted, order)
        if wanted.cone is not None:
            return Total(None, exact=False)  # the box around it holds others
        seen: set[str] = set()
        read = alone = 0
        query = Query(where=tuple(where), order=order, limit=BATCH_SIZE, fields=("object_id",))
        async for page in pages(self._records, Collection.IMAGES, query):
            objects = [document.get("object_id") for document in page]
            alone += objects.count(None)
            new = {each for each in objects if each is not None} - seen
            seen |= new - (await answered_objects(self._records, list(new)) if wanted.unlabeled and new else set())
            read += len(page)
            if read >= EXACT_BELOW:
                break
        if images.count is None or (images.exact and read >= images.count):
            return Total(len(seen) + alone if images.exact else None, exact=images.exact)
        return Total(_rounded(images.count * (len(seen) + alone) / read), exact=False)

    async def _tallied(self, collection: Collection, where: Sequence[Clause]) -> int | None:
        """What a tally knows of a list; None where none counts by all its fields."""
        clauses = [_as_tallied(clause) for clause in where if clause not in _ALWAYS]
        named = {clause.field for clause in clauses}
        if any(clause.op not in {"eq", "in", "exists"} for clause in clauses):
            return None
        tallies = DECLARATIONS[collection].tallies
        # The tally with the fewest counters.
        for name in sorted(tallies, key=lambda each: len(tallies[each])):
            fields = tallies[name]
            if name not in _LEFT_OUT and named <= set(fields):
                counts = await self._records.tally(collection, name)
                return sum(n for key, n in counts.items() if _matches_all(dict(zip(fields, key, strict=True)), clauses))
        return None

    async def _estimate(self, collection: Collection, where: Sequence[Clause]) -> Total:
        everything = await self._tallied(collection, ())
        if not everything:
            return Total(None, exact=False)
        share = min(1.0, SAMPLE_SIZE / everything)
        key = DECLARATIONS[collection].key
        within = (Clause(key, "lt", f"{int(share * 16**8) - 1:08x}g"), *where)
        sampled = await self._records.count(collection, within, limit=SAMPLE_SIZE * 2, within_s=COUNT_TIMEOUT_S)
        if sampled is None or sampled < MIN_SAMPLED:
            return Total(None, exact=False)
        return Total(_rounded(sampled / share), exact=False)


def _as_tallied(clause: Clause) -> Clause:
    return (
        replace(clause, field=_EQUIVALENT_FIELDS.get(clause.field, clause.field)) if clause.op == "exists" else clause
    )


def _matches_all(values: Mapping[str, str], clauses: Sequence[Clause]) -> bool:
    """Whether a counter's values fulfil all conditions; an absent value is the empty text there."""

    def matches(clause: Clause) -> bool:
        value = values[clause.field]
        match clause.op:
            case "eq":
                return value == ("" if clause.value is None else str(clause.value))
            case "in":
                return value in {str(each) for each in clause.value}
            case _:
                return bool(value) is clause.value

    return all(map(matches, clauses))


def _rounded(count: float) -> int:
    """Two digits, as exact as a sample is."""
    if count < 1:
        return 0
    step: int = 10 ** max(0, floor(log10(count)) - 1)
    return round(count / step) * step
