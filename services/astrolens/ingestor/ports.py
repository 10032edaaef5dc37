"""What the ingestor needs of the world, as small as it needs it."""

from dataclasses import dataclass
from typing import Protocol

from astrolens.science.cutouts import Cutout


class Decoder(Protocol):
    """Turns strangers' bytes into a cutout, where they can do no harm."""

    async def decode(self, data: bytes) -> Cutout:
        """The cutout of an original.

        Raises:
            ImageRejected: These bytes will never become a cutout.
        """


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a server sent: untrusted bytes."""

    data: bytes
    media_type: str
    url: str
    """Where it came from in the end, redirects followed."""


class Fetcher(Protocol):
    """Gets bytes from the hosts it may speak to."""

    async def get(self, url: str) -> Fetched:
        """Get what lies at a URL.

        Raises:
            PermanentError: It will never be had: a forbidden host, a missing page, too many bytes.
            TransientError: It could not be had now.
        """
