"""What the notifier does with events."""

from collections.abc import Awaitable, Callable, Sequence

from astrolens.contracts.events import ImageAnalyzed
from astrolens.contracts.verdicts import Verdict
from astrolens.notifier.alerting import AlertService
from astrolens.platform.bus import Refusal


def image_analyzed(alerts: AlertService) -> Callable[[Sequence[ImageAnalyzed]], Awaitable[Sequence[Refusal]]]:
    """The handler of analyses."""

    async def handle(events: Sequence[ImageAnalyzed]) -> Sequence[Refusal]:
        suspects = [event.image_id for event in events if event.verdict is Verdict.ANOMALY]
        others = [event.image_id for event in events if event.verdict is not Verdict.ANOMALY]
        refused = await alerts.reconcile(suspects, others)
        return [Refusal(event, refused[event.image_id]) for event in events if event.image_id in refused]

    return handle
