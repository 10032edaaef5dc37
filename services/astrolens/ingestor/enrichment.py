"""The same bytes again with more known: what the record of the image lacks is filled, what differs is kept beside it.

A person who feeds a folder, sees no positions, and feeds a table with them has told something new of images that are
there. The first value that a person or a source gave holds; it wins over what the file's header states.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import isclose
from typing import Any, Final

from astrolens.contracts.base import utc_text
from astrolens.contracts.events import ImageEnriched, ImageIngested
from astrolens.contracts.records import (
    MAX_LATER_ARRIVALS,
    ImageState,
    LaterArrival,
    Observation,
    PendingEvent,
    Position,
    Receipt,
    truncate_extra,
)
from astrolens.contracts.topics import IMAGES_ENRICHED, IMAGES_INGESTED
from astrolens.ingestor.arrivals import SERVICE
from astrolens.ingestor.observations import UNKNOWN_SURVEY, name_origin
from astrolens.platform.bus.ports import EventReleaser
from astrolens.platform.errors import TransientError
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, Clause, Document, RecordStore
from astrolens.platform.telemetry.tracing import traceparent_of

_FIELDS: Final = ("position", "name", "observed_at", "pixel_scale_arcsec", "bands", "credit", "url")
_SAME_CHORD: Final = 2.5e-7
"""Distance of two unit vectors: 0.05 arcsec. Positions this close are one position, written with other digits."""
_TRIES: Final = 5
"""Rounds more than there are arrivals: each lets somebody else be faster once."""
_TEXT_LENGTH: Final = 500


@dataclass(frozen=True, slots=True)
class Enrichment:
    """What one later arrival changes.

    Attributes:
        later: For the record.
        values: Fields of the document that get a value, as dotted paths.
    """

    later: LaterArrival
    values: dict[str, Any] = field(default_factory=dict)


class Enricher:
    """Adds what later arrivals know to the records of images."""

    def __init__(self, *, records: RecordStore, outbox: EventReleaser, clock: Callable[[], datetime]) -> None:
        """Compose.

        Args:
            records: Where the images are.
            outbox: Publishes the events.
            clock: The present time.
        """
        self._records = records
        self._outbox = outbox
        self._clock = clock

    async def enrich(self, duplicates: Sequence[tuple[str, Receipt]]) -> int:
        """Add what duplicates know; doing it again changes nothing.

        Args:
            duplicates: Images with later arrivals of their bytes.

        Returns:
            How many of them knew more.

        Raises:
            TransientError: A store is unreachable, or others change the same images all the time.
        """
        waiting = list(duplicates)
        changed = 0
        for _ in range(len(waiting) + _TRIES):
            if not waiting:
                return changed
            documents = await self._records.get(Collection.IMAGES, list({image for image, _ in waiting}))
            # One arrival an image at a time: the next sees what this one has filled.
            first = {image: receipt for image, receipt in reversed(waiting) if image in documents}
            applied = await self._apply(first, documents)
            changed += sum(applied.values())
            waiting = [
                (image, receipt)
                for image, receipt in waiting
                if image in documents and not (first[image] is receipt and applied.get(image, True))
            ]
        if waiting:
            raise TransientError(f"{len(waiting)} images changed again and again while they were enriched")
        return changed

    async def _apply(self, arrivals: dict[str, Receipt], documents: dict[str, Document]) -> dict[str, bool]:
        """Whether each image that has something to learn was changed; False where another was faster."""
        now = self._clock()
        changes: list[Change] = []
        events: dict[str, list[PendingEvent]] = {}
        for image, receipt in arrivals.items():
            found = enrichment_of(documents[image], receipt, now)
            if found is None:
                continue
            survey = str(documents[image]["observation"]["survey"])
            survey = found.values.get("observation.survey", survey)
            trace = traceparent_of(receipt.receipt_id)
            event = ImageEnriched.of(image, found.later, survey=survey, service=SERVICE)
            events[image] = [event.pending(topic=IMAGES_ENRICHED, key=image, traceparent=trace)]
            values, guards = dict(found.values), [Clause("later", "eq", documents[image].get("later"))]
            if _needs_analysis(documents[image], found):
                again = _analysis_request(documents[image], survey, now)
                events[image].append(again.pending(topic=IMAGES_INGESTED, key=image, traceparent=trace))
                values |= {"state": ImageState.INGESTED.value, "offered_at": utc_text(now), "reason": None}
                guards.append(Clause("state", "eq", ImageState.ANALYZED.value))
            known = documents[image].get("later") or []
            changes.append(
                Change(
                    id=image,
                    set={**values, "later": [*known, found.later.model_dump(mode="json")]},
                    push={"pending": [one.model_dump(mode="json") for one in events[image]]},
                    when=tuple(guards),
                )
            )
        if not changes:
            return {}
        written = await self._records.apply(Collection.IMAGES, changes)
        await self._outbox.release(Collection.IMAGES, [(image, events[image]) for image in written])
        return {change.id: change.id in written for change in changes}


def _needs_analysis(document: Document, found: Enrichment) -> bool:
    """Whether the survey is known only now: its own calibration must judge the image."""
    return "observation.survey" in found.values and document.get("state") == ImageState.ANALYZED.value


def _analysis_request(document: Document, survey: str, now: datetime) -> ImageIngested:
    cutout = document["cutout"]
    return ImageIngested.of(
        document["image_id"],
        survey=survey,
        cutout_key=cutout["key"],
        cutout_sha256=cutout["sha256"],
        service=SERVICE,
        at=now,
        again=True,
    )


def enrichment_of(document: Document, receipt: Receipt, now: datetime) -> Enrichment | None:
    """What a later arrival knows more than the record of its image, or otherwise; None where it knows nothing new."""
    known = document.get("later") or []
    if len(known) >= MAX_LATER_ARRIVALS or any(one["receipt_id"] == receipt.receipt_id for one in known):
        return None
    holding = Observation.model_validate(document["observation"])
    origins = document.get("origins") or {}
    values: dict[str, Any] = {}
    filled: list[str] = []
    conflicting: dict[str, str] = {}
    given = receipt.observation.model_dump(mode="json")
    for name in _FIELDS:
        new, old = getattr(receipt.observation, name), getattr(holding, name)
        if _is_empty(new) or (name == "name" and name_origin(receipt).get("name") == "file") or _same(new, old):
            continue
        if _is_empty(old) or origins.get(name) in {"header", "file"}:
            filled.append(name)
            values[f"observation.{name}"] = given[name]
            values[f"origins.{name}"] = "given"
        else:
            conflicting[name] = _words(new)
    extra, conflicting_extra = _merged_extra(holding.extra, receipt.observation.extra)
    conflicting |= {f"extra.{key}": text[:_TEXT_LENGTH] for key, text in conflicting_extra.items()}
    if extra != holding.extra:
        values["observation.extra"] = extra
        filled += [f"extra.{key}" for key in extra if key not in holding.extra]
    survey = receipt.observation.survey
    if survey not in {UNKNOWN_SURVEY, holding.survey}:
        if holding.survey == UNKNOWN_SURVEY:
            filled.append("survey")
            values["observation.survey"] = survey
        else:
            conflicting["survey"] = survey
    if not filled and not conflicting:
        return None
    later = LaterArrival(
        receipt_id=receipt.receipt_id,
        source=receipt.source,
        ref=receipt.ref,
        at=now,
        filled=tuple(filled),
        conflicting=conflicting,
    )
    return Enrichment(later, values)


def _merged_extra(holding: dict[str, str], given: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Further metadata with what it lacks, within its bounds, and what differs. The path of a file is no knowledge."""
    extra = dict(holding)
    conflicting: dict[str, str] = {}
    for key, text in given.items():
        if key == "path" or extra.get(key) == text:
            continue
        if key in extra:
            conflicting[key] = text
        elif truncate_extra({**extra, key: text}).get(key) is not None:
            extra[key] = text
    return extra, conflicting


def _is_empty(value: Any) -> bool:
    return value is None or value in ((), "")


def _same(new: Any, old: Any) -> bool:
    if isinstance(new, Position) and isinstance(old, Position):
        distance = (new.x - old.x) ** 2 + (new.y - old.y) ** 2 + (new.z - old.z) ** 2
        return distance < _SAME_CHORD**2
    if isinstance(new, float) and isinstance(old, float):
        return isclose(new, old, rel_tol=1e-6)
    return bool(new == old)


def _words(value: Any) -> str:
    """A value for people."""
    if isinstance(value, Position):
        return f"{value.ra_deg:.7g} {value.dec_deg:+.7g}"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return str(value)[:_TEXT_LENGTH]
