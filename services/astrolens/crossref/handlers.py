"""The handler of the events that the crossref service consumes."""

from collections.abc import Awaitable, Callable, Sequence

from astrolens.contracts.events import ImageAnalyzed
from astrolens.crossref.candidates import Candidates
from astrolens.platform.bus import Refusal
from astrolens.platform.telemetry.tracing import annotate_span


def image_analyzed(candidates: Candidates) -> Callable[[Sequence[ImageAnalyzed]], Awaitable[Sequence[Refusal]]]:
    """The handler of analysed images; of ordinary ones only those are looked at that were candidates before."""

    async def handle(events: Sequence[ImageAnalyzed]) -> Sequence[Refusal]:
        for event in events:
            annotate_span(event.image_id, image_id=event.image_id, survey=event.survey, verdict=event.verdict.value)
        refused = await candidates.analysed([event.image_id for event in events])
        return [Refusal(event, refused[event.image_id]) for event in events if event.image_id in refused]

    return handle
