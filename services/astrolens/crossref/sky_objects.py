"""Links the images of one object of the sky, so that a strange galaxy that was seen five times is one candidate.

All images of an object have the same `object_id`, which is a function of the first of them, by its time of ingestion.
- A later image takes over the id of those it is linked with. No id changes because a catalogue names the object.
- Objects that turn out to be one (an image between them, a late answer) *merge* under the id of the earlier one.
- Images that turn out to be of two (a late answer, another position) *split*: those with the first image keep the id.

Several replicas may link the same images at once. An id is written only where the one that was read still stands; where
it does not, everything around is read again, so that a replica that saw less cannot undo what one that saw more wrote.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import structlog
from pydantic import ValidationError

from astrolens.contracts.catalogues import Counterpart
from astrolens.contracts.crossmatch import CrossmatchRecord
from astrolens.contracts.ids import object_id
from astrolens.contracts.sky import chord, separation_arcsec
from astrolens.platform.errors import TransientError
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, Clause, Document, Order, Query, RecordStore
from astrolens.science.match_radius import Target
from astrolens.science.object_linking import SeenImage, linked_images

SEARCH_RADIUS_ARCSEC: Final = 30.0
"""Around an image: six times the distance at which two images without a known object are one."""
SHARED_SEARCH_ARCSEC: Final = 10.0
"""Images of one call that are so near to each other share a search: a field that is seen again and again."""
MAX_AROUND: Final = 200
"""Images around a place, the newest, and of one object, the first, that are compared."""
_TRIES: Final = 8
"""Each lets another replica be faster once."""

_FIELDS: Final = (
    "object_id",
    "ingested_at",
    "verdict",
    "observation.position",
    "observation.simulated",
    "observation.injected",
)
_log = structlog.get_logger(__name__)


class ObjectLinker:
    """Gives images the ids of the objects that they show.

    A candidate always gets one; any other image once it is linked with another. Simulated images show no object of the
    sky, and blind injections are not linked: alerts about others must not tell of them.
    """

    def __init__(self, records: RecordStore) -> None:
        self._records = records

    async def link(self, image_ids: Iterable[str]) -> None:
        """Bring the objects of images and of those around in line with their places and counterparts. Idempotent.

        Raises:
            TransientError: A store is unreachable, or others change the same images all the time; calling again
                completes the work.
        """
        waiting = list(dict.fromkeys(image_ids))
        for _ in range(_TRIES):
            waiting = await self._link(waiting)
            if not waiting:
                return
        raise TransientError(f"{len(waiting)} images were linked otherwise again and again by others")

    async def _link(self, image_ids: Sequence[str]) -> list[str]:
        """One round; return the images whose surroundings somebody else has changed meanwhile."""
        if not image_ids:
            return []
        images = await self._records.get(Collection.IMAGES, image_ids, fields=_FIELDS)
        linkable = [image for image in images.values() if _is_linkable(image) or image["object_id"] is not None]
        named = await self._counterparts([image["image_id"] for image in linkable])
        around = await self._around_each(linkable, [_reach_arcsec(named, image) for image in linkable])
        objects = {each["object_id"] for one in (linkable, *around) for each in one} - {None}
        members = dict(zip(objects, await asyncio.gather(*map(self._members, objects)), strict=True))
        others = {each["image_id"] for one in (*around, *members.values()) for each in one}
        named |= await self._counterparts(sorted(others - named.keys()))
        wanted: dict[str, tuple[str | None, str | None]] = {}
        causes: dict[str, list[str]] = {}
        compared: dict[str, set[str]] = {}
        for image, near in zip(linkable, around, strict=True):
            seen = {each["image_id"]: each for each in (image, *near)}
            if seen.keys() <= compared.get(image["image_id"], set()):
                continue  # Of one object with an image before it, around which there was all that is around this one.
            for identifier in {each["object_id"] for each in seen.values()} - {None}:
                seen |= {each["image_id"]: each for each in members[identifier]}
            wanted_ids = _object_ids(image, seen.values(), named)
            own = wanted_ids.get(image["image_id"])
            if own is not None:
                compared |= {other: set(seen) for other, after in wanted_ids.items() if after == own}
            for other, after in wanted_ids.items():
                before = seen[other]["object_id"]
                if before != after:
                    wanted[other] = (before, after)
                    causes.setdefault(other, []).append(image["image_id"])
        changes = [
            Change(id=image, set={"object_id": after}, when=(Clause("object_id", "eq", before),))
            for image, (before, after) in wanted.items()
        ]
        written = await self._records.apply(Collection.IMAGES, changes) if changes else set()
        again = [cause for image, by in causes.items() if image not in written for cause in by]
        return list(dict.fromkeys(again))

    async def _around_each(self, images: Sequence[Document], reaches_arcsec: Sequence[float]) -> list[list[Document]]:
        """The linkable images around each image; those at one place share a search, which is wider by so much."""
        leaders: list[int] = []
        following: list[int] = []
        for number, image in enumerate(images):
            leader = next(
                (
                    each
                    for each in leaders
                    if reaches_arcsec[number] <= reaches_arcsec[each] and _is_beside(image, images[each])
                ),
                number,
            )
            following.append(leader)
            if leader == number:
                leaders.append(number)
        found = await asyncio.gather(
            *(self._around(images[each], reaches_arcsec[each] + SHARED_SEARCH_ARCSEC) for each in leaders)
        )
        by_leader = dict(zip(leaders, found, strict=True))
        return [by_leader[leader] for leader in following]

    async def _around(self, image: Document, radius_arcsec: float) -> list[Document]:
        """The linkable images in the box around an image."""
        if not _is_linkable(image):
            return []
        position, half = image["observation"]["position"], chord(radius_arcsec)
        box: list[Clause] = []
        for axis in "xyz":
            box.append(Clause(f"observation.position.{axis}", "gte", position[axis] - half))
            box.append(Clause(f"observation.position.{axis}", "lte", position[axis] + half))
        return await self._found(tuple(box), Order("ingested_at", descending=True))

    async def _members(self, identifier: str) -> list[Document]:
        """The linkable images of an object."""
        return await self._found((Clause("object_id", "eq", identifier),), Order("ingested_at"))

    async def _found(self, where: tuple[Clause, ...], order: Order) -> list[Document]:
        query = Query(where=where, order=order, limit=MAX_AROUND, fields=_FIELDS)
        return [each for each in (await self._records.find(Collection.IMAGES, query)).documents if _is_linkable(each)]

    async def _counterparts(self, image_ids: Sequence[str]) -> dict[str, dict[str, Counterpart]]:
        """The object on which each image is centred, by image and catalogue."""
        found: dict[str, dict[str, Counterpart]] = {}
        for image_id, document in (await self._records.get(Collection.CROSSMATCHES, image_ids)).items():
            try:
                record = CrossmatchRecord.model_validate(document)
            except ValidationError as error:
                _log.warning("a cross-match cannot be read", image_id=image_id, error=str(error)[:300])
                continue
            for answer in record.crossmatch.answers if record.crossmatch else ():
                if (centred := answer.centred) is not None:
                    found.setdefault(image_id, {})[answer.catalogue] = centred
        return found


def _is_beside(image: Document, other: Document) -> bool:
    if not (_is_linkable(image) and _is_linkable(other)):
        return False
    one, two = image["observation"]["position"], other["observation"]["position"]
    return separation_arcsec((one["x"], one["y"], one["z"]), (two["x"], two["y"], two["z"])) <= SHARED_SEARCH_ARCSEC


def _is_linkable(image: Document) -> bool:
    observation = image["observation"]
    return bool(observation["position"] and not observation["simulated"] and not observation["injected"])


def _reach_arcsec(named: Mapping[str, Mapping[str, Counterpart]], image: Document) -> float:
    """How far around an image others may show the same object: two images lie on either side of its centre."""
    centres = [each.centre_arcsec for each in named.get(image["image_id"], {}).values()]
    return max([SEARCH_RADIUS_ARCSEC, *(2.0 * each for each in centres)])


def _object_ids(
    image: Document, seen: Iterable[Document], named: Mapping[str, Mapping[str, Counterpart]]
) -> dict[str, str | None]:
    """What the object id of an image, and of the others that are linked with it now or were before, must be.

    Args:
        image: The image.
        seen: It, the images around it, and all of the objects among them.
        named: The objects on which they are centred.
    """
    found: dict[str, str | None] = {}
    if not _is_linkable(image):
        found[image["image_id"]] = None
    ordered = sorted(filter(_is_linkable, seen), key=lambda each: (str(each["ingested_at"]), each["image_id"]))
    by_id = {each["image_id"]: each for each in ordered}
    groups = linked_images([_seen(each, named.get(each["image_id"], {})) for each in ordered])
    own = next((group for group in groups if image["image_id"] in group), ())
    # An object may lie half in what was seen; it is left alone unless it has to do with this image.
    touched = {image["object_id"], *(by_id[each]["object_id"] for each in own)} - {None}
    for group in groups:
        if group is not own and touched.isdisjoint(by_id[each]["object_id"] for each in group):
            continue
        needed = len(group) > 1 or any(
            by_id[each]["object_id"] is not None or by_id[each]["verdict"] not in {None, "ordinary"} for each in group
        )
        if needed:
            found |= dict.fromkeys(group, object_id(group[0]))
    return found


def _seen(image: Document, counterparts: Mapping[str, Counterpart]) -> SeenImage:
    position = image["observation"]["position"]
    return SeenImage(
        image_id=image["image_id"],
        target=Target(ra_deg=position["ra_deg"], dec_deg=position["dec_deg"]),
        counterparts={catalogue: each.name for catalogue, each in counterparts.items()},
    )
