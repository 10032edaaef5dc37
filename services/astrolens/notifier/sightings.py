"""The other images of the object that an alert is about, as far as everybody may know of them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from astrolens.contracts.ids import alert_id
from astrolens.contracts.records import ImageRecord
from astrolens.notifier.lifecycle import tense_of
from astrolens.notifier.unreadable import UnreadableDocuments
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Clause, Order, Query, RecordStore

MAX_SIGHTINGS: Final = 50
"""Images of one object that an alert names, the newest."""


@dataclass(frozen=True)
class Sighting:
    """Another image of the object of an alert.

    Attributes:
        image: The image.
        earlier: Whether it came before the image of the alert.
        alerted: Whether it has a public alert of its own.
    """

    image: ImageRecord
    earlier: bool
    alerted: bool


class Sightings:
    """Finds the other images of objects. Injections, and what is not released, are left out.

    Args:
        records: Images and alerts.
        unreadable: Where images that cannot be validated are reported.
        publish_unreleased: Whether data that their survey has not released are published.
    """

    def __init__(self, *, records: RecordStore, unreadable: UnreadableDocuments, publish_unreleased: bool) -> None:
        self._records = records
        self._unreadable = unreadable
        self._publish_unreleased = publish_unreleased

    async def of(self, images: Sequence[ImageRecord]) -> dict[str, tuple[Sighting, ...]]:
        """The other images of the object of each image, the newest first, by image id.

        Raises:
            TransientError: The store is unreachable.
        """
        objects = list(dict.fromkeys(image.object_id for image in images if image.object_id is not None))
        seen = dict(zip(objects, await asyncio.gather(*map(self._images, objects)), strict=True))
        alert_ids = [alert_id(each.image_id) for found in seen.values() for each in found]
        alerts = await self._records.get(Collection.ALERTS, alert_ids, fields=("topic",)) if alert_ids else {}
        public = {identifier for identifier, alert in alerts.items() if alert["topic"] is not None}
        return {
            image.image_id: tuple(
                Sighting(other, earlier=_arrival(other) < _arrival(image), alerted=alert_id(other.image_id) in public)
                for other in seen.get(image.object_id or "", ())
                if other.image_id != image.image_id
            )
            for image in images
        }

    async def _images(self, object_id: str) -> list[ImageRecord]:
        where = (Clause("object_id", "eq", object_id),)
        query = Query(where=where, order=Order("ingested_at", descending=True), limit=MAX_SIGHTINGS + 1)
        found = []
        for document in (await self._records.find(Collection.IMAGES, query)).documents:
            try:
                image = ImageRecord.model_validate(document)
            except ValidationError as error:
                self._unreadable.report(Collection.IMAGES, document["image_id"], error)
                continue
            if tense_of(image, publish_unreleased=self._publish_unreleased) == "current":
                found.append(image)
        return found


def _arrival(image: ImageRecord) -> tuple[str, str]:
    return image.ingested_at.isoformat(), image.image_id
