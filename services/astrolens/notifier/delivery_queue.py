"""The queue of deliveries: which alerts, and hits of watchlists, wait for which channel.

Every state is in the record of the alert or hit; both are called alerts here.

`waiting` becomes `delivered`, or `failed` after `MAX_ATTEMPTS` attempts or when the channel was removed. An attempt is
claimed in the record before anything is sent: a store that cannot be written therefore stops messages, instead of
letting each pass send the same one.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

from pydantic import ValidationError

from astrolens.contracts.base import utc_now
from astrolens.contracts.records import AlertRecord, Delivery, ImageRecord
from astrolens.contracts.watchlists import WatchHit
from astrolens.notifier.message_text import AlertWithImage, HitWithImage, Subject
from astrolens.notifier.unreadable import UnreadableDocuments
from astrolens.platform.stores.collections import DECLARATIONS, Collection
from astrolens.platform.stores.images import ImageStore
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import Change, Clause, Document, Order, Query, RecordStore, to_document

MAX_ATTEMPTS: Final = 8
"""With the waits of `ChannelWorker` about 40 minutes: longer than a mail server's restart, shorter than a night."""

CLAIM_TIMEOUT: Final = timedelta(minutes=5)
"""A claim older than this was left by a process that ended while it sent; the alert is then sent again. Well above
`channels.SEND_TIMEOUT_S`, so that no message of a live process is taken for lost."""

BATCH_SIZE: Final = 500
"""Alerts read for one delivery pass; of a longer queue the oldest first."""

WRITE_SIZE: Final = 100
"""Alerts in one write where many are changed at once; a pause of `WRITE_PAUSE_S` follows, in which others write."""

WRITE_PAUSE_S: Final = 0.25


Deliverable = AlertRecord | WatchHit
DELIVERED: Final[Mapping[Collection, type[AlertRecord] | type[WatchHit]]] = {
    Collection.ALERTS: AlertRecord,
    Collection.WATCH_HITS: WatchHit,
}
"""What channels are told of."""


