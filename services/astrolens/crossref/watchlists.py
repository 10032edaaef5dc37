"""Looks for images at the places of people's watchlists: new ones as they are analysed, and those that came before.

A hit is a document with a deterministic id, so that replicas, repeated events, the walk for lost ones and a list that
is imported again find it once. It waits for the channels that its list names, and nobody else hears of it.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import structlog
from pydantic import Field, ValidationError

from astrolens.contracts.base import Contract, UtcTime, utc_now, utc_text
from astrolens.contracts.data_rights import is_unreleased
from astrolens.contracts.records import Delivery, ImageRecord
from astrolens.contracts.sky import chord, unit_vector
from astrolens.contracts.watchlists import WatchHit, watch_hit_id
from astrolens.crossref.local import julian_year
from astrolens.local_catalogues.catalogue_folder import LocalCatalogues, match_index
from astrolens.local_catalogues.index import CatalogueIndex
from astrolens.platform.retry import sleep_unless
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import Clause, Document, Order, Query, RecordStore
from astrolens.science.match_radius import CatalogObject, Target, match_ellipse_arcsec

PLACES_PER_PASS: Final = 500
"""Places of new lists around which images are looked for in one pass."""
MAX_WALKED: Final = 2000
"""Images of one pass of the walk for lost events."""
MARGIN: Final = timedelta(minutes=2)
"""Overlap of two walks: an image gets its time a little before it is stored."""
PAUSE_S: Final = 0.1
"""Pause after each page, in which others write."""
_PAGE: Final = 200
_NAME: Final = "crossref.watchlists"
_FIELDS: Final = (
    "observation.position",
    "observation.observed_at",
    "observation.simulated",
    "observation.injected",
    "analyzed_at",
)
_log = structlog.get_logger(__name__)


class WatchProgress(Contract):
    """How far lists have been looked through; a document of `META`.

    Attributes:
        walked_until: Every image that was analysed before has been looked at.
        places: Of each import of a list the place to go on with.
    """

    name: str = _NAME
    walked_until: UtcTime | None = None
    places: dict[str, int] = Field(default_factory=dict)


class Watchlists:
    """Finds images at the places of watchlists.

    Args:
        records: Images and hits.
        catalogues: The lists, among the catalogues of this machine.
        publish_unreleased: Whether channels receive data that their survey has not released.
        stopping: Ends a pass after its page.
        unfinished: Set where more places wait, so that the next pass need not.
        clock: The present time.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        catalogues: LocalCatalogues,
        publish_unreleased: bool = False,
        stopping: asyncio.Event,
        unfinished: asyncio.Event,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._records = records
        self._catalogues = catalogues
        self._publish_unreleased = publish_unreleased
        self._stopping = stopping
        self._unfinished = unfinished
        self._clock = clock

    async def match_images(self, image_ids: Iterable[str]) -> int:
        """Match images with the places of the watchlists, and store the hits; return how many are new. Idempotent.

        Raises:
            StoreUnavailable: Calling again completes the work.
        """
        lists = await asyncio.to_thread(self._lists)
        return await self._match_pages(list(dict.fromkeys(image_ids)), lists) if lists else 0

    async def run_pass(self) -> None:
        """Match earlier images with the places of new watchlists, and images whose event was lost.

        Raises:
            StoreUnavailable: The next pass begins where this one did.
        """
        lists = await asyncio.to_thread(self._lists)
        before = await self._load()
        places = {_version(each): before.places.get(_version(each), 0) for each in lists.values()}
        room = PLACES_PER_PASS
        for name, index in lists.items():
            start = places[_version(index)]
            stop = min(start + room, index.manifest.rows)
            if start < stop:
                await self._match_archive(name, index, start, stop)
                places[_version(index)] = stop
                room -= stop - start
        walked = await self._walk(before.walked_until, lists)
        after = WatchProgress(walked_until=walked, places=places)
        await self._records.upsert(Collection.META, [after])
        waiting = any(places[_version(each)] < each.manifest.rows for each in lists.values())
        if waiting and not self._stopping.is_set():
            self._unfinished.set()

    async def _match_archive(self, name: str, index: CatalogueIndex, start: int, stop: int) -> None:
        """Match the archive's images with some places of a watchlist."""
        found = await asyncio.to_thread(index.objects, np.arange(start, stop))
        around: list[str] = []
        for place in found:
            around += await self._around(place)
        hits = await self._match_pages(list(dict.fromkeys(around)), {name: index})
        _log.info("looked for what was seen at places of a watchlist", watchlist=name, places=stop - start, hits=hits)

    async def _around(self, place: CatalogObject) -> list[str]:
        """The images in the box around a place that its match ellipse may hold."""
        reach, _, _ = match_ellipse_arcsec(Target(ra_deg=place.ra_deg, dec_deg=place.dec_deg), place)
        half = chord(reach)
        box: list[Clause] = []
        for axis, centre in zip("xyz", unit_vector(place.ra_deg, place.dec_deg), strict=True):
            box.append(Clause(f"observation.position.{axis}", "gte", centre - half))
            box.append(Clause(f"observation.position.{axis}", "lte", centre + half))
        query = Query(where=tuple(box), order=Order("ingested_at"), limit=_PAGE, fields=("analyzed_at",))
        found: list[str] = []
        async for page in pages(self._records, Collection.IMAGES, query):
            found += [image["image_id"] for image in page if image["analyzed_at"] is not None]
        return found

    async def _walk(self, since: datetime | None, lists: Mapping[str, CatalogueIndex]) -> datetime:
        """Look at what was analysed since the last walk; return until when everything has been looked at."""
        begun = self._clock()
        if since is None or not lists:
            return begun
        where = (Clause("analyzed_at", "gte", utc_text(since - MARGIN)),)
        query = Query(where=where, order=Order("analyzed_at"), limit=_PAGE, fields=("analyzed_at",))
        seen = 0
        async for page in pages(self._records, Collection.IMAGES, query):
            await self._match_pages([image["image_id"] for image in page], lists)
            seen += len(page)
            if await sleep_unless(self._stopping, PAUSE_S) or seen >= MAX_WALKED:
                return max(since, datetime.fromisoformat(page[-1]["analyzed_at"]))
        return begun

    async def _match_pages(self, image_ids: Sequence[str], lists: Mapping[str, CatalogueIndex]) -> int:
        new = 0
        for start in range(0, len(image_ids), _PAGE):
            images = await self._records.get(Collection.IMAGES, image_ids[start : start + _PAGE], fields=_FIELDS)
            placed = [image for image in images.values() if _is_watched(image)]
            if placed:
                hits = await asyncio.to_thread(self._hits, placed, lists)
                new += await self._store(hits)
        return new

    def _hits(self, images: Sequence[Document], lists: Mapping[str, CatalogueIndex]) -> list[WatchHit]:
        targets = [_target(image) for image in images]
        now = self._clock()
        return [
            WatchHit(
                hit_id=watch_hit_id(name, match.found.name, image["image_id"]),
                watchlist=name,
                place=match.found.name,
                image_id=image["image_id"],
                separation_arcsec=match.separation_arcsec,
                seen_before=(image["analyzed_at"] or "") < utc_text(index.manifest.imported_at),
                raised_at=now,
                deliveries=tuple(Delivery(channel=channel) for channel in index.manifest.notify),
                undelivered=bool(index.manifest.notify),
            )
            for name, index in lists.items()
            for image, answer in zip(images, match_index(index, targets), strict=True)
            for match in answer.result.matches
            # Whether others would match by chance is no question here: the person asked for this place.
            if match.normalised_separation <= 1.0
        ]

    async def _store(self, hits: Sequence[WatchHit]) -> int:
        """Store the hits of images that channels may report; return how many are new."""
        if not hits:
            return 0
        documents = await self._records.get(Collection.IMAGES, list({hit.image_id for hit in hits}))
        publishable = {image for image, document in documents.items() if self._is_publishable(document)}
        found = {hit.hit_id: hit for hit in hits if hit.image_id in publishable}
        return len(await self._records.insert(Collection.WATCH_HITS, list(found.values()))) if found else 0

    def _is_publishable(self, document: Document) -> bool:
        try:
            return self._publish_unreleased or not is_unreleased(ImageRecord.model_validate(document))
        except ValidationError as error:
            _log.warning("an image cannot be read", image_id=document.get("image_id"), error=str(error)[:300])
            return False

    def _lists(self) -> dict[str, CatalogueIndex]:
        indexes = self._catalogues.indexes()
        return {name: index for name, index in indexes.items() if index.manifest.kind == "watchlist"}

    async def _load(self) -> WatchProgress:
        document: dict[str, Any] = (await self._records.get(Collection.META, [_NAME])).get(_NAME, {})
        try:
            return WatchProgress.model_validate(document)
        except ValidationError as error:
            _log.warning("the progress of the watchlists cannot be read; it begins again", error=str(error)[:300])
            return WatchProgress()


def _is_watched(image: Document) -> bool:
    """Whether a person may be told of an image: a blind injection must stay blind, and a made sky is not his."""
    observation = image["observation"]
    return bool(observation["position"] and not observation["simulated"] and not observation["injected"])


def _target(image: Document) -> Target:
    observation = image["observation"]
    position, observed = observation["position"], observation["observed_at"]
    year = julian_year(None if observed is None else datetime.fromisoformat(observed))
    return Target(ra_deg=position["ra_deg"], dec_deg=position["dec_deg"], epoch_year=year)


def _version(index: CatalogueIndex) -> str:
    """Names one import of one list."""
    return f"{index.manifest.name}/{index.folder.name}"
