"""The image-store port: immutable bytes under content-addressed keys."""

from collections.abc import Sequence
from typing import Protocol

from astrolens.platform.errors import PermanentError

ORIGINALS = "originals/"
CUTOUTS = "cutouts/"


class ImageStore(Protocol):
    """Originals, cutouts and bundles. Every verb may raise `StoreUnavailable`."""

    @property
    def expiry(self) -> "Expiry | None":
        """The store's expiry of marked originals; None where it has none."""

    async def open(self) -> None:
        """Connect and create what is missing, within a bounded wait."""

    async def close(self) -> None:
        """Release everything."""

    async def ping(self) -> None:
        """Raise unless the store answers."""

    async def put(self, key: str, data: bytes, *, media_type: str) -> bool:
        """Put bytes where there are none yet, atomically; return whether they are new."""

    async def put_many(self, items: Sequence[tuple[str, bytes, str]]) -> None:
        """Put several (key, bytes, media type)."""

    async def get(self, key: str) -> bytes:
        """Get bytes.

        Raises:
            ObjectMissing: Nothing lies under this key.
        """

    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Get several; missing keys are left out."""

    async def exists(self, key: str) -> bool:
        """Whether something lies under this key."""

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove; a missing key is no error."""

    async def link(self, key: str, *, media_type: str, expires_s: float, filename: str | None = None) -> str | None:
        """An address at which whoever knows it gets these bytes for a while; None where the store gives none.

        It is a secret: it belongs into the answer to who asked, and into no log. Whether anything lies under the key
        is not asked.

        Args:
            key: What to get.
            media_type: What the bytes are served as, whatever they were put as.
            expires_s: How long the address is good for, seconds.
            filename: Serve them as a download of this name, never shown in a page: for what strangers sent.
        """


class Expiry(Protocol):
    """A rule by which a store deletes marked originals by itself.

    A missing key is no error: what is deleted needs no mark.
    """

    async def expire_after(self, days: int) -> None:
        """Delete marked originals at this age; 0 removes the rule, and nothing expires any more.

        Raises:
            ConfigurationError: The credentials may not set the rule.
        """

    async def mark_expendable(self, keys: Sequence[str]) -> None:
        """Let the rule delete these originals once they are old enough."""

    async def unmark_expendable(self, keys: Sequence[str]) -> None:
        """Remove the mark; where there is none, nothing happens."""


def original_key(sha256: str) -> str:
    """Where the bytes as they came lie."""
    return f"{ORIGINALS}{sha256[:2]}/{sha256}"


def cutout_key(image_id: str) -> str:
    """Where the canonical cutout of an image lies."""
    return f"{CUTOUTS}{image_id[:2]}/{image_id}.jpg"


def checked_key(key: str) -> str:
    """The key, when it is one.

    Raises:
        PermanentError: It is empty, has an empty or relative step, or a NUL: on some engine it would leave the store.
    """
    if not key or any(part in {"", ".", ".."} or "\0" in part for part in key.split("/")):
        raise PermanentError("bad-key", f"{key[:200]!r} is no image-store key")
    return key
