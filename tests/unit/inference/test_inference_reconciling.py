import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from astrolens.inference.similarity.memory import SimilarityMemory
from astrolens.inference.similarity.reconciling import Reconciler
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.sqlite.store import SqliteRecordStore
from astrolens.science.bundle import Bundle

from tests.unit.inference.tiny_bundle import DIMENSIONS, image_id

START = datetime(2026, 5, 1, tzinfo=UTC)


def document(seed: int, *, digest: str, at_s: float, embedding: bytes | None = None) -> dict:
    vector = np.random.default_rng(seed).normal(size=DIMENSIONS).astype("<f2").tobytes()
    moment = (START + timedelta(seconds=at_s)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return {
        "image_id": image_id(seed),
        "state": "analyzed",
        "analyzed_at": moment,
        "analysis": {
            "model_digest": digest,
            "embedding": base64.b64encode(embedding if embedding is not None else vector).decode(),
        },
        "pending": [],
    }


@pytest.fixture
async def records(tmp_path: Path):
    store = SqliteRecordStore(tmp_path / "records.sqlite")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def memory(tiny_bundle: Bundle, tmp_path: Path):
    memory = SimilarityMemory(bundle=tiny_bundle, folder=tmp_path / "similarity")
    yield memory
    memory.close()


def reconciler(records: SqliteRecordStore, memory: SimilarityMemory, bundle: Bundle, folder: Path) -> Reconciler:
    return Reconciler(
        records=records,
        memory=memory,
        model_digest=bundle.digest,
        cursor_file=folder / "reconciled.json",
        page_size=7,
    )


async def test_everything_of_this_model_is_added_page_by_page(
    records: SqliteRecordStore, memory: SimilarityMemory, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    own = [document(seed, digest=tiny_bundle.digest, at_s=seed) for seed in range(30)]
    others = [document(100 + seed, digest="other", at_s=seed) for seed in range(5)]
    await records.insert(Collection.IMAGES, own + others)
    sweeper = reconciler(records, memory, tiny_bundle, tmp_path)
    assert await sweeper.sweep() == 30
    assert await sweeper.sweep() == 0
    assert len(memory) == 30
    assert image_id(100) not in memory


async def test_what_comes_later_or_a_little_late_is_found(
    records: SqliteRecordStore, memory: SimilarityMemory, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    await records.insert(Collection.IMAGES, [document(1, digest=tiny_bundle.digest, at_s=100)])
    sweeper = reconciler(records, memory, tiny_bundle, tmp_path)
    assert await sweeper.sweep() == 1
    late = [document(2, digest=tiny_bundle.digest, at_s=80), document(3, digest=tiny_bundle.digest, at_s=120)]
    await records.insert(Collection.IMAGES, late)
    assert await sweeper.sweep() == 2


async def test_a_new_process_goes_on_where_the_old_one_stopped(
    records: SqliteRecordStore, memory: SimilarityMemory, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    await records.insert(
        Collection.IMAGES, [document(seed, digest=tiny_bundle.digest, at_s=1000 * seed) for seed in range(1, 4)]
    )
    await reconciler(records, memory, tiny_bundle, tmp_path).sweep()
    asked: list = []
    find = records.find

    async def noting(collection, query):
        asked.append(next(clause.value for clause in query.where if clause.field == "analyzed_at"))
        return await find(collection, query)

    records.find = noting
    await reconciler(records, memory, tiny_bundle, tmp_path).sweep()
    assert asked == ["2026-05-01T00:49:30.000000Z"]


@pytest.mark.parametrize("state", [b"", b"{}", b"not json", b'{"analyzed_at": "x", "images": 0}', None])
async def test_a_cursor_that_cannot_be_trusted_means_the_beginning(
    records: SqliteRecordStore, memory: SimilarityMemory, tiny_bundle: Bundle, tmp_path: Path, state: bytes | None
) -> None:
    await records.insert(Collection.IMAGES, [document(1, digest=tiny_bundle.digest, at_s=0)])
    if state is None:
        # The log has lost something that the cursor vouches for.
        state = b'{"analyzed_at": "2026-06-01T00:00:00.000000Z", "images": 1}'
    (tmp_path / "reconciled.json").write_bytes(state)
    assert await reconciler(records, memory, tiny_bundle, tmp_path).sweep() == 1


async def test_one_broken_document_does_not_keep_the_others_out(
    records: SqliteRecordStore, memory: SimilarityMemory, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    found = [document(seed, digest=tiny_bundle.digest, at_s=seed) for seed in range(5)]
    found[2] = document(2, digest=tiny_bundle.digest, at_s=2, embedding=b"short")
    await records.insert(Collection.IMAGES, found)
    assert await reconciler(records, memory, tiny_bundle, tmp_path).sweep() == 4
