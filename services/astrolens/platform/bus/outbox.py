"""The outbox: events written together with the documents that caused them, published after.

`release` is the fast path, called right after a write. The relay is the safety net: whatever stayed pending, because
a process died or the broker was away between write and publication, it publishes later. Publishing twice is harmless.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import monotonic

import structlog

from astrolens.platform.bus import Bus
from astrolens.platform.bus.ports import PendingByDocument
from astrolens.platform.errors import PermanentError, TransientError
from astrolens.platform.retry import sleep_unless
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, RecordStore
from astrolens.platform.telemetry.metrics import Metrics

RELAY_EVERY_S = 3.0
RELAY_BATCH = 256
"""Documents published and cleared at once; bounds memory and the length of one write."""

_ISSUE = "outbox"
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
        every_s: float = RELAY_EVERY_S,
        timer: Callable[[], float] = monotonic,
    ) -> None:
        self._bus = bus
        self._records = records
        self._collections = tuple(collections)
        self._condition = condition or bus.condition
        self._metrics = metrics
        self._every_s = every_s
        self._timer = timer
        self._releasing: set[tuple[Collection, str]] = set()
        self._seen: dict[Collection, dict[str, float]] = {}
        self._behind = True

    async def release(self, collection: Collection, documents: PendingByDocument) -> None:
        """Publish the pending events of documents just written, then clear them.

        It does not fail when the broker or the store is away: the events are safe in their documents, and the relay
        publishes them as soon as it can.
        """
        chosen = [(key, events) for key, events in documents if events]
        if not chosen:
            return
        marks = {(collection, key) for key, _ in chosen}
        self._releasing |= marks
        try:
            await self._publish(collection, chosen)
        except (TransientError, PermanentError) as error:
            self._report(error)
        else:
            self._recovered()
        finally:
            self._releasing -= marks

    async def relay_once(self) -> int:
        """Publish what stayed pending; return the number of documents cleared.

        A document counts as stayed when two passes in a row saw it: others are on their way through `release`, here
        or in another service. At start, and after a failure, everything counts.

        Raises:
            TransientError: The broker or the store is away.
        """
        cleared = 0
        for collection in self._collections:
            while True:
                found = await self._records.pending(collection, limit=RELAY_BATCH)
                before = self._seen.get(collection, {})
                self._seen[collection] = self._since(found, before)
                self._show(collection, len(found))
                stayed = [
                    (key, events)
                    for key, events in found
                    if (collection, key) not in self._releasing
                    and (self._behind or all(event.event_id in before for event in events))
                ]
                done = await self._relay(collection, stayed) if stayed else 0
                cleared += done
                if not done or len(found) < RELAY_BATCH:
                    break
        self._behind = False
        return cleared

    async def run(self, stopping: asyncio.Event) -> None:
        """Relay at once, then every few seconds, until `stopping`."""
        while True:
            try:
                cleared = await self.relay_once()
            except (TransientError, PermanentError) as error:
                self._report(error)
            else:
                self._recovered()
                if cleared:
                    _log.info("relayed events that had stayed pending", documents=cleared)
            if await sleep_unless(stopping, self._every_s):
                return

    async def _relay(self, collection: Collection, documents: PendingByDocument) -> int:
        try:
            await self._publish(collection, documents)
        except PermanentError:
            # One event that the broker will never take must not hold back the others.
            return await self._relay_one_by_one(collection, documents)
        self._count(documents)
        return len(documents)

    async def _relay_one_by_one(self, collection: Collection, documents: PendingByDocument) -> int:
        cleared = 0
        for document in documents:
            try:
                await self._publish(collection, [document])
            except PermanentError as error:
                self._report(error)
            else:
                self._count([document])
                cleared += 1
        return cleared

    async def _publish(self, collection: Collection, documents: PendingByDocument) -> None:
        await self._bus.publish([event for _, events in documents for event in events])
        await self._records.apply(
            collection,
            [Change(id=key, pull_pending=[event.event_id for event in events]) for key, events in documents],
        )

    def _since(self, found: PendingByDocument, before: Mapping[str, float]) -> dict[str, float]:
        now = self._timer()
        return {event.event_id: before.get(event.event_id, now) for _, events in found for event in events}

    def _show(self, collection: Collection, documents: int) -> None:
        if self._metrics is not None:
            now = self._timer()
            oldest = min(self._seen[collection].values(), default=now)
            self._metrics.outbox_pending.labels(collection).set(documents)
            self._metrics.outbox_oldest.labels(collection).set(now - oldest)

    def _count(self, documents: PendingByDocument) -> None:
        if self._metrics is not None:
            self._metrics.relayed.inc(sum(len(events) for _, events in documents))

    def _report(self, error: TransientError | PermanentError) -> None:
        self._behind = True
        if self._condition.set_issue(_ISSUE, f"events wait to be published: {error}"):
            _log.warning("events wait to be published", error=str(error))

    def _recovered(self) -> None:
        if self._condition.clear_issue(_ISSUE):
            _log.info("publishes again")
