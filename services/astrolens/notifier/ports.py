"""What the notifier needs of others, as it uses it."""

from collections.abc import Sequence
from typing import Protocol

from astrolens.contracts.records import PendingEvent
from astrolens.platform.stores.collections import Collection


class Releaser(Protocol):
    """Publishes the pending events of documents just written, and clears them."""

    async def release(self, collection: Collection, documents: Sequence[tuple[str, Sequence[PendingEvent]]]) -> None:
        """Publish and clear; what could not be published stays pending."""


class Publisher(Protocol):
    """Publishes events that no document carries."""

    async def publish(self, events: Sequence[PendingEvent]) -> None:
        """Publish and wait for the acknowledgement.

        Raises:
            BusUnavailable: Not acknowledged in time.
        """


class Channel(Protocol):
    """A way to reach people."""

    @property
    def name(self) -> str:
        """A name without secrets, such as `mailto #1`."""

    async def send(self, title: str, body: str, *, picture: bytes | None) -> None:
        """Send one message, within a bounded wait.

        Args:
            title: One line of plain text.
            body: Plain text.
            picture: A JPEG to attach, where the channel can.

        Raises:
            DeliveryFailed: It did not get through; the sentence holds no secret.
        """
