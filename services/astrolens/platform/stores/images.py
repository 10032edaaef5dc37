"""The image-store port: immutable bytes under content-addressed keys."""

from collections.abc import Sequence
from typing import Protocol


class ImageStore(Protocol):
    """Originals, cutouts and bundles. Every verb may raise `StoreUnavailable`."""

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


def original_key(sha256: str) -> str:
    """Where the bytes as they came lie."""
    return f"originals/{sha256[:2]}/{sha256}"


def cutout_key(image_id: str) -> str:
    """Where the canonical cutout of an image lies."""
    return f"cutouts/{image_id[:2]}/{image_id}.jpg"
