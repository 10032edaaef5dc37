"""Objects of the sky: the images that show one object, so that a galaxy seen five times is one candidate.

The crossref service links images (`crossref/sky_objects.py`): those of one object have the same `object_id`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import Field

from astrolens.contracts.crossmatch import CrossmatchRecord
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import Clause, Document, Order, Query, RecordStore
from astrolens.usecases.coordinates import Cone
from astrolens.usecases.errors import NotFound
from astrolens.usecases.image_queries import ORDERS, ImageFilter, Sort, find_images, value_of
from astrolens.usecases.views import ImageCard, View

MAX_IMAGES: Final = 200
"""Images of an object that are shown, the newest."""
MAX_COUNTED: Final = 4000
"""Images of all objects of a page that are counted and compared; an object has few."""


class SkyObjectView(View):
    """An object of the sky and its images."""

    object_id: str | None = Field(description="Of the object; null for an ordinary image that is alone.")
    name: str | None = Field(description="Name of the catalogued object; null: none is known.")
    catalogue: str | None = Field(description="The catalogue that names it.")
    images: list[ImageCard] = Field(
        description="Its images, the newest first, with their distances from the one asked about."
    )


class SkyObjects:
    """Finds the images of one object."""

    def __init__(self, *, records: RecordStore) -> None:
        self._records = records

    async def of_image(self, image_id: str) -> SkyObjectView:
        """The object that an image shows, with its other images. An image without a position is alone.

        Raises:
            NotFound: There is no such image.
        """
        image = (await self._records.get(Collection.IMAGES, [image_id])).get(image_id)
        if image is None:
            raise NotFound("image", image_id)
        found = [image]
        if (identifier := image.get("object_id")) is not None:
            page = await find_images(
                self._records, ImageFilter(object_id=identifier), sort=Sort.NEWEST, limit=MAX_IMAGES
            )
            seen = [each["image_id"] for each in page.documents]
            found = page.documents if image_id in seen else [*page.documents, image]
        catalogue, name = await self._name([each["image_id"] for each in found])
        return SkyObjectView(
            object_id=identifier,
            name=name,
            catalogue=catalogue,
            images=[ImageCard.of(each, distance_arcsec=_distance_arcsec(image, each)) for each in found],
        )

    async def _name(self, image_ids: Sequence[str]) -> tuple[str | None, str | None]:
        """Catalogue and name of the object that any of the images is centred on; None, None where none is known."""
        documents = await self._records.get(Collection.CROSSMATCHES, image_ids)
        for image_id in image_ids:
            if image_id not in documents:
                continue
            record = CrossmatchRecord.model_validate(documents[image_id])
            for answer in record.crossmatch.answers if record.crossmatch else ():
                if (centred := answer.centred) is not None:
                    return answer.catalogue, centred.name
        return None, None


async def images_per_object(records: RecordStore, images: Sequence[Document]) -> dict[str, int]:
    """How many images the object of each image has, by object id."""
    counts: dict[str, int] = {}
    where = _of_objects(images)
    if where is not None:
        for other in await _members(records, (where,), ()):
            counts[other["object_id"]] = counts.get(other["object_id"], 0) + 1
    return counts


async def first_of_objects(
    records: RecordStore, wanted: ImageFilter, sort: Sort, images: Sequence[Document]
) -> set[str]:
    """Which images of a list stand for their object: the first of its images that the list holds, in its order.

    It depends on filter and order alone, so that each page of a list is right by itself. In a list of what nobody has
    answered an object with an answered image has none.
    """
    where = _of_objects(images)
    if where is None:
        return {each["image_id"] for each in images}
    order = ORDERS[sort]
    place = ("observation.position",) if wanted.cone else ()
    others = await _members(records, (where, *wanted.clauses()), (order.field, *place))
    first: dict[str, tuple[Any, str]] = {}
    for other in others:
        if wanted.cone is not None and not _inside(wanted.cone, other):
            continue
        rank = (value_of(other, order), other["image_id"])
        if rank[0] is None:
            continue
        known = first.get(other["object_id"])
        if known is None or _precedes(rank, known, order):
            first[other["object_id"]] = rank
    standing = _representatives(images, {object_id: image for object_id, (_, image) in first.items()})
    return standing - await _answered(records, wanted, where, images)


async def first_by_place(
    records: RecordStore, wanted: ImageFilter, places: Mapping[str, int], images: Sequence[Document]
) -> set[str]:
    """`first_of_objects` where no field of an image holds the order: `places` says where each image of the list is."""
    where = _of_objects(images)
    if where is None:
        return {each["image_id"] for each in images}
    first: dict[str, str] = {}
    for other in await _members(records, (where, *wanted.clauses()), ("image_id",)):
        image, object_id = other["image_id"], other["object_id"]
        if image in places and (object_id not in first or places[image] < places[first[object_id]]):
            first[object_id] = image
    return _representatives(images, first) - await _answered(records, wanted, where, images)


async def answered_objects(records: RecordStore, objects: Sequence[str]) -> set[str]:
    """Which objects of the sky have an answered image."""
    where = (Clause("object_id", "in", list(objects)), Clause("label", "exists", value=True))
    return {each["object_id"] for each in await _members(records, where, ())}


async def _answered(records: RecordStore, wanted: ImageFilter, where: Clause, images: Sequence[Document]) -> set[str]:
    """The images whose object has an answer already, in a list of unanswered images."""
    if not wanted.unlabeled:
        return set()
    answered = await answered_objects(records, where.value)
    return {each["image_id"] for each in images if each.get("object_id") in answered}


def _representatives(images: Sequence[Document], first: Mapping[str, str]) -> set[str]:
    """The images that stand for their object, or are no known object's."""
    return {
        each["image_id"]
        for each in images
        if each.get("object_id") is None or first.get(each["object_id"], each["image_id"]) == each["image_id"]
    }


def _precedes(one: tuple[Any, str], other: tuple[Any, str], order: Order) -> bool:
    if one[0] == other[0]:
        return one[1] < other[1]
    return bool(one[0] > other[0]) is order.descending


def _of_objects(images: Sequence[Document]) -> Clause | None:
    identifiers = sorted({each["object_id"] for each in images if each.get("object_id") is not None})
    return Clause("object_id", "in", identifiers) if identifiers else None


async def _members(records: RecordStore, where: tuple[Clause, ...], fields: tuple[str, ...]) -> list[Document]:
    query = Query(where=where, order=Order("ingested_at"), limit=1000, fields=("object_id", *fields))
    found: list[Document] = []
    async for page in pages(records, Collection.IMAGES, query):
        found += page
        if len(found) >= MAX_COUNTED:
            break
    return found


def _inside(cone: Cone, image: Document) -> bool:
    position = image["observation"]["position"]
    return cone.distance_arcsec(position["x"], position["y"], position["z"]) <= cone.radius_arcsec


def _distance_arcsec(one: Document, other: Document) -> float | None:
    here, there = one["observation"].get("position"), other["observation"].get("position")
    if here is None or there is None:
        return None if one is not other else 0.0
    cone = Cone(ra_deg=here["ra_deg"], dec_deg=here["dec_deg"], radius_arcsec=0.0)
    return cone.distance_arcsec(there["x"], there["y"], there["z"])
