"""What of an upload became no arrival, kept beside its batch: lines of its table, files that the browser refused."""

from collections.abc import Sequence
from typing import Final

from astrolens.platform.errors import TransientError
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, Clause, Document, RecordStore

UPLOAD_NOTES: Final = "upload-notes"
"""The document in META that holds them, shared by all consoles of one record store."""

MAX_BATCHES: Final = 20
"""Uploads whose notes are kept, the newest: people read them after they have sent, and correct their table."""

MAX_NOTES: Final = 50
"""Most sentences of one upload."""

MAX_NOTE_LENGTH: Final = 400

_MAX_ATTEMPTS: Final = 10


class UploadNotes:
    """Keeps sentences by batch, those of the newest uploads.

    Args:
        records: The record store.
    """

    def __init__(self, records: RecordStore) -> None:
        self._records = records

    async def keep(self, batch: str, notes: Sequence[str]) -> None:
        """Keep what is to be said of an upload; nothing where there is nothing.

        Raises:
            TransientError: Others keep notes all the time.
        """
        if not notes:
            return
        more = len(notes) - MAX_NOTES
        kept = [note[:MAX_NOTE_LENGTH] for note in notes[:MAX_NOTES]] + ([f"And {more} more."] if more > 0 else [])
        for _ in range(_MAX_ATTEMPTS):
            before = await self._read()
            others = [each for each in before["uploads"] if each["batch"] != batch]
            uploads = [*others, {"batch": batch, "notes": kept}][-MAX_BATCHES:]
            unchanged = (Clause("version", "eq", before["version"]),)
            after = {"uploads": uploads, "version": before["version"] + 1}
            if await self._records.apply(Collection.META, [Change(id=UPLOAD_NOTES, set=after, when=unchanged)]):
                return
        raise TransientError("too many uploads end at once")

    async def of(self, batch: str) -> list[str]:
        """The sentences of an upload; none where it has none, or where newer ones came after it."""
        uploads = (await self._read())["uploads"]
        return next((each["notes"] for each in uploads if each["batch"] == batch), [])

    async def _read(self) -> Document:
        found = (await self._records.get(Collection.META, [UPLOAD_NOTES])).get(UPLOAD_NOTES)
        if found is not None:
            return found
        await self._records.insert(Collection.META, [{"name": UPLOAD_NOTES, "uploads": [], "version": 0}])
        return (await self._records.get(Collection.META, [UPLOAD_NOTES]))[UPLOAD_NOTES]
