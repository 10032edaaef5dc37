"""What the notifier needs of others, as it uses it."""

from typing import Protocol


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
