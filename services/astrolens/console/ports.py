"""What the console needs of the outside, as it needs it."""

from collections.abc import Sequence
from typing import Protocol

from astrolens.contracts.records import PendingEvent
from astrolens.platform.stores.collections import Collection


class EventOutlet(Protocol):
    """Publishes the events of documents just written, soon; what fails stays pending for the relay."""

    def release(self, collection: Collection, documents: Sequence[tuple[str, Sequence[PendingEvent]]]) -> None:
        """Publish in the background: an answer does not wait for the broker."""

    async def publish(self, events: Sequence[PendingEvent]) -> None:
        """Publish now.

        Raises:
            BusUnavailable: The broker did not take them.
        """
