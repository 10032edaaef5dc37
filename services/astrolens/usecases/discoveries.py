"""The discovery list of a night: the images that stand out although many were looked at.

A budget of false alarms says how many ordinary images are flagged, not how many of the flagged are ordinary: of 10,000
images a budget of 1 % flags a hundred for nothing. Benjamini and Hochberg's procedure (1995) over all p-values of the
night bounds the expected share of ordinary images among the listed by q instead. Conformal p-values that share their
calibration images are positively dependent, and the bound holds for them (Bates et al. 2023, Annals of Statistics 51).

Copies of one picture are one hypothesis: counted each, they would lift the threshold for every other image. Those that
the archive links as near-duplicates are merged, and the one that came first stands for them: a choice that does
not look at p-values, so that the first's p-value promises what it did. The smallest of them would not.

A p-value ends at 1/(n + 1), so that a short calibration lets no single image of a long night be listed. On request, and
named as an assumption, the list goes on beyond that end by the exponential tail of the rank score.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from math import ceil
from typing import Any, Final

from pydantic import Field

from astrolens.contracts.base import utc_now, utc_text
from astrolens.contracts.sky import separation_arcsec, unit_vector
from astrolens.contracts.verdicts import calibration_fit_of
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.hash_index import COPY_BITS
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import Clause, Document, Order, Query, RecordStore
from astrolens.usecases.errors import InvalidRequest
from astrolens.usecases.plurals import plural
from astrolens.usecases.views import ImageCard, View

DEFAULT_Q: Final = 0.1
MAX_TESTED: Final = 200_000
"""Images of a night that are tested. The list is good for those, which are the first of the night."""
MAX_LISTED: Final = 500
"""Images of the list that are returned; `listed` counts all of them."""
CACHE_TTL_S: Final = 60.0
"""So long the p-values of a night serve again: reading them costs seconds in a large night."""
MAX_CACHED_NIGHTS: Final = 4
"""Nights whose p-values are remembered."""
TAIL_FACTOR: Final = 5.0
"""By which p-values of the exponential tail are enlarged: the largest error of it that was measured, at 10⁻⁴."""
TAIL_END: Final = 1e-4
"""The assumed tail goes no further: nothing is known of its error there."""
MAX_COPIES_NAMED: Final = 20
"""Copies of a listed image whose ids are returned."""
_APART_ARCSEC: Final = 60.0
"""Pictures whose centres are known to be farther from each other than this show something else."""
_PAGE: Final = 1000
_NOON: Final = timedelta(hours=12)
_FIELDS: Final = (
    "p_value",
    "rank_score",
    "near_duplicates",
    "observation.position",
    "observation.injected",
    "observation.simulated",
    "analysis.adjusted_p_value",
    "analysis.calibration_fit",
    "analysis.too_small",
    "analysis.calibration_survey",
    "analysis.burst_survey",
    "analysis.p_value_at_most",
    "analysis.calibration_images",
)
_PROMISING: Final = frozenset({"own", "survey-model"})
"""Calibrations whose p-values promise a rate of false alarms."""


@dataclass(frozen=True)
class NightImage:
    """One image of a night with its p-value."""

    image_id: str
    p_value: float
    rank_score: float
    at_most: bool
    calibration_images: int | None

    @property
    def assumed_p_value(self) -> float:
        """The p-value on the assumption of an exponential tail; the same where a calibration image is as strange."""
        if not self.at_most:
            return self.p_value
        return min(self.p_value, max(TAIL_FACTOR * math.pow(10.0, -min(self.rank_score, 30.0)), TAIL_END))


@dataclass(frozen=True)
class _Night:
    """The p-values of a night, the smallest first, and how many images are left out, by reason.

    `copies` has the ids of the copies of a picture, by that of the image that came first.
    """

    tested: tuple[NightImage, ...]
    copies: dict[str, list[str]]
    left_out: dict[str, int]
    complete: bool
    read_at: float


class Copies(View):
    """The other images of the night that are copies of one picture."""

    count: int
    image_ids: list[str] = Field(description=f"In the order in which they came, at most {MAX_COPIES_NAMED}.")


class DiscoveryList(View):
    """The list, and what it promises."""

    night: date = Field(description="Date of its evening; the night goes from noon to noon, UTC.")
    since: datetime
    until: datetime
    q: float = Field(description="The expected share of ordinary images among the listed is at most this.")
    tested: int = Field(
        description="Pictures of the night that have a p-value which promises something; copies of one count once."
    )
    copies_merged: int = Field(
        default=0, description="Images of the night that are copies of a tested picture, and are no test of their own."
    )
    copies: dict[str, Copies] = Field(default={}, description="The copies of listed images, by the image's id.")
    left_out: dict[str, int] = Field(
        description="Images that are not tested: `simulated` (injections too), `no-promise` (their survey has no "
        "calibration of its own yet, or anomalies come in a burst), `not-analysed`."
    )
    complete: bool = Field(description=f"False where only the first {MAX_TESTED:,} images of the night are tested.")
    listed: int
    threshold: float | None = Field(description="The largest p-value that is listed; null where none is.")
    limited: str | None = Field(description="A sentence, where too few calibration images keep images from the list.")
    promise: str = Field(description="What the list promises, in words.")
    tail_assumed: bool = Field(default=False, description="Whether the list stands on the assumption of a tail.")
    listed_with_tail: int = Field(default=0, description="Images that are listed on that assumption.")
    items: list[ImageCard] = Field(description=f"The smallest p-value first, at most {MAX_LISTED}.")


def listed_count(p_values: Sequence[float], *, tested: int, q: float) -> int:
    """How many of the smallest p-values are listed: the largest k with p_(k) <= k q / m [Benjamini & Hochberg 1995].

    Args:
        p_values: Ascending; those above q may be left out.
        tested: All images that were tested, m.
        q: The level.
    """
    return max((k for k, p in enumerate(p_values, start=1) if p <= k * q / tested), default=0)


class Discoveries:
    """Makes discovery lists.

    Args:
        records: The record store.
        clock: The present time.
        timer: Seconds that only grow.
    """

    def __init__(
        self,
        records: RecordStore,
        *,
        clock: Callable[[], datetime] = utc_now,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._records = records
        self._clock = clock
        self._timer = timer
        self._nights: dict[date, _Night] = {}

    async def of_night(
        self, night: date | None = None, *, q: float = DEFAULT_Q, assume_tail: bool = False
    ) -> DiscoveryList:
        """The list of a night; without a date, of the one that is now or was last.

        Args:
            night: Date of its evening.
            q: The level.
            assume_tail: Go on beyond the end of p-values by the exponential tail.

        Raises:
            InvalidRequest: The night is still to come.
        """
        now = self._clock()
        night = night or (now - _NOON).date()
        since = datetime(night.year, night.month, night.day, 12, tzinfo=UTC)
        if since > now:
            raise InvalidRequest("No such night", f"The night of {night} is still to come: name one that has begun.")
        until = since + timedelta(days=1)
        found = await self._read(night, since, until)
        tested = len(found.tested)
        calibrated = [each.p_value for each in found.tested]
        by_tail = sorted(found.tested, key=lambda each: each.assumed_p_value)
        assumed = [each.assumed_p_value for each in by_tail]
        counts = [listed_count(own, tested=tested, q=q) if tested else 0 for own in (calibrated, assumed)]
        count = counts[assume_tail]
        first = (by_tail if assume_tail else found.tested)[:count]
        # Rank scores lie between the p-values of their own calibration: those of two surveys may order otherwise.
        listed = sorted(
            first, key=lambda each: (each.assumed_p_value if assume_tail else each.p_value, -each.rank_score)
        )
        documents = await self._records.get(Collection.IMAGES, [each.image_id for each in listed[:MAX_LISTED]])
        cards = [ImageCard.of(documents[each.image_id]) for each in listed if each.image_id in documents]
        copies_merged = sum(len(ids) for ids in found.copies.values())
        return DiscoveryList(
            night=night,
            since=since,
            until=until,
            q=q,
            tested=tested,
            copies_merged=copies_merged,
            copies={
                card.image_id: Copies(count=len(ids), image_ids=ids[:MAX_COPIES_NAMED])
                for card in cards
                if (ids := found.copies.get(card.image_id))
            },
            left_out=found.left_out,
            complete=found.complete,
            listed=count,
            threshold=max(each.p_value for each in first) if count else None,
            limited=None if assume_tail else _limited(found.tested, count, q=q),
            promise=_promise(count, q=q, assume_tail=assume_tail, copies_merged=copies_merged),
            tail_assumed=assume_tail,
            listed_with_tail=counts[True],
            items=cards,
        )

    async def _read(self, night: date, since: datetime, until: datetime) -> _Night:
        known = self._nights.get(night)
        if known is not None and self._timer() - known.read_at < CACHE_TTL_S:
            return known
        where = (Clause("ingested_at", "gte", utc_text(since)), Clause("ingested_at", "lt", utc_text(until)))
        query = Query(where=where, order=Order("ingested_at"), limit=_PAGE, fields=_FIELDS)
        tested: list[NightImage] = []
        pictures = _Pictures()
        left_out: Counter[str] = Counter()
        async for page in pages(self._records, Collection.IMAGES, query):
            for document in page:
                reason = _left_out(document)
                if reason is None:
                    tested.append(_tested(document))
                    pictures.add(document)
                else:
                    left_out[reason] += 1
            if len(tested) >= MAX_TESTED:
                break
        copies = pictures.copies()
        later = {image for ids in copies.values() for image in ids}
        distinct = [each for each in tested if each.image_id not in later]
        ordered = tuple(sorted(distinct, key=lambda each: each.p_value))
        read = _Night(ordered, copies, dict(left_out), len(tested) < MAX_TESTED, self._timer())
        self._nights[night] = read
        while len(self._nights) > MAX_CACHED_NIGHTS:
            del self._nights[min(self._nights, key=lambda name: self._nights[name].read_at)]
        return read


class _Pictures:
    """Which of the images are copies of one picture: those that the links of the archive join, in any number of steps.

    A link leads to an image that came before, so that each costs one step whatever the size of the night. Two places of
    the sky are two pictures, however alike they look.
    """

    def __init__(self) -> None:
        self._leaders: dict[str, str] = {}
        self._places: dict[str, tuple[float, float, float] | None] = {}
        """Unit vectors of the images, in the order in which they came."""

    def add(self, document: Document) -> None:
        """Take an image with its links, in the order in which images came."""
        image, position = document["image_id"], document["observation"]["position"]
        place = unit_vector(position["ra_deg"], position["dec_deg"]) if position else None
        self._places[image] = place
        for link in document["near_duplicates"] or ():
            other = self._places.get(link["image_id"])
            is_elsewhere = place and other and separation_arcsec(place, other) > _APART_ARCSEC
            if link["distance"] <= COPY_BITS and not is_elsewhere:
                self._leaders[self._leader(image)] = self._leader(link["image_id"])

    def copies(self) -> dict[str, list[str]]:
        """The copies of a picture by the first of its images; only pictures that have some."""
        groups: dict[str, list[str]] = {}
        for image in self._places:
            groups.setdefault(self._leader(image), []).append(image)
        return {images[0]: images[1:] for images in groups.values() if len(images) > 1}

    def _leader(self, image: str) -> str:
        leader = self._leaders.setdefault(image, image)
        while leader != self._leaders[leader]:
            # Halves the way for the next one.
            self._leaders[leader] = self._leaders[self._leaders[leader]]
            leader = self._leaders[leader]
        self._leaders[image] = leader
        return leader


def _left_out(document: Document) -> str | None:
    observation, analysis = document["observation"], document["analysis"]
    if observation["simulated"] or observation["injected"]:
        return "simulated"
    if document["p_value"] is None:
        return "not-analysed"
    promising = calibration_fit_of(analysis) in _PROMISING and analysis["burst_survey"] is None
    promising = promising and not analysis.get("too_small")
    return None if promising else "no-promise"


def _tested(document: Document) -> NightImage:
    analysis: dict[str, Any] = document["analysis"]
    # Where its survey has drifted, the p-value alone would promise too much.
    adjusted = analysis["adjusted_p_value"]
    return NightImage(
        image_id=document["image_id"],
        p_value=document["p_value"] if adjusted is None else adjusted,
        rank_score=document["rank_score"] or 0.0,
        # What allows for a drift has gone along the tail already.
        at_most=bool(analysis["p_value_at_most"]) and adjusted is None,
        calibration_images=analysis["calibration_images"],
    )


def _limited(tested: Sequence[NightImage], count: int, *, q: float) -> str | None:
    """What the number of calibration images keeps from the list, as a sentence; None where it keeps nothing."""
    if not count and (text := _cannot_list(tested, q=q)):
        return text
    kept_back = [each for each in tested[count:] if each.at_most]
    if not kept_back:
        return None
    end = min(each.p_value for each in kept_back)
    needed = ceil(len(tested) * end / q)
    who = plural(len(kept_back), "image is", "images are")
    return (
        f"{who} stranger than all images that their survey was calibrated on and still not listed: a p-value ends at "
        f"{end:.2g} there, and of {len(tested):,} tested images at least {needed:,} would have to reach that end. More "
        "calibration images, or a larger q, make the list longer."
    )


def _cannot_list(tested: Sequence[NightImage], *, q: float) -> str | None:
    """Why no image of a night could be listed by itself, however strange; None where one could."""
    most = max((each.calibration_images or 0 for each in tested), default=0)
    if not most:
        return None
    needed = ceil(Fraction(len(tested), most + 1) / Fraction(str(q)))
    if needed <= 1:
        return None
    reached = sum(each.at_most and each.calibration_images == most for each in tested)
    alone = ceil(len(tested) / Fraction(str(q))) - 1
    return (
        "No image of this night can be listed by itself, however strange it is: the smallest possible p-value is "
        f"1/{most + 1:,}, and of {len(tested):,} tested images a list at q = {q:g} needs at least {needed:,} that "
        f"reach it, and {reached:,} did. One alone would be listed with {alone:,} calibration images. A larger q makes "
        "the list longer; the strangest are on Tonight and in the gallery."
    )


def _promise(count: int, *, q: float, assume_tail: bool, copies_merged: int) -> str:
    one = plural(copies_merged, "copy was", "copies were")
    copies = f" {one} merged with the first image of the same picture, which is one test." if copies_merged else ""
    if not count:
        return f"No image stands out at q = {q:g}.{copies}"
    assumption = (
        " This list also assumes that beyond the calibration images the scores of ordinary ones fall off "
        f"exponentially, within a factor of {TAIL_FACTOR:g}, down to {TAIL_END:g}: no calibration can show that."
    )
    return (
        f"At most {100 * q:.3g} % of the listed are expected to be ordinary, that is {count * q:.1f} of {count:,}: "
        "on average over nights, where ordinary images look like those of the calibration, "
        f"whose p-values depend on each other because they share them.{copies}{assumption if assume_tail else ''}"
    )
