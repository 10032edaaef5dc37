import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from astrolens.inference.similarity.catch_up import CatchUp
from astrolens.inference.similarity.index import BEGINNING, SimilarityIndex
from astrolens.inference.similarity.snapshot import SnapshotFolder
from astrolens.inference.similarity.vector_index import VectorIndex
from astrolens.platform.errors import StoreUnavailable
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Page, Query
from astrolens.platform.stores.sqlite.store import SqliteRecordStore
from astrolens.science.bundle import Bundle

from tests.unit.inference.embeddings import embedding, images
from tests.unit.inference.tiny_bundle import DIMENSIONS, image_id

START = datetime(2026, 5, 1, tzinfo=UTC)


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def document(seed: int, *, digest: str, at_s: float, data: bytes | None = None) -> dict:
    return {
        "image_id": image_id(seed),
        "state": "analyzed",
        "analyzed_at": at(at_s),
        "analysis": {
            "model_digest": digest,
            "embedding": base64.b64encode(embedding(seed) if data is None else data).decode(),
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
def index(tiny_bundle: Bundle) -> SimilarityIndex:
    return SimilarityIndex(VectorIndex(tiny_bundle.centroids))


@pytest.fixture
def digest(tiny_bundle: Bundle) -> str:
    return tiny_bundle.digest


class Queries:
    """A record store that notes its queries and fails when told so."""

    def __init__(self, inner: SqliteRecordStore) -> None:
        self._inner = inner
        self.queries: list[Query] = []
        self.fails_after: int | None = None

    async def find(self, collection: Collection, query: Query) -> Page:
        if self.fails_after is not None and len(self.queries) >= self.fails_after:
            raise StoreUnavailable("unreachable")
        self.queries.append(query)
        return await self._inner.find(collection, query)

    def since(self) -> list[str]:
        clauses = [clause for query in self.queries for clause in query.where]
        return [clause.value for clause in clauses if clause.field == "analyzed_at"]

    def wanted_images(self) -> int:
        clauses = [clause for query in self.queries for clause in query.where]
        return sum(len(clause.value) for clause in clauses if clause.field == "image_id")


def catch_up(records, index: SimilarityIndex, digest: str, **how) -> CatchUp:
    return CatchUp(records=records, index=index, model_digest=digest, page_size=7, **how)


async def test_everything_of_this_model_is_added_page_by_page(
    records: SqliteRecordStore, index: SimilarityIndex, digest: str
) -> None:
    own = [document(seed, digest=digest, at_s=seed) for seed in range(30)]
    others = [document(100 + seed, digest="other", at_s=seed) for seed in range(5)]
    await records.insert(Collection.IMAGES, own + others)
    runner = catch_up(records, index, digest)
    assert await runner.run_pass() == 30
    assert await runner.run_pass() == 0
    assert len(index) == 30
    assert index.analyzed_until == at(29)
    assert index.missing([image_id(0), image_id(29), image_id(100)]) == [image_id(100)]


async def test_what_comes_later_or_a_little_late_is_found(
    records: SqliteRecordStore, index: SimilarityIndex, digest: str
) -> None:
    await records.insert(Collection.IMAGES, [document(1, digest=digest, at_s=100)])
    runner = catch_up(records, index, digest)
    assert await runner.run_pass() == 1
    late = [document(2, digest=digest, at_s=80), document(3, digest=digest, at_s=120)]
    await records.insert(Collection.IMAGES, late)
    assert await runner.run_pass() == 2


async def test_of_known_images_no_embedding_is_read(
    records: SqliteRecordStore, index: SimilarityIndex, digest: str
) -> None:
    await records.insert(Collection.IMAGES, [document(seed, digest=digest, at_s=seed) for seed in range(30)])
    index.add(images(*range(28)))
    asked = Queries(records)
    assert await catch_up(asked, index, digest).run_pass() == 2
    assert asked.wanted_images() == 2
    assert all("analysis" not in query.fields for query in asked.queries)
    assert all(query.fields and query.limit <= 7 for query in asked.queries)


async def test_a_start_after_a_kill_reads_on_from_the_snapshot(
    records: SqliteRecordStore, index: SimilarityIndex, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    folder = SnapshotFolder(tmp_path / "similarity", model_digest=tiny_bundle.digest, centroids=tiny_bundle.centroids)
    written = [document(seed, digest=tiny_bundle.digest, at_s=1000 * seed) for seed in range(1, 6)]
    await records.insert(Collection.IMAGES, written[:3])
    runner = catch_up(records, index, tiny_bundle.digest)
    await runner.run_pass()
    index.save(folder)
    await records.insert(Collection.IMAGES, written[3:])
    await runner.run_pass()
    index.add(images(6))  # analysed here, and its record is written below
    del index, runner  # killed: nothing of it is saved
    await records.insert(Collection.IMAGES, [document(6, digest=tiny_bundle.digest, at_s=6000)])

    loaded = folder.load()
    assert loaded is not None
    again = SimilarityIndex(loaded[0], analyzed_until=loaded[1])
    asked = Queries(records)
    assert await catch_up(asked, again, tiny_bundle.digest).run_pass() == 3
    assert set(asked.since()) == {at(2970)}
    assert again.missing([image_id(seed) for seed in range(1, 7)]) == []


async def test_an_outage_in_the_middle_goes_on_from_there(
    records: SqliteRecordStore, index: SimilarityIndex, digest: str
) -> None:
    await records.insert(Collection.IMAGES, [document(seed, digest=digest, at_s=1000 * seed) for seed in range(30)])
    store = Queries(records)
    store.fails_after = 4  # two pages
    runner = catch_up(store, index, digest)
    with pytest.raises(StoreUnavailable):
        await runner.run_pass()
    assert len(index) == 14
    assert index.analyzed_until == at(13_000)
    store.fails_after = None
    store.queries.clear()
    assert await runner.run_pass() == 16
    assert set(store.since()) == {at(12_970)}


BROKEN = {
    "short": base64.b64encode(b"short").decode(),
    "no base64": "§§§§",
    "zero": base64.b64encode(bytes(2 * DIMENSIONS)).decode(),
    "absent": None,
    "a number": 7,
}


@pytest.mark.parametrize("kind", BROKEN)
async def test_a_broken_record_is_skipped_counted_once_and_never_looped_over(
    records: SqliteRecordStore, index: SimilarityIndex, digest: str, kind: str
) -> None:
    found = [document(seed, digest=digest, at_s=seed) for seed in range(15)]
    broken = BROKEN[kind]
    whole = Queries(records)
    find = whole.find

    async def with_broken(collection: Collection, query: Query) -> Page:
        page = await find(collection, query)
        for each in page.documents:
            if each["image_id"] == image_id(14) and "analysis" in each:
                each["analysis"] = {"model_digest": digest} if broken is None else {"embedding": broken}
        return page

    whole.find = with_broken  # type: ignore[method-assign]
    await records.insert(Collection.IMAGES, found)
    counted: list[int] = []
    runner = catch_up(whole, index, digest, on_unusable=counted.append)
    assert await runner.run_pass() == 14
    assert len(index) == 14
    assert index.analyzed_until == at(14)
    asked = whole.wanted_images()
    for _ in range(3):
        assert await runner.run_pass() == 0
    assert counted == [1]
    assert whole.wanted_images() == asked  # known to be broken: not even asked for again
    later = [document(seed, digest=digest, at_s=1000 + seed) for seed in (50, 51)]
    await records.insert(Collection.IMAGES, later)
    assert await runner.run_pass() == 2
    assert runner._unusable == {}  # bounded: only what may be read again is kept


async def test_an_empty_archive_is_no_work(records: SqliteRecordStore, index: SimilarityIndex, digest: str) -> None:
    assert await catch_up(records, index, digest).run_pass() == 0
    assert index.analyzed_until == BEGINNING
