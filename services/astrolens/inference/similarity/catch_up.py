"""Completes the similarity index from the record store: what was analysed elsewhere, or here before a crash."""

import asyncio
import base64
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import Final

import structlog

from astrolens.contracts.base import utc_text
from astrolens.inference.similarity.index import BEGINNING, SimilarityIndex, is_image_id
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import Clause, Document, Order, Query, RecordStore

_PAGE: Final = 1_000
_OVERLAP: Final = timedelta(seconds=30)
"""Read twice: an analysis is stamped before it is written, and clocks differ a little."""
_MAX_PAUSE_S: Final = 1.0

logger = structlog.get_logger(__name__)


class CatchUp:
    """Reads what was analysed with a model since the last pass, the oldest first.

    After each page it pauses for as long as the page took, so that a cold start leaves the record store to the others.

    Args:
        records: The record store, open.
        index: What to complete; it keeps how far the catch-up has read.
        model_digest: Whose analyses count.
        page_size: Documents a query.
        on_unusable: Called with how many more analyses have no usable embedding.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        index: SimilarityIndex,
        model_digest: str,
        page_size: int = _PAGE,
        on_unusable: Callable[[int], None] | None = None,
    ) -> None:
        self._records = records
        self._index = index
        self._of_this_model = Clause("analysis.model_digest", "eq", model_digest)
        self._page_size = page_size
        self._on_unusable = on_unusable
        self._unusable: dict[str, str] = {}
        self._reported = False

    async def run_pass(self) -> int:
        """Read to the end; return how many images were added.

        Raises:
            StoreUnavailable: The record store is unreachable; the next pass goes on where this one ended.
        """
        query = Query(
            where=(
                self._of_this_model,
                Clause("analyzed_at", "gte", _earlier(self._index.analyzed_until, _OVERLAP)),
            ),
            order=Order("analyzed_at"),
            limit=self._page_size,
            fields=("image_id", "analyzed_at"),
        )
        added = 0
        began = monotonic()
        async for page in pages(self._records, Collection.IMAGES, query):
            added += await self._complete(page)
            self._index.analyzed_until = max(self._index.analyzed_until, page[-1]["analyzed_at"])
            self._drop_old_unusable()
            await asyncio.sleep(min(monotonic() - began, _MAX_PAUSE_S))
            began = monotonic()
        if added:
            logger.info("similarity index caught up", added=added, images=len(self._index))
        return added

    async def _complete(self, page: Sequence[Document]) -> int:
        """Add the images of a page that are missing."""
        analyzed_at = {document["image_id"]: document["analyzed_at"] for document in page}
        wanted = [image for image in analyzed_at if image not in self._unusable]
        missing = await asyncio.to_thread(self._index.missing, wanted)
        unusable = [image for image in wanted if not is_image_id(image)]
        added = 0
        if missing:
            # Most are known, so that their embeddings need not be read.
            found = await self._records.find(
                Collection.IMAGES,
                Query(
                    where=(Clause("image_id", "in", missing), self._of_this_model),
                    limit=len(missing),
                    fields=("image_id", "analysis.embedding"),
                ),
            )
            images = {document["image_id"]: self._embedding(document) for document in found.documents}
            usable = [(image, embedding) for image, embedding in images.items() if embedding is not None]
            unusable += [image for image, embedding in images.items() if embedding is None]
            await asyncio.to_thread(self._index.add, usable)
            added = len(usable)
        self._report_unusable({image: analyzed_at[image] for image in unusable})
        return added

    def _embedding(self, document: Document) -> bytes | None:
        """The embedding of a document, None where it has none that can be used."""
        try:
            analysis = document["analysis"]
            embedding = base64.b64decode(analysis["embedding"], validate=True)
        except (KeyError, TypeError, ValueError):
            return None
        return embedding if self._index.is_usable(embedding) else None

    def _report_unusable(self, images: dict[str, str]) -> None:
        """Count each once, and log the first: one bad record must neither stop the others nor fill the log."""
        if not images:
            return
        if not self._reported:
            self._reported = True
            logger.warning("an analysis without a usable embedding is left out", image_id=next(iter(images)))
        self._unusable |= images
        if self._on_unusable is not None:
            self._on_unusable(len(images))

    def _drop_old_unusable(self) -> None:
        # Only the overlap is read again.
        since = _earlier(self._index.analyzed_until, _OVERLAP)
        self._unusable = {image: at for image, at in self._unusable.items() if at >= since}


def _earlier(moment: str, by: timedelta) -> str:
    if moment == BEGINNING:
        return moment
    return utc_text(datetime.fromisoformat(moment) - by)
