"""Brings alerts to people: bounded attempts, a bounded rate, bursts as one digest, every state in the alert's record.

At least once: a crash between sending and writing that down sends a message twice, never not at all.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Final, Literal

import structlog
from pydantic import ValidationError

from astrolens.contracts.base import utc_now
from astrolens.contracts.records import AlertRecord, Delivery, ImageRecord
from astrolens.notifier import texts
from astrolens.notifier.channels import DeliveryFailed
from astrolens.notifier.metrics import AlertMetrics
from astrolens.notifier.ports import Channel
from astrolens.notifier.texts import Notice
from astrolens.platform.errors import TransientError
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import ImageStore
from astrolens.platform.stores.records import Change, Clause, Document, Order, Query, RecordStore, to_document

ATTEMPTS: Final = 8
"""With the waits below about 40 minutes: longer than a mail server's restart, shorter than a night."""
FIRST_WAIT_S: Final = 5.0
LONGEST_WAIT_S: Final = 900.0
LOOK_EVERY_S: Final = 5.0
"""How often a courier looks by itself; news wakes it at once."""

_AT_ONCE: Final = 500
"""Alerts read and told at once; of a longer burst the oldest first."""
_WINDOW_S: Final = 60.0
_log = structlog.get_logger(__name__)


class DeliveryBook:
    """Reads and writes how far alerts got, one change at a time: couriers share the records."""

    def __init__(self, *, records: RecordStore, images: ImageStore, clock: Callable[[], datetime] = utc_now) -> None:
        self._records = records
        self._images = images
        self._clock = clock
        self._writing = asyncio.Lock()

    async def waiting(self, channel: str) -> list[Notice]:
        """Alerts that wait for a channel, the strangest first, at most `_AT_ONCE`."""
        alerts: list[AlertRecord] = []
        async for page in self._undelivered():
            alerts.extend(alert for alert in page if _waits(alert, channel))
            if len(alerts) >= _AT_ONCE:
                break
        documents = await self._records.get(Collection.IMAGES, [alert.image_id for alert in alerts])
        notices = [Notice(alert, _image(documents.get(alert.image_id))) for alert in alerts]
        return sorted(notices, key=lambda notice: (notice.alert.p_value, notice.alert.alert_id))

    async def picture(self, notice: Notice) -> bytes | None:
        """The cutout of an alert's image."""
        if notice.image is None:
            return None
        key = notice.image.cutout.key
        return (await self._images.get_many([key])).get(key)

    async def settle(self, notices: Sequence[Notice], channel: str, *, error: str | None) -> list[Delivery]:
        """Note the outcome of one attempt for all alerts of a message; return what became of them."""
        return await self._change(
            [notice.alert for notice in notices], lambda alert: _after_attempt(alert, channel, error, self._clock())
        )

    async def end_orphans(self, channels: Sequence[str]) -> int:
        """End what waits for channels that are no longer in the settings; return how many alerts that were."""
        ended = 0
        async for page in self._undelivered():
            orphans = [alert for alert in page if any(_is_orphan(one, channels) for one in alert.deliveries)]
            await self._change(orphans, lambda alert: _without_orphans(alert, channels, self._clock()))
            ended += len(orphans)
        return ended

    async def _undelivered(self) -> AsyncIterator[list[AlertRecord]]:
        after: str | None = None
        while True:
            page = await self._records.find(
                Collection.ALERTS,
                Query(
                    where=(Clause("undelivered", "eq", True),), order=Order("raised_at"), limit=_AT_ONCE, after=after
                ),
            )
            yield [alert for alert in map(_alert, page.documents) if alert is not None]
            if (after := page.next) is None:
                return

    async def _change(
        self, alerts: Sequence[AlertRecord], settle: Callable[[AlertRecord], tuple[Delivery, ...]]
    ) -> list[Delivery]:
        if not alerts:
            return []
        async with self._writing:
            documents = await self._records.get(Collection.ALERTS, [alert.alert_id for alert in alerts])
            told_of = {alert.alert_id: alert.revision for alert in alerts}
            changes: list[Change] = []
            settled: list[Delivery] = []
            for document in documents.values():
                alert = AlertRecord.model_validate(document)
                if alert.revision != told_of[alert.alert_id]:
                    continue  # Retracted meanwhile; that news goes out by itself.
                deliveries = settle(alert)
                settled.extend(new for old, new in zip(alert.deliveries, deliveries, strict=True) if new != old)
                changes.append(
                    Change(
                        id=alert.alert_id,
                        set={
                            "deliveries": [to_document(delivery) for delivery in deliveries],
                            "undelivered": any(delivery.state == "waiting" for delivery in deliveries),
                        },
                        when=(Clause("revision", "eq", alert.revision),),
                    )
                )
            await self._records.apply(Collection.ALERTS, changes)
            return settled


@dataclass(frozen=True)
class Message:
    """One message and the alerts that it tells of."""

    notices: tuple[Notice, ...]

    @property
    def kind(self) -> Literal["one", "digest"]:
        """Whether it tells of one alert or of several."""
        return "one" if len(self.notices) == 1 else "digest"


def plan(notices: Sequence[Notice], *, budget: int, probing: bool) -> list[Message]:
    """The messages to send now: the strangest alerts each by itself, and what the budget leaves over as one digest.

    Args:
        notices: What waits, the strangest first.
        budget: Messages that the rate still allows.
        probing: The channel failed last time: everything goes into one message, so that an outage costs all alerts
            the same attempts.
    """
    if not notices or budget < 1:
        return []
    if len(notices) > 1 and (probing or budget == 1):
        return [Message(tuple(notices))]
    if len(notices) <= budget:
        return [Message((notice,)) for notice in notices]
    alone = budget - 1
    return [*(Message((notice,)) for notice in notices[:alone]), Message(tuple(notices[alone:]))]


