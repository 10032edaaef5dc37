"""What of an upload became no arrival, by batch and bounded."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from astrolens.platform.stores.open import record_store
from astrolens.platform.stores.records import RecordStore
from astrolens.usecases.upload_notes import MAX_BATCHES, MAX_NOTE_LENGTH, MAX_NOTES, UploadNotes


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[RecordStore]:
    store = record_store(f"sqlite:///{tmp_path}/records.db")
    await store.open()
    yield store
    await store.close()


async def test_notes_are_kept_by_batch_and_bounded(records: RecordStore) -> None:
    notes = UploadNotes(records)
    await notes.keep("upload-1", ["pos.csv, line 3: dec_deg is '400'."])
    await notes.keep("upload-2", [])
    assert await notes.of("upload-1") == ["pos.csv, line 3: dec_deg is '400'."]
    assert await UploadNotes(records).of("upload-1") == await notes.of("upload-1")
    assert await notes.of("upload-2") == []
    await notes.keep("upload-3", ["x" * 1000] * (MAX_NOTES + 2))
    kept = await notes.of("upload-3")
    assert (len(kept), len(kept[0]), kept[-1]) == (MAX_NOTES + 1, MAX_NOTE_LENGTH, "And 2 more.")
    for number in range(MAX_BATCHES):
        await notes.keep(f"later-{number}", ["a note"])
    assert await notes.of("upload-1") == []
    assert await notes.of("later-0") == ["a note"]


async def test_uploads_that_end_at_once_keep_all_their_notes(records: RecordStore) -> None:
    notes = UploadNotes(records)
    await asyncio.gather(*(notes.keep(f"upload-{number}", [f"note {number}"]) for number in range(5)))
    assert [await notes.of(f"upload-{number}") for number in range(5)] == [[f"note {number}"] for number in range(5)]
