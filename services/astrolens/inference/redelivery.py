"""Publishes `images.ingested` once more for images that have waited too long for their analysis."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog

from astrolens.contracts import topics
from astrolens.contracts.base import utc_now, utc_text
from astrolens.contracts.events import ImageIngested
from astrolens.contracts.records import ImageState, PendingEvent
from astrolens.platform.bus.ports import EventReleaser
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import Change, Clause, Document, Order, Query, RecordStore

_PAGE: Final = 256
_CLOCK_ERROR: Final = timedelta(minutes=1)
"""Clocks of instances differ by less. An event published later than this from now was published before a clock was set
back, and its time tells nothing about how long it has waited."""
_VOLATILE_BELOW_S: Final = 60.0
"""Work that is redelivered so soon means a broker that forgets: when the service starts it has forgotten everything."""

logger = structlog.get_logger(__name__)


class Redelivery:
    """Finds images that are `ingested` and whose event was lost with a volatile broker, or lies in a long queue.

    In that case the second event finds the image analysed and costs a look. An image is claimed by its `offered_at`, so
    that of two passes at once only one publishes its event.

    Args:
        records: The record store.
        outbox: Publishes the events.
        after_s: How long an image waits, seconds.
        service: Producer of the events.
        clock: Gives the present time, UTC.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        outbox: EventReleaser,
        after_s: float,
        service: str,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._records = records
        self._outbox = outbox
        self._after = timedelta(seconds=after_s)
        self._service = service
        self._clock = clock
        self.is_volatile = after_s < _VOLATILE_BELOW_S
        """Whether the broker forgets; it has one analyzer then."""
        self._first_pass = True

    async def run_pass(self) -> None:
        """Redeliver what has waited too long; in the first pass on a volatile broker, whatever waits.

        Raises:
            StoreUnavailable: The record store is unreachable; the next pass goes on.
        """
        now = self._clock()
        everything = self.is_volatile and self._first_pass
        count = await self.redeliver(older_than=now if everything else now - self._after)
        count += await self.redeliver(newer_than=now if everything else now + _CLOCK_ERROR)
        self._first_pass = False
        if count:
            logger.info("events of waiting images published again", images=count)

    async def redeliver(
        self, *, older_than: datetime | None = None, newer_than: datetime | None = None, limit: int = 8 * _PAGE
    ) -> int:
        """Publish the events of waiting images, the oldest first.

        Args:
            older_than: Those whose last event was published before this moment.
            newer_than: Those whose last event was published after this moment; in the future, their clock was wrong.
            limit: Most images at once; the rest waits for the next pass.

        Returns:
            How many events.
        """
        where = [Clause("state", "eq", ImageState.INGESTED.value)]
        if older_than is not None:
            where.append(Clause("offered_at", "lt", utc_text(older_than)))
        if newer_than is not None:
            where.append(Clause("offered_at", "gt", utc_text(newer_than)))
        query = Query(
            where=tuple(where),
            order=Order("offered_at"),
            limit=min(_PAGE, limit),
        )
        count = 0
        async for page in pages(self._records, Collection.IMAGES, query):
            count += await self._redeliver(page[: limit - count])
            if count >= limit:
                break
        return count

    async def _redeliver(self, documents: Sequence[Document]) -> int:
        now = utc_text(self._clock())
        changes: list[Change] = []
        events: dict[str, PendingEvent] = {}
        for document in documents:
            image = document["image_id"]
            push = {}
            # One that is pending is published by the relay; a second would only lie beside it.
            if not any(event["topic"] == topics.IMAGES_INGESTED for event in document.get("pending") or ()):
                try:
                    events[image] = self._event(document)
                except (KeyError, TypeError, ValueError) as error:
                    # One bad record must not keep its neighbours waiting.
                    logger.warning("an image cannot be redelivered", image_id=image, error=repr(error)[:200])
                    continue
                push = {"pending": [events[image].model_dump(mode="json")]}
            guard = (
                Clause("state", "eq", ImageState.INGESTED.value),
                Clause("offered_at", "eq", document["offered_at"]),
            )
            changes.append(Change(id=image, set={"offered_at": now}, push=push, when=guard))
        claimed = await self._records.apply(Collection.IMAGES, changes)
        released = [(image, [event]) for image, event in events.items() if image in claimed]
        await self._outbox.release(Collection.IMAGES, released)
        return len(claimed)

    def _event(self, document: Document) -> PendingEvent:
        image = document["image_id"]
        return ImageIngested.of(
            image,
            survey=document["observation"]["survey"],
            cutout_key=document["cutout"]["key"],
            cutout_sha256=document["cutout"]["sha256"],
            service=self._service,
            at=datetime.fromisoformat(document["ingested_at"]),
        ).pending(topic=topics.IMAGES_INGESTED, key=image)