class Courier:
    """Serves one channel."""

    def __init__(
        self,
        *,
        channel: Channel,
        book: DeliveryBook,
        per_min: int,
        console: str,
        condition: Condition,
        metrics: AlertMetrics,
        timer: Callable[[], float] = monotonic,
    ) -> None:
        self._channel = channel
        self._book = book
        self._per_min = per_min
        self._console = console
        self._condition = condition
        self._metrics = metrics
        self._timer = timer
        self._sent_at: deque[float] = deque()
        self._failures = 0
        self._not_before = 0.0
        self._news = asyncio.Event()
        self._waiting: dict[str, datetime] = {}
        # Asked when they are scraped: while a channel is left alone nobody looks, and its alerts grow older.
        metrics.deliveries_waiting.labels(channel.name).set_function(lambda: len(self._waiting))
        metrics.delivery_oldest.labels(channel.name).set_function(self._oldest_s)
        for outcome in ("delivered", "failed"):
            metrics.deliveries.labels(channel.name, outcome)

    def wake(self) -> None:
        """There is something to deliver."""
        self._news.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Deliver until `stopping`; a message under way is finished, within its timeout."""
        while not stopping.is_set():
            self._news.clear()
            try:
                await self.deliver()
            except TransientError as error:
                # The store's own trouble is reported by every service; the next look tries again.
                _log.warning("cannot read or write deliveries", channel=self._channel.name, error=str(error))
            await _first_of(stopping, self._news, seconds=LOOK_EVERY_S)

    async def deliver(self) -> None:
        """Deliver what waits, as far as the rate and the channel's health allow.

        Raises:
            TransientError: A store is away.
        """
        if self._timer() < self._not_before or (budget := self._budget()) < 1:
            return
        notices = await self._book.waiting(self._channel.name)
        self._waiting = {notice.alert.alert_id: notice.alert.raised_at for notice in notices}
        for message in plan(notices, budget=budget, probing=self._failures > 0):
            if not await self._send(message):
                return

    async def _send(self, message: Message) -> bool:
        first = message.notices[0]
        alone = message.kind == "one"
        text = (
            texts.one(first, console=self._console) if alone else texts.digest(message.notices, console=self._console)
        )
        picture = await self._book.picture(first) if alone else None
        self._sent_at.append(self._timer())
        error: str | None = None
        try:
            await self._channel.send(text.title, text.body, picture=picture)
        except DeliveryFailed as failure:
            error = str(failure)
        self._note_health(error)
        for delivery in await self._book.settle(message.notices, self._channel.name, error=error):
            if delivery.state != "waiting":
                self._metrics.deliveries.labels(self._channel.name, delivery.state).inc()
        if error is None:
            for notice in message.notices:
                self._waiting.pop(notice.alert.alert_id, None)
        return error is None

    def _oldest_s(self) -> float:
        oldest = min(self._waiting.values(), default=None)
        return 0.0 if oldest is None else max(0.0, (utc_now() - oldest).total_seconds())

    def _note_health(self, error: str | None) -> None:
        name, key = self._channel.name, f"channel {self._channel.name}"
        if error is None:
            self._failures, self._not_before = 0, 0.0
            if self._condition.clear_issue(key):
                _log.info("a channel works again", channel=name)
            return
        wait_s = min(FIRST_WAIT_S * 3.0**self._failures, LONGEST_WAIT_S)
        self._failures += 1
        self._not_before = self._timer() + wait_s
        if self._condition.set_issue(key, f"the channel {name} does not take messages: {error}"):
            _log.warning("a channel does not take messages", channel=name, error=error)

    def _budget(self) -> int:
        now = self._timer()
        while self._sent_at and self._sent_at[0] <= now - _WINDOW_S:
            self._sent_at.popleft()
        return self._per_min - len(self._sent_at)


def _alert(document: Document) -> AlertRecord | None:
    """The alert, where it can be read; the sweep reports those that cannot."""
    try:
        return AlertRecord.model_validate(document)
    except ValidationError:
        return None


def _image(document: Document | None) -> ImageRecord | None:
    """The image, where it is there and can be read: people hear of an alert even if its details are lost."""
    try:
        return None if document is None else ImageRecord.model_validate(document)
    except ValidationError:
        return None


def _waits(alert: AlertRecord, channel: str) -> bool:
    return any(one.channel == channel and one.state == "waiting" for one in alert.deliveries)


def _is_orphan(delivery: Delivery, channels: Sequence[str]) -> bool:
    return delivery.state == "waiting" and delivery.channel not in channels


def _after_attempt(alert: AlertRecord, channel: str, error: str | None, at: datetime) -> tuple[Delivery, ...]:
    def after(one: Delivery) -> Delivery:
        attempts = one.attempts + 1
        failed: Literal["failed", "waiting"] = "failed" if attempts >= ATTEMPTS else "waiting"
        state = "delivered" if error is None else failed
        return one.model_copy(update={"state": state, "attempts": attempts, "error": error, "at": at})

    return tuple(after(one) if one.channel == channel and one.state == "waiting" else one for one in alert.deliveries)


def _without_orphans(alert: AlertRecord, channels: Sequence[str], at: datetime) -> tuple[Delivery, ...]:
    ended = {"state": "failed", "error": "the channel is no longer in the settings", "at": at}
    return tuple(one.model_copy(update=ended) if _is_orphan(one, channels) else one for one in alert.deliveries)


async def _first_of(*events: asyncio.Event, seconds: float) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
