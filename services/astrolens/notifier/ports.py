"""The port of notification channels."""

from typing import Protocol


class Channel(Protocol):
    """A service that delivers messages to people."""

    @property
    def name(self) -> str:
        """A name without secrets, such as `mailto #1`."""

    async def send(self, title: str, body: str, *, picture: bytes | None) -> None:
        """Send one message, within a bounded wait.

        Args:
            title: One line of plain text.
            body: Plain text.
            picture: A JPEG to attach, where the channel supports attachments.

        Raises:
            DeliveryFailed: The message was not delivered. The sentence holds no secret.
        """
