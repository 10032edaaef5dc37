"""The handlers of the events that the crossref service consumes."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from astrolens.contracts.events import ImageAnalyzed, ImageEnriched
from astrolens.contracts.verdicts import Verdict
from astrolens.crossref.candidates import Candidates
from astrolens.crossref.sky_objects import ObjectLinker
from astrolens.crossref.watchlists import Watchlists
from astrolens.platform.bus import Refusal
from astrolens.platform.telemetry.tracing import annotate_span

_ASKED_WITH: Final = frozenset({"position", "observed_at"})
"""Fields of an observation without which a catalogue cannot be asked, or answers otherwise."""


def image_analyzed(
    candidates: Candidates, objects: ObjectLinker, watchlists: Watchlists
) -> Callable[[Sequence[ImageAnalyzed]], Awaitable[Sequence[Refusal]]]:
    """The handler of analysed images: candidates are matched, ordinary ones linked, watchlists told."""

    async def handle(events: Sequence[ImageAnalyzed]) -> Sequence[Refusal]:
        for event in events:
            annotate_span(event.image_id, image_id=event.image_id, survey=event.survey, verdict=event.verdict.value)
        refused = await candidates.reconcile([event.image_id for event in events])
        await objects.link(event.image_id for event in events if event.verdict is Verdict.ORDINARY)
        await watchlists.match_images(event.image_id for event in events)
        return [Refusal(event, refused[event.image_id]) for event in events if event.image_id in refused]

    return handle


def image_enriched(
    candidates: Candidates, objects: ObjectLinker, watchlists: Watchlists
) -> Callable[[Sequence[ImageEnriched]], Awaitable[Sequence[Refusal]]]:
    """The handler of images of which more is known: one whose place or time is new is matched and linked again."""

    async def handle(events: Sequence[ImageEnriched]) -> Sequence[Refusal]:
        placed = [event for event in events if not _ASKED_WITH.isdisjoint(event.filled)]
        for event in placed:
            annotate_span(event.image_id, image_id=event.image_id, survey=event.survey)
        refused = await candidates.reconcile([event.image_id for event in placed])
        await objects.link(event.image_id for event in placed)
        await watchlists.match_images(event.image_id for event in placed)
        return [Refusal(event, refused[event.image_id]) for event in placed if event.image_id in refused]

    return handle
