"""Links between images that look alike, found by their perceptual hashes in the record store.

No instance holds an index, so images of all ingestors are found, and a start costs the same at any number of images.
"""

from collections.abc import Sequence
from typing import Final

from astrolens.contracts.records import NearDuplicate
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, RecordStore

MAX_LINKS: Final = 10
"""Links an image keeps: more than ten pictures that look alike are of no further use to a person."""


class NearDuplicateLinker:
    """Links images to those that were inserted before them."""

    def __init__(self, records: RecordStore, *, radius: int) -> None:
        """Compose; nothing is asked of the store.

        Args:
            records: Where the images are.
            radius: Largest Hamming distance of a link, bits.
        """
        self._records = records
        self._radius = radius

    async def link(self, images: Sequence[tuple[str, str]]) -> None:
        """Look for near-duplicates of images just inserted, and write the links of those that have any.

        An image is linked to what was there before it, not to itself or to later ones of the same call. Images that
        two instances insert at the same moment may link each other; at least one links the other, since both are
        inserted before either is looked up.

        Args:
            images: (image id, perceptual hash) in the order of insertion.

        Raises:
            StoreUnavailable: Doing it again completes it.
        """
        if not images:
            return
        place = {image: number for number, (image, _) in enumerate(images)}
        # Room for what is left out below: the image itself and later ones of this call.
        limit = MAX_LINKS + len(images)
        found = await self._records.near(
            Collection.IMAGES, [phash for _, phash in images], radius=self._radius, limit=limit
        )
        changes = []
        for (image, _), hits in zip(images, found, strict=True):
            links = [
                NearDuplicate(image_id=other, distance=distance)
                for other, distance in hits
                if place.get(other, -1) < place[image]
            ]
            if links:
                values = [link.model_dump(mode="json") for link in links[:MAX_LINKS]]
                changes.append(Change(id=image, set={"near_duplicates": values}))
        if changes:
            await self._records.apply(Collection.IMAGES, changes)
