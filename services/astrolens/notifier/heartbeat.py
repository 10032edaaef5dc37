"""The public heartbeat: with it a listener can tell a silent sky from a dead line."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog

from astrolens.contracts import topics
from astrolens.contracts.alerts import HEARTBEAT_INTERVAL_S, Heartbeat
from astrolens.contracts.base import utc_now
from astrolens.contracts.events import producer
from astrolens.contracts.ids import event_id
from astrolens.contracts.records import Books
from astrolens.platform.bus.ports import EventPublisher
from astrolens.platform.errors import PermanentError, TransientError
from astrolens.platform.retry import sleep_unless
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import RecordStore

_PRODUCER: Final = producer("notifier")
_ISSUE: Final = "public heartbeat"
_log = structlog.get_logger(__name__)


class PublicHeartbeat:
    """Publishes a heartbeat at a constant rate, with a summary of the books."""

    def __init__(
        self,
        *,
        records: RecordStore,
        publisher: EventPublisher,
        condition: Condition,
        instance: str,
        every_s: float = HEARTBEAT_INTERVAL_S,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._records = records
        self._publisher = publisher
        self._condition = condition
        self._instance = instance
        self._every_s = every_s
        self._clock = clock
        self._started_at = clock()
        self._sequence = 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Beat until `stopping`. A beat that fails is lost, and its number with it."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            try:
                await self.beat()
            except (TransientError, PermanentError) as error:
                if self._condition.set_issue(_ISSUE, f"no heartbeat for listeners: {error}"):
                    _log.warning("no heartbeat for listeners", error=str(error))
            else:
                self._condition.clear_issue(_ISSUE)
            # Measured from the start, so that the rate does not drift with the time a beat takes.
            due = max(due + self._every_s, loop.time())
            if await sleep_unless(stopping, due - loop.time()):
                return

    async def beat(self) -> None:
        """Publish one heartbeat.

        Raises:
            BusUnavailable: The broker does not take it.
        """
        sequence, self._sequence = self._sequence, self._sequence + 1
        books, alerts = await self._summary()
        heartbeat = Heartbeat(
            event_id=event_id(topics.HEARTBEAT, self._instance, self._started_at.isoformat(), str(sequence)),
            producer=_PRODUCER,
            occurred_at=self._clock(),
            sequence=sequence,
            interval_s=self._every_s,
            books=books,
            alerts=alerts,
        )
        await self._publisher.publish([heartbeat.pending(topic=topics.HEARTBEAT, key=_PRODUCER)])

    async def _summary(self) -> tuple[Books | None, int | None]:
        try:
            outcomes, states, kinds = await self._records.tallies(
                [(Collection.RECEIPTS, "outcome"), (Collection.IMAGES, "state"), (Collection.ALERTS, "kind")]
            )
        except TransientError:
            # The line to the listeners works, and that is what a heartbeat tells.
            return None, None
        return Books.of(outcomes, states), sum(count for (_, tense), count in kinds.items() if tense != "injection")
