"""The archive: images, arrivals, alerts and dead letters, as pages and single records."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from astrolens.contracts.base import utc_text
from astrolens.contracts.ids import alert_id
from astrolens.contracts.records import Outcome
from astrolens.platform.errors import ObjectMissing
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import ImageStore, cutout_key
from astrolens.platform.stores.records import Clause, Document, Order, Query, RecordStore
from astrolens.rpc.model_client import ModelClient, UnknownToModel
from astrolens.usecases.alert_views import AlertPage, AlertView
from astrolens.usecases.dead_letter_views import DeadLetterPage, DeadLetterView
from astrolens.usecases.errors import NotFound, NotIndexed
from astrolens.usecases.image_queries import (
    ImageFilter,
    ImagesFound,
    Neighbours,
    Sort,
    find_images,
    neighbours,
)
from astrolens.usecases.list_totals import ListTotals, Total
from astrolens.usecases.sky_objects import first_of_objects, images_per_object
from astrolens.usecases.views import (
    ImageCard,
    ImageDetail,
    ImagePage,
    ReceiptPage,
    ReceiptView,
    SimilarImage,
    SimilarImages,
)

SAFE_MEDIA_TYPES = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/tiff": ".tif",
    "image/fits": ".fits",
    "application/fits": ".fits",
    "application/avro": ".avro",
}
"""Media types under which an original is served, with the extension of its name; any other is served as bytes."""


MAX_SIMILAR = 100
"""Most images that the model server names at once: simulated ones are left out of these."""

MAX_GROUPED_PAGES = 8
"""Pages of the store that are read for one page with one image an object, while all of them repeat earlier objects."""

MAX_PASSED = 50
"""Images of objects that the list has already, which the way through it passes over in one step."""

LINK_TTL_S = 3600.0
"""How long a link to a picture is valid: a leaked one opens one picture for an hour, and a browser's cache still serves
the pages of an hour."""


@dataclass(frozen=True)
class OriginalFile:
    """Where an original lies, and how it is served."""

    key: str
    media_type: str
    filename: str
    sha256: str


class Archive:
    """Reads pages and single records."""

    def __init__(self, *, records: RecordStore, images: ImageStore, model: ModelClient) -> None:
        self._records = records
        self._images = images
        self._model = model
        self._totals = ListTotals(records=records)

    async def images(
        self, wanted: ImageFilter, *, sort: Sort, limit: int, after: str | None = None, start: str | None = None
    ) -> ImagePage:
        """A page of images; the first one begins where the image `start` stands.

        One with one image an object may be shorter than `limit` although more follow.

        Raises:
            NotFound: There is no image `start`.
        """
        first = await self._image(start) if start is not None and after is None else None
        found = await find_images(self._records, wanted, sort=sort, limit=limit, after=after, start=first)
        if wanted.per != "object":
            return ImagePage(items=_cards(found), next=found.next)
        for _ in range(MAX_GROUPED_PAGES):
            kept = await first_of_objects(self._records, wanted, sort, found.documents)
            if kept or found.next is None:
                break
            found = await find_images(self._records, wanted, sort=sort, limit=limit, after=found.next)
        counts = await images_per_object(self._records, found.documents)
        cards = [
            card.model_copy(update={"object_images": counts.get(card.object_id or "", 1)})
            for card in _cards(found)
            if card.image_id in kept
        ]
        return ImagePage(items=cards, next=found.next)

    async def total(self, wanted: ImageFilter, *, sort: Sort, anew: bool = False) -> Total:
        """How many images a list has: counted `anew`, or as it was seconds ago."""
        return await self._totals.of_images(wanted, sort=sort, anew=anew)

    async def image(self, image: str) -> ImageDetail:
        """All that is known of one image.

        Raises:
            NotFound: There is none.
        """
        document = await self._image(image)
        alert = alert_id(image)
        return ImageDetail.of(document, (await self._records.get(Collection.ALERTS, [alert])).get(alert))

    async def neighbours(self, image: str, wanted: ImageFilter, *, sort: Sort) -> Neighbours:
        """The images before and behind one in a list.

        Raises:
            NotFound: There is no such image.
        """
        found = await neighbours(self._records, await self._image(image), wanted, sort=sort)
        if wanted.per != "object":
            return found
        before = await self._representative(found.previous, wanted, sort, back=True)
        return Neighbours(before, await self._representative(found.next, wanted, sort, back=False))

    async def _representative(self, image: str | None, wanted: ImageFilter, sort: Sort, *, back: bool) -> str | None:
        """An image, or the next one that way that stands for its object in the list."""
        for _ in range(MAX_PASSED):
            if image is None:
                return None
            document = await self._image(image)
            if image in await first_of_objects(self._records, wanted, sort, [document]):
                return image
            beside = await neighbours(self._records, document, wanted, sort=sort)
            image = beside.previous if back else beside.next
        return None

    async def cutout(self, image: str) -> bytes:
        """The canonical picture, JPEG.

        Raises:
            ObjectMissing: There is none.
        """
        return await self._images.get(cutout_key(image))

    async def cutout_link(self, image: str) -> str | None:
        """Where a browser gets the canonical picture for `LINK_TTL_S`; None where it comes from here."""
        return await self._images.link(cutout_key(image), media_type="image/jpeg", expires_s=LINK_TTL_S)

    async def original(self, image: str) -> OriginalFile:
        """Where the bytes as they came lie.

        Raises:
            NotFound: There is none.
        """
        document = await self._image(image)
        original = document["original"]
        known = original["media_type"] in SAFE_MEDIA_TYPES
        return OriginalFile(
            key=original["key"],
            media_type=original["media_type"] if known else "application/octet-stream",
            filename=f"{image}{SAFE_MEDIA_TYPES[original['media_type']] if known else '.bin'}",
            sha256=original["sha256"],
        )

    async def original_bytes(self, original: OriginalFile) -> bytes:
        """The bytes as they came.

        Raises:
            ObjectMissing: The record is there, the bytes are not.
        """
        return await self._images.get(original.key)

    async def original_link(self, original: OriginalFile) -> str | None:
        """Where a browser downloads the bytes as they came for `LINK_TTL_S`; None where they come from here.

        Raises:
            ObjectMissing: The record is there, the bytes are not: they expired, and the store would answer in XML.
        """
        link = await self._images.link(
            original.key, media_type=original.media_type, filename=original.filename, expires_s=LINK_TTL_S
        )
        if link is not None and not await self._images.exists(original.key):
            raise ObjectMissing(original.key)
        return link

    async def similar(self, image: str, k: int, *, simulated: bool = True) -> SimilarImages:
        """The images most like one.

        Args:
            image: The image.
            k: Most images.
            simulated: Whether simulated images are among them; those most like a simulated image always are.

        Raises:
            NotFound: There is no such image.
            NotIndexed: The index does not have it yet.
            ModelUnavailable: The model server does not answer.
        """
        document = await self._image(image)
        real_only = not (simulated or document["observation"]["simulated"])
        try:
            digest, found = await self._model.similar(image, MAX_SIMILAR if real_only else k)
        except UnknownToModel:
            raise NotIndexed(image) from None
        documents = await self._records.get(Collection.IMAGES, [each.image_id for each in found])
        neighbours = [
            SimilarImage(cosine_similarity=each.cosine_similarity, image=ImageCard.of(documents[each.image_id]))
            for each in found
            if each.image_id in documents
        ]
        shown = [each for each in neighbours if not (real_only and each.image.simulated)]
        return SimilarImages(image_id=image, model_digest=digest, items=shown[:k])

    async def receipts(
        self,
        *,
        outcomes: Sequence[Outcome] = (),
        batch: str | None = None,
        source: str | None = None,
        reason: str | None = None,
        image: str | None = None,
        limit: int,
        after: str | None = None,
    ) -> ReceiptPage:
        """A page of arrivals, newest first."""
        where = [] if not outcomes else [Clause("outcome", "in", [str(outcome) for outcome in outcomes])]
        for field, value in (("batch", batch), ("source", source), ("reason.code", reason), ("image_id", image)):
            if value is not None:
                where.append(Clause(field, "eq", value))
        query = Query(tuple(where), Order("received_at", descending=True), limit, after)
        page = await self._records.find(Collection.RECEIPTS, query)
        total = await self._totals.of(Collection.RECEIPTS, where)
        items = [ReceiptView.of(each) for each in page.documents]
        return ReceiptPage(items=items, next=page.next, total=total.count, total_is_exact=total.exact)

    async def alerts(
        self,
        *,
        since: datetime | None = None,
        updated_since: datetime | None = None,
        survey: str | None = None,
        predicted_class: str | None = None,
        order: Literal["newest", "oldest"] = "newest",
        limit: int,
        after: str | None = None,
    ) -> AlertPage:
        """A page of alerts by the time at which they were raised.

        With `updated_since` those that were updated or retracted at or after it, by the time of that.
        """
        where = [] if since is None else [Clause("raised_at", "gte", utc_text(since))]
        if updated_since is not None:
            where.append(Clause("updated_at", "gte", utc_text(updated_since)))
        for field, value in (("survey", survey), ("predicted_class", predicted_class)):
            if value is not None:
                where.append(Clause(field, "eq", value))
        by = "raised_at" if updated_since is None else "updated_at"
        query = Query(tuple(where), Order(by, descending=order == "newest"), limit, after)
        page = await self._records.find(Collection.ALERTS, query)
        total = await self._totals.of(Collection.ALERTS, where)
        items = [AlertView.of(each) for each in page.documents]
        return AlertPage(items=items, next=page.next, total=total.count, total_is_exact=total.exact)

    async def alert(self, identity: str) -> AlertView:
        """One alert.

        Raises:
            NotFound: There is none.
        """
        document = (await self._records.get(Collection.ALERTS, [identity])).get(identity)
        if document is None:
            raise NotFound("alert", identity)
        return AlertView.of(document)

    async def dead_letters(self, *, state: str | None, limit: int, after: str | None = None) -> DeadLetterPage:
        """A page of dead letters, newest first."""
        where = () if state is None else (Clause("state", "eq", state),)
        query = Query(where, Order("dead_lettered_at", descending=True), limit, after)
        page = await self._records.find(Collection.DEAD_LETTERS, query)
        total = await self._totals.of(Collection.DEAD_LETTERS, where)
        items = [DeadLetterView.of(each) for each in page.documents]
        return DeadLetterPage(items=items, next=page.next, total=total.count, total_is_exact=total.exact)

    async def _image(self, image: str) -> Document:
        document = (await self._records.get(Collection.IMAGES, [image])).get(image)
        if document is None:
            raise NotFound("image", image)
        return document


def _cards(found: ImagesFound) -> list[ImageCard]:
    return [
        ImageCard.of(document, distance_arcsec=distance)
        for document, distance in zip(found.documents, found.distances, strict=True)
    ]
