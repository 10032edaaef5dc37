"""The public heartbeat: listeners that get it know that the pipeline runs, even while there are no alerts."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog

from astrolens.contracts import topics
from astrolens.contracts.alerts import HEARTBEAT_INTERVAL_S, Heartbeat
from astrolens.contracts.base import utc_now
from astrolens.contracts.events import producer
from astrolens.contracts.ids import event_id
from astrolens.contracts.status import Books
from astrolens.notifier import lifecycle
from astrolens.platform.bus.ports import EventPublisher
from astrolens.platform.errors import TransientError
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.leases import Lease
from astrolens.platform.stores.records import RecordStore

_PRODUCER: Final = producer("notifier")
_log = structlog.get_logger(__name__)


class PublicHeartbeat:
    """Publishes heartbeats with a sequence number and a summary of the books.

    Of several notifiers only the holder of a lease publishes, so that listeners see one sequence. While the record
    store is unreachable nobody can take the lease over, and the last holder goes on: a heartbeat says that events
    reach the listeners, with or without the record store.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        publisher: EventPublisher,
        lease: Lease,
        instance: str,
        interval_s: float = HEARTBEAT_INTERVAL_S,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Compose; nothing is published.

        Args:
            records: Where the books are counted.
            publisher: The bus.
            lease: The right to publish heartbeats.
            instance: Name of this process, a part of event ids.
            interval_s: Seconds between heartbeats, as published in each of them.
            clock: The present time.
        """
        self._records = records
        self._publisher = publisher
        self._lease = lease
        self._holds_lease = True
        self._instance = instance
        self._interval_s = interval_s
        self._clock = clock
        self._started_at = clock()
        self._sequence = 0

    async def publish(self) -> None:
        """Publish one heartbeat. One that fails is not repeated: its sequence number is missing.

        Raises:
            BusUnavailable: The broker does not take it.
        """
        if not await self._acquire_lease():
            return
        sequence, self._sequence = self._sequence, self._sequence + 1
        books, alerts = await self._summary()
        heartbeat = Heartbeat(
            event_id=event_id(topics.HEARTBEAT, self._instance, self._started_at.isoformat(), str(sequence)),
            producer=_PRODUCER,
            occurred_at=self._clock(),
            sequence=sequence,
            interval_s=self._interval_s,
            books=books,
            alerts=alerts,
        )
        await self._publisher.publish([heartbeat.pending(topic=topics.HEARTBEAT, key=_PRODUCER)])

    async def release_lease(self) -> None:
        """Let another notifier publish at once; without this it waits for the end of the lease."""
        try:
            await self._lease.release()
        except TransientError as error:
            _log.warning("a lease was not released", error=str(error))

    async def _acquire_lease(self) -> bool:
        try:
            self._holds_lease = await self._lease.acquire()
        except TransientError as error:
            _log.debug("the lease of the public heartbeat cannot be renewed", error=str(error))
        return self._holds_lease

    async def _summary(self) -> tuple[Books | None, int | None]:
        """The books and the number of public alerts, None while the record store is unreachable."""
        try:
            outcomes, states, kinds = await self._records.tallies(
                [(Collection.RECEIPTS, "outcome"), (Collection.IMAGES, "state"), (Collection.ALERTS, "kind")]
            )
        except TransientError:
            return None, None
        public = sum(count for (_, tense), count in kinds.items() if tense not in lifecycle.NEVER_PUBLIC)
        return Books.of(outcomes, states), public
