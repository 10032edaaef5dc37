"""The handlers of the events that the notifier consumes."""

from collections.abc import Awaitable, Callable, Sequence

from astrolens.contracts.events import CandidateMatched, LabelRecorded
from astrolens.contracts.verdicts import Verdict
from astrolens.notifier.alert_service import AlertService
from astrolens.notifier.lifecycle import REFUTING
from astrolens.platform.bus import Refusal
from astrolens.platform.telemetry.tracing import annotate_span


def candidate_matched(alerts: AlertService) -> Callable[[Sequence[CandidateMatched]], Awaitable[Sequence[Refusal]]]:
    """The handler of candidates that were matched with the catalogues."""

    async def handle(events: Sequence[CandidateMatched]) -> Sequence[Refusal]:
        alerts.register_surveys({event.survey for event in events})
        anomalies = [event.image_id for event in events if event.verdict is Verdict.ANOMALY]
        others = [event.image_id for event in events if event.verdict is not Verdict.ANOMALY]
        for event in events:
            annotate_span(event.image_id, image_id=event.image_id, survey=event.survey, verdict=event.verdict.value)
        refused = await alerts.reconcile(anomalies, others)
        return [Refusal(event, refused[event.image_id]) for event in events if event.image_id in refused]

    return handle


def label_recorded(alerts: AlertService) -> Callable[[Sequence[LabelRecorded]], Awaitable[Sequence[Refusal]]]:
    """The handler of people's answers: they retract or update the alerts of their images."""

    async def handle(events: Sequence[LabelRecorded]) -> Sequence[Refusal]:
        # A topic that is read for the first time holds answers of an archive, too.
        events = [event for event in events if await alerts.follows_answer(event.occurred_at)]
        # An answer that was taken back may let an anomaly have its alert after all; the others concern alerts only.
        taken_back = [event.image_id for event in events if event.answer not in REFUTING]
        refuted = [event.image_id for event in events if event.answer in REFUTING]
        refused = await alerts.reconcile(taken_back, refuted)
        return [Refusal(event, refused[event.image_id]) for event in events if event.image_id in refused]

    return handle
