"""Sends alerts to one channel: a bounded rate, bounded attempts, bursts as one digest.

Each attempt is claimed in the record store before it is sent: while the store cannot be written, nothing is sent.
Delivery is at least once: an attempt that a crash interrupted is made again after `delivery_queue.CLAIM_TIMEOUT`. While
the process lives, an outcome that could not be stored is kept here and stored later, and what was delivered is never
sent again, whatever the store says.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Final, Literal

import structlog

from astrolens.contracts.base import utc_now
from astrolens.notifier import message_text
from astrolens.notifier.channels import DeliveryFailed
from astrolens.notifier.delivery_queue import DeliveryQueue
from astrolens.notifier.message_text import Subject
from astrolens.notifier.metrics import AlertMetrics
from astrolens.notifier.ports import Channel
from astrolens.platform.runtime.condition import Condition

INITIAL_WAIT_S: Final = 5.0
MAX_WAIT_S: Final = 900.0
"""Wait after a failed message: threefold after each failure in a row, up to this."""

POLL_INTERVAL_S: Final = 5.0
"""Seconds between two looks at the queue; new deliveries start one at once."""

MAX_REMEMBERED: Final = 10_000
"""Delivered alerts that are remembered, the newest: about 1 MB."""

_RATE_WINDOW_S: Final = 60.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Message:
    """One message and the alerts that it is about, hits of watchlists among them."""

    alerts: tuple[Subject, ...]

    @property
    def kind(self) -> Literal["single", "digest"]:
        """Whether it is about one alert or about several."""
        return "single" if len(self.alerts) == 1 else "digest"


def plan_messages(alerts: Sequence[Subject], *, budget: int, one_message: bool) -> list[Message]:
    """The messages to send now: a message for each of the first alerts, and one digest for those beyond the budget.

    Args:
        alerts: What waits, smallest p-value first.
        budget: Messages that the rate still allows.
        one_message: Put everything into one message, because the channel failed last time: then an outage costs all
            alerts the same attempts.
    """
    if not alerts or budget < 1:
        return []
    if len(alerts) > 1 and (one_message or budget == 1):
        return [Message(tuple(alerts))]
    if len(alerts) <= budget:
        return [Message((alert,)) for alert in alerts]
    singles = budget - 1
    return [*(Message((alert,)) for alert in alerts[:singles]), Message(tuple(alerts[singles:]))]


class ChannelWorker:
    """Delivers what waits for one channel.

    Of several notifiers one at a time serves the channels, under a lease: otherwise each would send every message.

    Attributes:
        wake: Set when deliveries were queued, so that the next pass begins at once.
    """

    def __init__(
        self,
        *,
        channel: Channel,
        queue: DeliveryQueue,
        per_min: int,
        console: str,
        condition: Condition,
        metrics: AlertMetrics,
        timer: Callable[[], float] = monotonic,
    ) -> None:
        """Compose; nothing is sent.

        Args:
            channel: Where messages go.
            queue: What waits.
            per_min: Most messages in any 60 s.
            console: URL of the console, without a slash at its end; messages link to it.
            condition: Where a failing channel is reported.
            metrics: Counts deliveries.
            timer: Seconds of a monotonic clock.
        """
        self.wake = asyncio.Event()
        self._channel = channel
        self._queue = queue
        self._per_min = per_min
        self._console = console
        self._condition = condition
        self._metrics = metrics
        self._timer = timer
        self._sent_at: deque[float] = deque()
        self._failures = 0
        self._not_before = 0.0
        self._raised_at: dict[str, datetime] = {}
        self._unrecorded: tuple[Message, str | None] | None = None
        """The last message and its error, while its outcome is not in the store; nothing is sent meanwhile."""
        self._delivered: dict[tuple[str, int], None] = {}
        """Alert and revision of what was delivered by this process."""
        # Computed when scraped: no pass looks at the queue while a failing channel waits, and its alerts grow older.
        metrics.deliveries_waiting.labels(channel.name).set_function(lambda: len(self._raised_at))
        metrics.delivery_oldest.labels(channel.name).set_function(self._oldest_age_s)
        for outcome in ("delivered", "failed"):
            metrics.deliveries.labels(channel.name, outcome)

    async def deliver(self) -> None:
        """Send what waits, as far as the rate and the channel's last failure allow.

        Raises:
            TransientError: A store is unreachable.
        """
        await self._record_outcome()
        if self._timer() < self._not_before or (budget := self._budget()) < 1:
            return
        waiting = await self._queue.waiting_for(self._channel.name)
        self._raised_at = {each.alert.delivery_id: each.alert.raised_at for each in waiting}
        for message in plan_messages(waiting, budget=budget, one_message=self._failures > 0):
            if not await self._send(message):
                return

    async def _send(self, planned: Message) -> bool:
        """Claim, send and record one message; return whether the next one may be sent."""
        picture = await self._picture(planned)
        claimed = await self._queue.claim([each.alert for each in planned.alerts], self._channel.name)
        alerts = tuple(each for each in planned.alerts if each.alert.delivery_id in claimed)
        delivered = tuple(each for each in alerts if _key(each) in self._delivered)
        if delivered:
            # The store has lost an outcome that it had acknowledged: people do not get the message again.
            self._unrecorded = Message(delivered), None
            await self._record_outcome()
            alerts = tuple(each for each in alerts if _key(each) not in self._delivered)
        if not alerts:
            return True
        message = Message(alerts)
        error = await self._send_claimed(message, picture)
        self._unrecorded = message, error
        self._update_health(error)
        await self._record_outcome()
        return error is None

    async def _picture(self, message: Message) -> bytes | None:
        """The picture of a message about one alert. It is read before the claim, so that a failure leaves no claim."""
        image = message.alerts[0].image if message.kind == "single" else None
        return None if image is None else await self._queue.cutout(image)

    async def _send_claimed(self, message: Message, picture: bytes | None) -> str | None:
        """Send one message; return why it was not delivered."""
        if message.kind == "single":
            text = message_text.single(message.alerts[0], console=self._console)
        else:
            text = message_text.digest(message.alerts, console=self._console)
        self._sent_at.append(self._timer())
        try:
            await self._channel.send(text.title, text.body, picture=picture)
        except DeliveryFailed as failure:
            return str(failure)
        self._delivered.update(dict.fromkeys(map(_key, message.alerts)))
        while len(self._delivered) > MAX_REMEMBERED:
            del self._delivered[next(iter(self._delivered))]
        return None

    async def _record_outcome(self) -> None:
        """Store the outcome of the last message, if that has not been done."""
        if self._unrecorded is None:
            return
        message, error = self._unrecorded
        alerts = [each.alert for each in message.alerts]
        for delivery in await self._queue.record_attempt(alerts, self._channel.name, error=error):
            if delivery.state != "waiting":
                self._metrics.deliveries.labels(self._channel.name, delivery.state).inc()
        self._unrecorded = None
        if error is None:
            for alert in alerts:
                self._raised_at.pop(alert.delivery_id, None)

    def _oldest_age_s(self) -> float:
        oldest = min(self._raised_at.values(), default=None)
        return 0.0 if oldest is None else max(0.0, (utc_now() - oldest).total_seconds())

    def _update_health(self, error: str | None) -> None:
        name, key = self._channel.name, f"channel {self._channel.name}"
        if error is None:
            self._failures, self._not_before = 0, 0.0
            if self._condition.clear_issue(key):
                _log.info("a channel works again", channel=name)
            return
        wait_s = min(INITIAL_WAIT_S * 3.0**self._failures, MAX_WAIT_S)
        self._failures += 1
        self._not_before = self._timer() + wait_s
        if self._condition.set_issue(key, f"the channel {name} does not take messages: {error}"):
            _log.warning("a channel does not take messages", channel=name, error=error)

    def _budget(self) -> int:
        now = self._timer()
        while self._sent_at and self._sent_at[0] <= now - _RATE_WINDOW_S:
            self._sent_at.popleft()
        return self._per_min - len(self._sent_at)


def _key(each: Subject) -> tuple[str, int]:
    return each.alert.delivery_id, each.alert.revision
