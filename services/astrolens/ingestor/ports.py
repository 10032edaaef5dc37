"""What the ingestor needs of others, as small as it uses it."""

from dataclasses import dataclass
from typing import Protocol

from astrolens.platform.errors import TransientError
from astrolens.science.cutouts import Cutout


class DecoderStalled(TransientError):
    """Several decoders did not run while they had an image: the machine is stopped or starved, or they sleep.

    Of all transient errors it alone concerns one image, so its neighbours are settled without it.
    """


class Decoder(Protocol):
    """Decodes untrusted bytes into a cutout, in isolation."""

    async def decode(self, data: bytes) -> Cutout:
        """The cutout of an original.

        Raises:
            ImageRejected: These bytes will never become a cutout.
            DecoderStalled: No decoder ran while it had them; they may be decoded later.
        """


@dataclass(frozen=True, slots=True)
class Fetched:
    """The body of a response: untrusted bytes."""

    data: bytes
    media_type: str
    url: str
    """Its address after redirects."""


class Fetcher(Protocol):
    """Fetches from the hosts that it may ask."""

    async def get(self, url: str) -> Fetched:
        """Fetch a URL.

        Raises:
            PermanentError: It can never be fetched: a forbidden host, a missing page, too many bytes.
            TransientError: It could not be fetched now.
        """
