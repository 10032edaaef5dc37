"""What others need of the bus, as they use it."""

from collections.abc import Sequence
from typing import Protocol

from astrolens.contracts.records import PendingEvent
from astrolens.platform.stores.collections import Collection

PendingByDocument = Sequence[tuple[str, Sequence[PendingEvent]]]
"""Ids of documents, each with its pending events."""


class EventReleaser(Protocol):
    """Publishes the pending events of documents just written, then clears them."""

    async def release(self, collection: Collection, documents: PendingByDocument) -> None:
        """Publish and clear. What could not be published stays pending, and the outbox relay publishes it later."""


class EventPublisher(Protocol):
    """Publishes events that no document carries."""

    async def publish(self, events: Sequence[PendingEvent]) -> None:
        """Publish and wait for the acknowledgement.

        Raises:
            BusUnavailable: Not all were acknowledged in time; publishing again is harmless.
        """
