"""What catalogues answered before, in the record store, by place and catalogue.

One document a place; an answer holds the objects themselves, so that it serves images whose positions differ by less
than an arcsecond. Objects are known for long; that there was none is believed for a day only. Beyond its lifetime an
answer is used only while the catalogue does not answer, and is called stale.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import cos, floor, radians
from typing import Any, Final

from pydantic import ValidationError

from astrolens.contracts.base import Contract, UtcTime, utc_text
from astrolens.crossref.catalogues.base import SEARCH_RADIUS_ARCSEC
from astrolens.crossref.client import Reply
from astrolens.crossref.known_objects import KnownObject
from astrolens.crossref.places import ARCSEC, Place
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, Clause, Order, Query, RecordStore

OBJECTS_TTL: Final = timedelta(days=30)
"""Lifetime of an answer with objects."""
EMPTY_TTL: Final = timedelta(days=1)
"""Lifetime of an answer without any: catalogues grow."""
MAX_AGE: Final = timedelta(days=180)
"""An older answer is not even stale; it is removed."""
CELL_ARCSEC: Final = 2.0
"""Size of a place: an answer was given for at most so far away, a sixtieth of the searched radius."""

_PURGE: Final = 500


class CachedAnswer(Contract):
    """One answer of one catalogue."""

    answered_at: UtcTime
    ra_deg: float
    dec_deg: float
    radius_arcsec: float
    observed_at: UtcTime | None = None
    objects: tuple[KnownObject, ...] = ()


@dataclass(frozen=True)
class CacheEntry:
    """A cached answer and whether its lifetime is over."""

    answer: CachedAnswer
    fresh: bool


def cell_of(place: Place) -> str:
    """Names the cell of about `CELL_ARCSEC` that a place lies in. Bands of declination, divided in right ascension."""
    band = floor((place.dec_deg + 90.0) / (CELL_ARCSEC * ARCSEC))
    middle_deg = (band + 0.5) * CELL_ARCSEC * ARCSEC - 90.0
    around = max(1, floor(360.0 / (CELL_ARCSEC * ARCSEC) * cos(radians(middle_deg))))
    return f"{band}:{floor(place.ra_deg / 360.0 * around)}"


def local_name(catalogue: str) -> str:
    """The name that a copy of a remote catalogue on this machine has, such as `vizier-b-vsx-vsx`."""
    return re.sub(r"[^a-z0-9]+", "-", catalogue.lower()).strip("-")


def field_of(catalogue: str) -> str:
    """The field of a place's document that holds a catalogue's answer."""
    return f"answers.{local_name(catalogue)}"


class AnswerCache:
    """Keeps answers, and gives them back with their age."""

    def __init__(self, records: RecordStore) -> None:
        self._records = records

    async def read(self, places: Sequence[Place]) -> dict[str, dict[str, Any]]:
        """The documents of some places, by the places' keys."""
        cells = {place.key: cell_of(place) for place in places}
        found = await self._records.get(Collection.CATALOGUE_ANSWERS, list(dict.fromkeys(cells.values())))
        return {key: found[cell] for key, cell in cells.items() if cell in found}

    def answer(
        self, document: Mapping[str, Any] | None, catalogue: str, place: Place, now: datetime
    ) -> CacheEntry | None:
        """A catalogue's answer in a document, None where there is none that serves."""
        if document is None:
            return None
        value = (document.get("answers") or {}).get(field_of(catalogue).removeprefix("answers."))
        try:
            answer = CachedAnswer.model_validate(value)
        except ValidationError:
            return None  # There is none, or an older version wrote it otherwise: it is asked again.
        age = now - answer.answered_at
        if age > MAX_AGE or answer.observed_at != place.observed_at or answer.radius_arcsec < SEARCH_RADIUS_ARCSEC:
            return None
        lifetime = OBJECTS_TTL if answer.objects else EMPTY_TTL
        return CacheEntry(answer, fresh=timedelta(0) - timedelta(minutes=5) <= age <= lifetime)

    async def write(self, catalogue: str, replies: Mapping[str, Reply], places: Mapping[str, Place]) -> None:
        """Keep the answers of a catalogue; failures are not kept.

        Raises:
            StoreUnavailable: They are asked again next time.
        """
        documents: dict[str, dict[str, Any]] = {}
        changes: list[Change] = []
        for key, reply in replies.items():
            if reply.failure is not None or reply.not_covered is not None:
                continue
            place = places[key]
            cell = cell_of(place)
            answer = CachedAnswer(
                answered_at=reply.answered_at,
                ra_deg=place.ra_deg,
                dec_deg=place.dec_deg,
                radius_arcsec=SEARCH_RADIUS_ARCSEC,
                observed_at=place.observed_at,
                objects=reply.objects,
            )
            expires = utc_text(reply.answered_at + MAX_AGE)
            documents[cell] = {"cell": cell, "expires_at": expires, "answers": {}}
            values = {field_of(catalogue): answer.model_dump(mode="json"), "expires_at": expires}
            changes.append(Change(id=cell, set=values))
        if changes:
            await self._records.insert(Collection.CATALOGUE_ANSWERS, list(documents.values()))
            await self._records.apply(Collection.CATALOGUE_ANSWERS, changes)

    async def purge(self, now: datetime) -> int:
        """Remove places whose newest answer is too old to serve; return how many."""
        where = (Clause("expires_at", "lt", utc_text(now)),)
        query = Query(where=where, order=Order("expires_at"), limit=_PURGE, fields=("expires_at",))
        page = await self._records.find(Collection.CATALOGUE_ANSWERS, query)
        cells = [document["cell"] for document in page.documents]
        return await self._records.delete(Collection.CATALOGUE_ANSWERS, cells) if cells else 0
