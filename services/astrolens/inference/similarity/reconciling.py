"""Keeps the similarity memory in step with the record store, which is the truth."""

import asyncio
import base64
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import structlog

from astrolens.contracts.base import utc_text
from astrolens.inference.similarity.memory import NoEmbedding, SimilarityMemory
from astrolens.platform.errors import TransientError
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Clause, Order, Query, RecordStore

_BEGINNING: Final = "0000-01-01T00:00:00.000000Z"
_OVERLAP: Final = timedelta(seconds=30)
"""Looked at twice: an analysis is stamped before it is written, and clocks differ a little."""

logger = structlog.get_logger(__name__)


class Reconciler:
    """Adds what was analysed with this model and is not remembered here: by another server, or before a crash.

    Args:
        records: The record store, open.
        memory: What to complete.
        model_digest: Whose analyses count.
        cursor_file: Keeps how far it got, so that a start does not read the whole archive.
        page_size: Documents a query.
        every_s: Pause between two sweeps, seconds.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        memory: SimilarityMemory,
        model_digest: str,
        cursor_file: Path,
        page_size: int = 1_000,
        every_s: float = 30.0,
    ) -> None:
        self._records = records
        self._memory = memory
        self._model_digest = model_digest
        self._cursor_file = cursor_file
        self._page_size = page_size
        self._every_s = every_s
        self._seen_until = self._read_cursor()

    async def run(self) -> None:
        """Sweep now and then again and again, until cancelled."""
        while True:
            try:
                added = await self.sweep()
                if added:
                    logger.info("similarity index reconciled", added=added, images=len(self._memory))
            except (TransientError, OSError) as error:
                logger.warning("similarity index could not be reconciled; trying again", error=str(error))
            await asyncio.sleep(self._every_s)

    async def sweep(self) -> int:
        """Go through everything analysed since the last sweep; return how many images were added."""
        since = _earlier(self._seen_until, _OVERLAP)
        latest, added, after = self._seen_until, 0, None
        while True:
            page = await self._records.find(
                Collection.IMAGES,
                Query(
                    where=(
                        Clause("analysis.model_digest", "eq", self._model_digest),
                        Clause("analyzed_at", "gte", since),
                    ),
                    order=Order("analyzed_at"),
                    limit=self._page_size,
                    after=after,
                    fields=("image_id", "analyzed_at", "analysis.embedding"),
                ),
            )
            if page.documents:
                added += await asyncio.to_thread(self._complete, page.documents)
                latest = max(latest, page.documents[-1]["analyzed_at"])
            if page.next is None:
                break
            after = page.next
        if latest != self._seen_until:
            self._seen_until = latest
            await asyncio.to_thread(self._write_cursor)
        return added

    def _complete(self, documents: Sequence[dict[str, Any]]) -> int:
        missing = [document for document in documents if document["image_id"] not in self._memory]
        try:
            return self._memory.remember(
                (document["image_id"], base64.b64decode(document["analysis"]["embedding"] or ""))
                for document in missing
            )
        except (NoEmbedding, ValueError) as error:
            # One broken document must not keep the others out.
            logger.warning("an analysis holds no embedding of its model", error=str(error))
            return sum(self._complete([document]) for document in missing) if len(missing) > 1 else 0

    def _read_cursor(self) -> str:
        """How far the last process got; the beginning where the log has lost something since."""
        try:
            state = json.loads(self._cursor_file.read_bytes())
            if int(state["images"]) <= len(self._memory):
                datetime.fromisoformat(state["analyzed_at"])
                return str(state["analyzed_at"])
        except (OSError, ValueError, KeyError, TypeError):
            return _BEGINNING
        return _BEGINNING

    def _write_cursor(self) -> None:
        # What the cursor vouches for must be on disk before it.
        self._memory.sync()
        part = self._cursor_file.with_suffix(".part")
        part.write_text(json.dumps({"analyzed_at": self._seen_until, "images": len(self._memory)}))
        part.replace(self._cursor_file)


def _earlier(moment: str, by: timedelta) -> str:
    if moment == _BEGINNING:
        return moment
    return utc_text(datetime.fromisoformat(moment) - by)
