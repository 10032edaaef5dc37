"""Objects of the sky: the images that show one object, so that a galaxy seen five times is one candidate.

Nothing is stored: a late answer of a catalogue, or a new image, changes what belongs together at once.
"""

from collections.abc import Mapping
from typing import Final

from pydantic import Field

from astrolens.contracts.catalogues import Counterpart
from astrolens.contracts.crossmatch import CrossmatchRecord
from astrolens.contracts.ids import derived_id
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Document, RecordStore
from astrolens.science.match_radius import Target
from astrolens.science.object_linking import SeenImage, linked_images
from astrolens.usecases.coordinates import Cone
from astrolens.usecases.errors import NotFound
from astrolens.usecases.image_queries import ImageFilter, Sort, find_images
from astrolens.usecases.views import ImageCard, View

SEARCH_RADIUS_ARCSEC: Final = 30.0
"""Around an image: six times the distance at which two images without a known object are one."""
MAX_IMAGES: Final = 200
"""Images of one place that are compared; the newest ones."""
_SMALLEST_CENTRE_ARCSEC: Final = 5.0
_CENTRE_OF_AXIS: Final = 0.25
"""Of the major axis: nearer to the centre an image shows the object itself, further out a part of it."""


class SkyObjectView(View):
    """An object of the sky and its images."""

    object_id: str = Field(description="Of the catalogued object, or of the earliest image where none is known.")
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
        """The object that an image shows, with its other images near the place. An image without a position is alone.

        Raises:
            NotFound: There is no such image.
        """
        document = (await self._records.get(Collection.IMAGES, [image_id])).get(image_id)
        position = document["observation"].get("position") if document else None
        if document is None:
            raise NotFound("image", image_id)
        if position is None:
            alone = [ImageCard.of(document)]
            return SkyObjectView(object_id=derived_id("object", image_id), name=None, catalogue=None, images=alone)
        cone = Cone(ra_deg=position["ra_deg"], dec_deg=position["dec_deg"], radius_arcsec=SEARCH_RADIUS_ARCSEC)
        found = await find_images(self._records, ImageFilter(cone=cone), sort=Sort.NEWEST, limit=MAX_IMAGES)
        around = {each["image_id"]: each for each in found.documents} | {image_id: document}
        known = await self._counterparts(list(around))
        seen = [_seen(each, known) for each in around.values()]
        linked = next(group for group in linked_images(seen) if image_id in group)
        distances = dict(zip((each["image_id"] for each in found.documents), found.distances, strict=True))
        named = next((known[each] for each in linked if each in known), None)
        earliest = min(linked, key=lambda each: (str(around[each].get("ingested_at")), each))
        return SkyObjectView(
            object_id=derived_id("object", *named) if named else derived_id("object", earliest),
            name=named[1] if named else None,
            catalogue=named[0] if named else None,
            images=[ImageCard.of(around[each], distance_arcsec=distances.get(each, 0.0)) for each in linked],
        )

    async def _counterparts(self, image_ids: list[str]) -> Mapping[str, tuple[str, str]]:
        """Catalogue and name of the object that each image is centred on, where one is known."""
        documents = await self._records.get(Collection.CROSSMATCHES, image_ids)
        found = {}
        for image_id, document in documents.items():
            record = CrossmatchRecord.model_validate(document)
            for answer in record.crossmatch.answers if record.crossmatch else ():
                best = next((each for each in answer.counterparts if each.matches), None)
                if best is not None and _centred(best):
                    found[image_id] = (answer.catalogue, best.name)
                    break
        return found


def _centred(counterpart: Counterpart) -> bool:
    centre = max(_SMALLEST_CENTRE_ARCSEC, _CENTRE_OF_AXIS * (counterpart.major_axis_arcsec or 0.0))
    return counterpart.separation_arcsec <= centre


def _seen(image: Document, known: Mapping[str, tuple[str, str]]) -> SeenImage:
    position = image["observation"]["position"]
    named = known.get(image["image_id"])
    return SeenImage(
        image_id=image["image_id"],
        target=Target(ra_deg=position["ra_deg"], dec_deg=position["dec_deg"]),
        counterpart=" ".join(named) if named else None,
    )
