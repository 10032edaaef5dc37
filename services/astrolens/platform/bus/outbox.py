"""The outbox: events that are written together with the documents that caused them, and published afterwards.

`release` publishes at once after a write. The relay publishes what stayed pending, because a process died or the broker
did not answer between the write and the publication. Publishing twice is harmless.

Nothing holds back its neighbours. Each topic has its own outcome: one that is missing or forbidden is tried again after
a growing wait while all others are published. An event that the broker never accepts is moved to the dead letters.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

import structlog

from astrolens.contracts.base import utc_now
from astrolens.contracts.records import PendingEvent
from astrolens.platform.bus import Bus
from astrolens.platform.bus.dead_letters import dead_letter_of_event
from astrolens.platform.bus.ports import PendingByDocument
from astrolens.platform.errors import BusUnavailable, PermanentError, TransientError
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, RecordStore
from astrolens.platform.telemetry.metrics import Metrics

RELAY_INTERVAL_S: Final = 3.0
"""Seconds between two passes of the relay."""
RELAY_BATCH: Final = 256
"""Documents published and cleared at once; bounds memory and the length of one write."""
PAGES_PER_PASS: Final = 8
"""Batches that one pass reads. When more documents wait, the next pass goes on behind them, and in the end begins again
with the oldest."""
PASS_TIMEOUT_S: Final = 30.0
"""After so many seconds a pass begins no further publication; the bus bounds one that is running."""
MAX_CONCURRENT_TOPICS: Final = 8
"""Topics published to at the same time: each of those that do not answer costs the whole wait of a publication."""
INITIAL_WAIT_S: Final = 5.0
MAX_WAIT_S: Final = 60.0
"""Wait before a topic is tried again that failed while others worked; doubled after each failure in a row."""
RELAY_TASK: Final = "outbox relay"
"""Name of the periodic task, and key of the issue: what `release` could not publish, a pass of the relay publishes."""
RELAY_ISSUE: Final = "events wait to be published"

_NAMED_TOPICS: Final = 3
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _FailingTopic:
    """A topic that does not take events while others do."""

    retry_at: float
    wait_s: float
    error: TransientError


@dataclass
class _Outcome:
    """What became of the topics of one release, or of one pass of the relay."""

    deadline: float
    published: set[str] = field(default_factory=set)
    failed: dict[str, TransientError] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)

    @property
    def error(self) -> TransientError | None:
        """The first failure."""
        return next(iter(self.failed.values()), None)


@dataclass
class _Walk:
    """A walk through the pending documents of a collection, oldest first, which may take several passes.

    Attributes:
        after: Id of the last document that stayed, to go on behind it.
        documents: Ids of the documents that were found.
        first_seen: When each of their events was seen first.
    """

    after: str | None = None
    documents: set[str] = field(default_factory=set)
    first_seen: dict[str, float] = field(default_factory=dict)

    def add(self, found: PendingByDocument, before: Mapping[str, float], now: float) -> None:
        """Add documents."""
        self.documents.update(key for key, _ in found)
        self.first_seen.update(
            {event.event_id: before.get(event.event_id, now) for _, events in found for event in events}
        )


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
        self._walks: dict[Collection, _Walk] = {}
        self._failing: dict[str, _FailingTopic] = {}
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
        outcome = _Outcome(self._clock() + PASS_TIMEOUT_S)
        try:
            await self._publish_and_clear(collection, with_events, outcome)
        except TransientError as error:
            self._report(error)
            return
        finally:
            self._releasing -= releasing
        self._update_failing(outcome)
        if outcome.error is not None:
            self._report(outcome.error)
        elif not self._failing:
            self._clear_issue()

    async def relay_once(self) -> int:
        """Publish what stayed pending; return the number of documents cleared.

        An event counts as stayed when two passes in a row saw it: younger ones are being released, here or in another
        service. In the first pass, and after a failure, every event counts.

        Raises:
            TransientError: The broker or the store does not answer; or some topics do not take events, and everything
                else was published.
        """
        outcome = _Outcome(self._clock() + PASS_TIMEOUT_S)
        try:
            cleared = sum([await self._relay_collection(collection, outcome) for collection in self._collections])
        except TransientError:
            self._relay_all = True
            raise
        if cleared:
            _log.info("relayed events that had stayed pending", documents=cleared)
        self._update_failing(outcome)
        if outcome.error is not None and not outcome.published:
            self._relay_all = True
            raise outcome.error
        self._relay_all = False
        # One that was not tried again for so long has no events any more.
        expired = self._clock() - MAX_WAIT_S
        self._failing = {topic: failing for topic, failing in self._failing.items() if failing.retry_at > expired}
        if self._failing:
            named = ", ".join(list(self._failing)[:_NAMED_TOPICS])
            error = next(iter(self._failing.values())).error
            raise BusUnavailable(f"{len(self._failing)} topics do not take events ({named}): {error}")
        return cleared

    async def _relay_collection(self, collection: Collection, outcome: _Outcome) -> int:
        """Relay the next pages of a collection; return the number of documents cleared."""
        before = self._first_seen.get(collection, {})
        walk = self._walks.setdefault(collection, _Walk())
        cleared, complete = 0, False
        try:
            for _ in range(PAGES_PER_PASS):
                found = await self._records.pending(collection, limit=RELAY_BATCH, after=walk.after)
                new = [(key, events) for key, events in found if key not in walk.documents]
                walk.add(new, before, self._clock())
                stayed = [
                    (key, events)
                    for key, events in new
                    if (collection, key) not in self._releasing
                    and (self._relay_all or all(event.event_id in before for event in events))
                ]
                done = await self._publish_and_clear(collection, stayed, outcome) if stayed else set()
                self._count([(key, events) for key, events in stayed if key in done])
                cleared += len(done)
                walk.after = next((key for key, _ in reversed(found) if key not in done), walk.after)
                # The oldest come first: behind a page of events that are being released there is nothing that stayed.
                if complete := len(found) < RELAY_BATCH or (bool(new) and not stayed):
                    break
                if self._clock() >= outcome.deadline:
                    break
        finally:
            self._first_seen[collection] = walk.first_seen if complete else before | walk.first_seen
            self._observe(collection, len(walk.documents))
            if complete:
                del self._walks[collection]
        return cleared

    async def _publish_and_clear(
        self, collection: Collection, documents: PendingByDocument, outcome: _Outcome
    ) -> set[str]:
        """Publish the events of documents, each topic by itself, and clear those that are settled.

        Returns:
            Ids of documents whose events are all settled: published, or dead-lettered.

        Raises:
            StoreUnavailable: Nothing was cleared.
        """
        by_topic: dict[str, list[tuple[str, PendingEvent]]] = {}
        for key, events in documents:
            for event in events:
                by_topic.setdefault(event.topic, []).append((key, event))
        settled: set[tuple[str, str, str]] = set()
        limit = asyncio.Semaphore(MAX_CONCURRENT_TOPICS)

        async def publish(topic: str) -> None:
            async with limit:
                if not self._may_try(topic, outcome):
                    outcome.skipped.add(topic)
                    return
                try:
                    await self._publish_topic(by_topic[topic], settled)
                except TransientError as error:
                    outcome.failed[topic] = error
                else:
                    outcome.published.add(topic)

        async with asyncio.TaskGroup() as group:
            for topic in by_topic:
                group.create_task(publish(topic), name=f"publish to {topic}")
        return await self._clear(collection, documents, settled)

    async def _publish_topic(
        self, events: Sequence[tuple[str, PendingEvent]], settled: set[tuple[str, str, str]]
    ) -> None:
        """Publish events of one topic, in their order; add those that are settled, by document, id and topic."""
        try:
            await self._bus.publish([event for _, event in events])
        except PermanentError as error:
            if len(events) > 1:
                # One event that the broker never accepts must not hold back the others.
                for each in events:
                    await self._publish_topic([each], settled)
                return
            await self._dead_letter(events[0][1], error)
        settled.update((key, event.event_id, event.topic) for key, event in events)

    async def _dead_letter(self, event: PendingEvent, error: PermanentError) -> None:
        """Store an event that can never be published, with the reason."""
        letter = dead_letter_of_event(
            event, service=self._bus.service, error_type=error.reason.code, error=str(error), at=utc_now()
        )
        await self._records.insert(Collection.DEAD_LETTERS, [letter])
        if self._metrics is not None:
            self._metrics.dead_letters.labels(stage=event.topic, error=error.reason.code).inc()
        self._condition.record_error(f"an event for {event.topic} was dead-lettered: {error}")
        _log.error("an event was dead-lettered", topic=event.topic, event_id=event.event_id, error=str(error))

    async def _clear(
        self, collection: Collection, documents: PendingByDocument, settled: set[tuple[str, str, str]]
    ) -> set[str]:
        changes: list[Change] = []
        done: set[str] = set()
        for key, events in documents:
            # Alerts of older versions have two events of one id: it is cleared when both are settled.
            waiting = {event.event_id for event in events if (key, event.event_id, event.topic) not in settled}
            ids = dict.fromkeys(event.event_id for event in events if event.event_id not in waiting)
            if ids:
                changes.append(Change(id=key, pull_pending=list(ids)))
            if not waiting:
                done.add(key)
        if changes:
            await self._records.apply(collection, changes)
        return done

    def _may_try(self, topic: str, outcome: _Outcome) -> bool:
        failing = self._failing.get(topic)
        now = self._clock()
        return topic not in outcome.failed and now < outcome.deadline and (failing is None or now >= failing.retry_at)

    def _update_failing(self, outcome: _Outcome) -> None:
        """Remember topics that failed while others worked.

        Where all failed, the broker does not answer: it is tried again at once.
        """
        for topic in outcome.published:
            self._failing.pop(topic, None)
        if not outcome.published:
            return
        for topic, error in outcome.failed.items():
            before = self._failing.get(topic)
            wait_s = INITIAL_WAIT_S if before is None else min(before.wait_s * 2.0, MAX_WAIT_S)
            self._failing[topic] = _FailingTopic(self._clock() + wait_s, wait_s, error)

    def _observe(self, collection: Collection, documents: int) -> None:
        if self._metrics is not None:
            now = self._clock()
            oldest = min(self._first_seen[collection].values(), default=now)
            self._metrics.outbox_pending.labels(collection).set(documents)
            self._metrics.outbox_oldest.labels(collection).set(now - oldest)

    def _count(self, documents: PendingByDocument) -> None:
        if self._metrics is not None:
            self._metrics.relayed.inc(sum(len(events) for _, events in documents))

    def _report(self, error: TransientError) -> None:
        self._relay_all = True
        if self._condition.set_issue(RELAY_TASK, f"{RELAY_ISSUE}: {error}"):
            _log.warning(RELAY_ISSUE, error=str(error))

    def _clear_issue(self) -> None:
        if self._condition.clear_issue(RELAY_TASK):
            _log.info("events are published again")
