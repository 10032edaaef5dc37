"""Keeps originals that people look after, where the image store lets marked ones go by itself."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from astrolens.platform.stores.images import Expiry, ImageStore
from astrolens.platform.stores.records import Document


class Originals:
    """Takes the mark off originals whose record is about to say why they must stay.

    Args:
        images: The image store.
        expiring: Whether originals go at all; if not, nothing is asked of the store.
    """

    def __init__(self, images: ImageStore, *, expiring: bool) -> None:
        self._store = images if expiring and isinstance(images, Expiry) else None

    @asynccontextmanager
    async def protect_from_expiry(self, documents: Iterable[Document]) -> AsyncIterator[None]:
        """Write inside of this: no original is marked before, and none after.

        The mark goes first, so that a store that is away refuses the write and a crash leaves no marked original with
        a label. It goes again after: who marks may have looked just before the write.

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
