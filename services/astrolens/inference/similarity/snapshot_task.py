"""When snapshots of the similarity index are taken: whenever enough is new, and when the service stops."""

import asyncio
from typing import Final

import structlog

from astrolens.inference.similarity.index import SimilarityIndex
from astrolens.inference.similarity.snapshot import SnapshotFolder
from astrolens.platform.errors import StoreUnavailable

_MIN_NEW_IMAGES: Final = 10_000
"""A start after a crash reads at most about so many images from the record store."""
_MIN_NEW_SHARE: Final = 0.05
"""Of a large index: a snapshot writes it whole, so that an image is written some twenty times as the index grows."""

logger = structlog.get_logger(__name__)


class SnapshotTask:
    """Saves one index into one folder.

    Args:
        index: What is saved.
        folder: Where.
    """

    def __init__(self, index: SimilarityIndex, folder: SnapshotFolder) -> None:
        self._index = index
        self._folder = folder

    async def run_pass(self) -> None:
        """Save the index if enough is new.

        Raises:
            StoreUnavailable: The disk is full or broken.
        """
        if len(self._index) - self._index.saved >= max(_MIN_NEW_IMAGES, _MIN_NEW_SHARE * self._index.saved):
            await self.save()

    async def save(self) -> None:
        """Save the index if anything is new.

        Raises:
            StoreUnavailable: The disk is full or broken.
        """
        try:
            saved = await asyncio.to_thread(self._index.save, self._folder)
        except OSError as error:
            raise StoreUnavailable(str(error)) from error
        if saved:
            logger.info("similarity index saved", images=self._index.saved)
