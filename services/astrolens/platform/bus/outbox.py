"""The outbox: events that are written together with the documents that caused them, and published afterwards.

`release` publishes at once after a write. The relay publishes what stayed pending, because a process died or the broker
did not answer between the write and the publication. Publishing twice is harmless.
"""

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Final

import structlog

from astrolens.platform.bus import Bus
from astrolens.platform.bus.ports import PendingByDocument
from astrolens.platform.errors import PermanentError, TransientError
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, RecordStore
from astrolens.platform.telemetry.metrics import Metrics

RELAY_S: Final = 3.0
"""Seconds between two passes of the relay."""
RELAY_BATCH: Final = 256
"""Documents published and cleared at once; bounds memory and the length of one write."""
RELAY_TASK: Final = "outbox relay"
"""Name of the periodic task, and key of the issue: what `release` could not publish, a pass of the relay publishes."""
RELAY_ISSUE: Final = "events wait to be published"

_log = structlog.get_logger(__name__)


class Outbox:
    """Publishes pending events and clears them."""

    def __init__(
        self,
        bus: Bus,
        records: RecordStore,
        *,
        collections: Sequence[Collection] = (),
        condition: Condition | None = None,
        metrics: Metrics | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Compose; nothing is read.

        Args:
            bus: Publishes.
            records: Holds the documents.
            collections: Whose pending events the relay publishes.
            condition: Where unpublished events are an issue; that of the bus by default.
            metrics: Counts what waits and what was relayed.
            clock: Seconds that only grow.
        """
        self._bus = bus
        self._records = records
        self._collections = tuple(collections)
        self._condition = condition or bus.condition
        self._metrics = metrics
        self._clock = clock
        self._releasing: set[tuple[Collection, str]] = set()
        self._first_seen: dict[Collection, dict[str, float]] = {}
        self._relay_all = True

    async def release(self, collection: Collection, documents: PendingByDocument) -> None:
        """Publish the pending events of documents just written, then clear them.

        It does not fail when the broker or the store does not answer: the events are safe in their documents, and the
        relay publishes them as soon as it can.
        """
        with_events = [(key, events) for key, events in documents if events]
        if not with_events:
            return
        releasing = {(collection, key) for key, _ in with_events}
        self._releasing |= releasing
        try:
            await self._publish_and_clear(collection, with_events)
        except (TransientError, PermanentError) as error:
            self._report(error)
        else:
            self._clear_issue()
        finally:
            self._releasing -= releasing

    async def relay_once(self) -> int:
        """Publish what stayed pending; return the number of documents cleared.

        An event counts as stayed when two passes in a row saw it: younger ones are being released, here or in another
        service. In the first pass, and after a failure, every event counts.

        Raises:
            TransientError: The broker or the store does not answer.
        """
        try:
            cleared = [await self._relay_collection(collection) for collection in self._collections]
        except TransientError:
            self._relay_all = True
            raise
        self._relay_all = False
        if any(cleared):
            _log.info("relayed events that had stayed pending", documents=sum(cleared))
        return sum(cleared)

    async def _relay_collection(self, collection: Collection) -> int:
        cleared = 0
        while True:
            found = await self._records.pending(collection, limit=RELAY_BATCH)
            before = self._first_seen.get(collection, {})
            self._first_seen[collection] = self._update_first_seen(found, before)
            self._observe(collection, len(found))
            stayed = [
                (key, events)
                for key, events in found
                if (collection, key) not in self._releasing
                and (self._relay_all or all(event.event_id in before for event in events))
            ]
            relayed = await self._relay(collection, stayed) if stayed else 0
            cleared += relayed
            if not relayed or len(found) < RELAY_BATCH:
                return cleared

    async def _relay(self, collection: Collection, documents: PendingByDocument) -> int:
        try:
            await self._publish_and_clear(collection, documents)
        except PermanentError:
            # One event that the broker never accepts must not hold back the others.
            return await self._relay_one_by_one(collection, documents)
        self._count(documents)
        return len(documents)

    async def _relay_one_by_one(self, collection: Collection, documents: PendingByDocument) -> int:
        cleared = 0
        for document in documents:
            try:
                await self._publish_and_clear(collection, [document])
            except PermanentError as error:
                self._report(error)
            else:
                self._count([document])
                cleared += 1
        return cleared

    async def _publish_and_clear(self, collection: Collection, documents: PendingByDocument) -> None:
        await self._bus.publish([event for _, events in documents for event in events])
        await self._records.apply(
            collection,
            [Change(id=key, pull_pending=[event.event_id for event in events]) for key, events in documents],
        )

    def _update_first_seen(self, found: PendingByDocument, before: Mapping[str, float]) -> dict[str, float]:
        now = self._clock()
        return {event.event_id: before.get(event.event_id, now) for _, events in found for event in events}

    def _observe(self, collection: Collection, documents: int) -> None:
        if self._metrics is not None:
            now = self._clock()
            oldest = min(self._first_seen[collection].values(), default=now)
            self._metrics.outbox_pending.labels(collection).set(documents)
            self._metrics.outbox_oldest.labels(collection).set(now - oldest)

    def _count(self, documents: PendingByDocument) -> None:
        if self._metrics is not None:
            self._metrics.relayed.inc(sum(len(events) for _, events in documents))

    def _report(self, error: TransientError | PermanentError) -> None:
        self._relay_all = True
        if self._condition.set_issue(RELAY_TASK, f"{RELAY_ISSUE}: {error}"):
            _log.warning(RELAY_ISSUE, error=str(error))

    def _clear_issue(self) -> None:
        if self._condition.clear_issue(RELAY_TASK):
            _log.info("events are published again")
