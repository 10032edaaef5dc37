"""Protects originals from expiry, where the image store deletes those that are marked as expendable."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from astrolens.platform.stores.images import ImageStore
from astrolens.platform.stores.records import Document


class OriginalsProtection:
    """Takes the expiry mark off originals whose record is about to say why they must stay.

    Args:
        images: The image store.
        expiring: Whether originals expire at all; if not, nothing is asked of the store.
    """

    def __init__(self, images: ImageStore, *, expiring: bool) -> None:
        self._store = images.expiry if expiring else None

    @asynccontextmanager
    async def protect_from_expiry(self, documents: Iterable[Document]) -> AsyncIterator[None]:
        """Write the records inside of this block: no original is marked before the write, and none after.

        The mark is taken off first, so that an unreachable store refuses the write and a crash leaves no marked
        original with a label. It is taken off again after: the ingestor may have read the record just before the write
        and marked its original just after.

        Raises:
            StoreUnavailable: The mark cannot be taken off; nothing is written then.
        """
        keys = [document["original"]["key"] for document in documents]
        if self._store is None:
            yield
            return
        await self._store.unmark_expendable(keys)
        yield
        await self._store.unmark_expendable(keys)