class DeliveryQueue:
    """Reads and writes the deliveries of alerts.

    The channels of an alert share its record, so writes are serialised: by a lock in a process, among several notifiers
    by the lease that their periodic tasks hold.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        images: ImageStore,
        unreadable: UnreadableDocuments,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._records = records
        self._images = images
        self._unreadable = unreadable
        self._clock = clock
        self._write_lock = asyncio.Lock()

    async def waiting_for(self, channel: str) -> list[Subject]:
        """Alerts that wait for a channel, the strangest first, about `BATCH_SIZE` of each kind at most."""
        alerts: list[Deliverable] = []
        for collection in DELIVERED:
            count = 0
            async for page in self._undelivered(collection, BATCH_SIZE):
                waiting = [alert for alert in page if _is_waiting_for(alert, channel, self._clock())]
                alerts += waiting
                count += len(waiting)
                if count >= BATCH_SIZE:
                    break
        documents = await self._records.get(Collection.IMAGES, [alert.image_id for alert in alerts])
        found = [_with_image(alert, self._image(documents.get(alert.image_id))) for alert in alerts]
        return sorted(found, key=lambda each: each.rank)

    async def cutout(self, image: ImageRecord) -> bytes | None:
        """The JPEG of an image, None where it is missing."""
        key = image.cutout.key
        return (await self._images.get_many([key])).get(key)

    async def claim(self, alerts: Sequence[Deliverable], channel: str) -> set[str]:
        """Store that an attempt to send a message about some alerts begins; nothing may be sent without.

        Returns:
            Ids of the alerts that may be sent. Others have changed, or had their last attempt in a process that ended.

        Raises:
            TransientError: The store cannot be written; nothing may be sent.
        """
        changed = await self._change(alerts, lambda alert: _claimed(alert, channel, self._clock()))
        return {
            alert
            for alert, deliveries in changed.items()
            if any(one.channel == channel and one.claimed_at is not None for one in deliveries)
        }

    async def record_attempt(self, alerts: Sequence[Deliverable], channel: str, *, error: str | None) -> list[Delivery]:
        """Store the outcome of a claimed attempt; return the deliveries that changed.

        Raises:
            TransientError: The store cannot be written; call it again.
        """
        changed = await self._change(alerts, lambda alert: _after_attempt(alert, channel, error, self._clock()))
        return [one for deliveries in changed.values() for one in deliveries]

    async def fail_removed_channels(self, channels: Sequence[str]) -> int:
        """End deliveries to channels other than `channels`; return the number of alerts."""
        ended = 0
        for collection in DELIVERED:
            async for page in self._undelivered(collection, WRITE_SIZE):
                affected = [alert for alert in page if any(_is_removed(one, channels) for one in alert.deliveries)]
                if affected:
                    await self._change(affected, lambda alert: _without_removed(alert, channels, self._clock()))
                    await asyncio.sleep(WRITE_PAUSE_S)
                ended += len(affected)
        return ended

    async def _undelivered(self, collection: Collection, page_size: int) -> AsyncIterator[list[Deliverable]]:
        query = Query(where=(Clause("undelivered", "eq", True),), order=Order("raised_at"), limit=page_size)
        async for documents in pages(self._records, collection, query):
            yield [alert for each in documents if (alert := self._alert(collection, each)) is not None]

    async def _change(
        self, alerts: Sequence[Deliverable], change: Callable[[Deliverable], tuple[Delivery, ...]]
    ) -> dict[str, list[Delivery]]:
        """Change the deliveries of alerts; return those that were changed and stored, by id."""
        changed: dict[str, list[Delivery]] = {}
        for collection, model in DELIVERED.items():
            changed |= await self._change_in(collection, [each for each in alerts if isinstance(each, model)], change)
        return changed

    async def _change_in(
        self,
        collection: Collection,
        alerts: Sequence[Deliverable],
        change: Callable[[Deliverable], tuple[Delivery, ...]],
    ) -> dict[str, list[Delivery]]:
        if not alerts:
            return {}
        async with self._write_lock:
            documents = await self._records.get(collection, [alert.delivery_id for alert in alerts])
            revisions = {alert.delivery_id: alert.revision for alert in alerts}
            changes: list[Change] = []
            changed: dict[str, list[Delivery]] = {}
            for document in documents.values():
                alert = self._alert(collection, document)
                if alert is None or alert.revision != revisions[alert.delivery_id]:
                    continue  # A later revision has deliveries of its own.
                deliveries = change(alert)
                different = [new for old, new in zip(alert.deliveries, deliveries, strict=True) if new != old]
                if not different:
                    continue
                changed[alert.delivery_id] = different
                changes.append(
                    Change(
                        id=alert.delivery_id,
                        set={
                            "deliveries": [to_document(delivery) for delivery in deliveries],
                            "undelivered": any(delivery.state == "waiting" for delivery in deliveries),
                        },
                        when=(Clause("revision", "eq", alert.revision),),
                    )
                )
            stored = await self._records.apply(collection, changes) if changes else set()
            return {alert: deliveries for alert, deliveries in changed.items() if alert in stored}

    def _alert(self, collection: Collection, document: Document) -> Deliverable | None:
        try:
            return DELIVERED[collection].model_validate(document)
        except ValidationError as error:
            self._unreadable.report(collection, str(document[DECLARATIONS[collection].key]), error)
            return None

    def _image(self, document: Document | None) -> ImageRecord | None:
        """The image, None where it is missing or unreadable: the alert is delivered without its details."""
        if document is None:
            return None
        try:
            return ImageRecord.model_validate(document)
        except ValidationError as error:
            self._unreadable.report(Collection.IMAGES, str(document["image_id"]), error)
            return None


def _with_image(alert: Deliverable, image: ImageRecord | None) -> Subject:
    return HitWithImage(alert, image) if isinstance(alert, WatchHit) else AlertWithImage(alert, image)


def _is_waiting_for(alert: Deliverable, channel: str, now: datetime) -> bool:
    return any(
        one.channel == channel and one.state == "waiting" and not _is_claimed(one, now) for one in alert.deliveries
    )


def _is_claimed(delivery: Delivery, now: datetime) -> bool:
    """Whether an attempt may still be running. A claim far in the future is as old: the clock was set back since."""
    return delivery.claimed_at is not None and abs(now - delivery.claimed_at) < CLAIM_TIMEOUT


def _is_removed(delivery: Delivery, channels: Sequence[str]) -> bool:
    return delivery.state == "waiting" and delivery.channel not in channels


def _claimed(alert: Deliverable, channel: str, at: datetime) -> tuple[Delivery, ...]:
    def after(one: Delivery) -> Delivery:
        if one.attempts >= MAX_ATTEMPTS:
            # The process that made the last attempt ended before it recorded the outcome.
            error = one.error or "the notifier ended while it sent the last message"
            return one.model_copy(update={"state": "failed", "error": error, "at": at, "claimed_at": None})
        return one.model_copy(update={"attempts": one.attempts + 1, "claimed_at": at})

    return tuple(
        after(one) if one.channel == channel and one.state == "waiting" and not _is_claimed(one, at) else one
        for one in alert.deliveries
    )


def _after_attempt(alert: Deliverable, channel: str, error: str | None, at: datetime) -> tuple[Delivery, ...]:
    def after(one: Delivery) -> Delivery:
        unsent: Literal["failed", "waiting"] = "failed" if one.attempts >= MAX_ATTEMPTS else "waiting"
        state = "delivered" if error is None else unsent
        return one.model_copy(update={"state": state, "error": error, "at": at, "claimed_at": None})

    return tuple(after(one) if one.channel == channel and one.state == "waiting" else one for one in alert.deliveries)


def _without_removed(alert: Deliverable, channels: Sequence[str], at: datetime) -> tuple[Delivery, ...]:
    ended = {"state": "failed", "error": "the channel is no longer in the settings", "at": at, "claimed_at": None}
    return tuple(one.model_copy(update=ended) if _is_removed(one, channels) else one for one in alert.deliveries)
