"""The archive behind `make bench-growth` is what the pipeline would have written, and its table tells the targets."""

import base64
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import bson
import numpy as np
import pytest
from astrolens.contracts.base import Contract
from astrolens.contracts.records import AlertRecord, ImageRecord, Receipt
from astrolens.contracts.status import Books
from astrolens.platform.settings import PACKAGED_BUNDLE
from astrolens.platform.stores.collections import DECLARATIONS, Collection
from astrolens.platform.stores.hash_index import distance
from astrolens.platform.stores.mongo.codec import from_mongo
from astrolens.platform.stores.open import record_store
from astrolens.platform.stores.records import Document, to_document
from astrolens.science.bundle import Bundle

from tests.bench import archive, archive_filling, growth, growth_archives, mongodb_filling, sizes
from tests.bench.growth_report import table
from tests.bench.memory import MemorySampler, family_mib


@pytest.fixture(scope="module")
def model() -> archive.Model:
    return archive.Model.of(Bundle.load(PACKAGED_BUNDLE))


@pytest.fixture(scope="module")
def block(model: archive.Model) -> archive.Block:
    return archive.block(model, 3, 600)


@pytest.mark.parametrize(
    ("kind", "contract"), [("images", ImageRecord), ("receipts", Receipt), ("alerts", AlertRecord)]
)
def test_every_document_is_what_its_contract_writes(block: archive.Block, kind: str, contract: type[Contract]) -> None:
    documents: list[Document] = getattr(block, kind)
    assert documents
    for document in documents:
        assert to_document(contract.model_validate(document)) == document


def test_the_values_are_those_of_a_long_night(model: archive.Model, block: archive.Block) -> None:
    images = block.images
    assert {image["observation"]["survey"] for image in images} == set(model.surveys)
    assert {image["predicted_class"] for image in images} == set(model.classes)
    verdicts = Counter(image["verdict"] for image in images)
    assert verdicts["ordinary"] > 0.9 * len(images)
    assert len(block.alerts) == verdicts["anomaly"] > 0
    assert all(alert["model_digest"] != model.digest for alert in block.alerts)
    times = [image["ingested_at"] for image in images]
    assert times == sorted(times)
    assert all(image["analyzed_at"] > image["ingested_at"] for image in images)
    assert any(image["labels"] for image in images)


def test_embeddings_have_the_dimension_of_the_model_and_lie_in_clusters(
    model: archive.Model, block: archive.Block
) -> None:
    vectors = np.array(
        [np.frombuffer(base64.b64decode(image["analysis"]["embedding"]), dtype="<f2") for image in block.images],
        dtype=np.float32,
    )
    assert vectors.shape == (len(block.images), model.centroids.shape[1])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    centres = model.centroids / np.linalg.norm(model.centroids, axis=1, keepdims=True)
    assert np.median((unit @ centres.T).max(axis=1)) > 0.7


def test_near_duplicates_look_alike(block: archive.Block) -> None:
    hashes = {image["image_id"]: image["phash"] for image in block.images}
    links = [(image, link) for image in block.images for link in image["near_duplicates"]]
    assert links
    for image, link in links:
        assert distance(int(image["phash"], 16), int(hashes[link["image_id"]], 16)) == link["distance"]


def test_the_same_index_is_the_same_image_however_much_of_a_block_is_made(
    model: archive.Model, block: archive.Block
) -> None:
    assert archive.block(model, 3, 5).images == block.images[:5]
    assert block.images[0]["image_id"] == archive.image_id(3 * archive.BLOCK)


async def test_a_filled_archive_balances_and_filling_goes_on_where_it_stopped(
    model: archive.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "BLOCK", 100)
    store = record_store(f"sqlite:///{tmp_path / 'records.sqlite'}")
    await store.open()
    try:
        await archive_filling.fill(store, model, 150)
        assert await archive_filling.fill(store, model, 420) > 0
        assert await archive_filling.fill(store, model, 420) == 0.0
        outcomes, states = await store.tallies([(Collection.RECEIPTS, "outcome"), (Collection.IMAGES, "state")])
        books = Books.of(outcomes, states)
        assert (books.received, books.analyzed, books.in_flight) == (420, 420, 0)
        for collection in sizes.COUNTED:
            assert not await store.pending(collection, limit=1)
    finally:
        await store.close()
    told = sizes.of_sqlite(tmp_path, tmp_path / "records.sqlite")
    assert 0.95 * told["bytes"] < sum(told["bytes_by_collection"].values()) <= told["bytes"]
    record = sizes.a_record(told, {"images": 420, "receipts": 420, "alerts": 4})
    assert record["image, receipt and alert"] > record["images"] > record["receipts"] > 100


async def test_a_database_that_is_filled_directly_holds_and_counts_what_the_record_store_would(
    model: archive.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "BLOCK", 100)
    mongodb_filling._begin(model)
    rows = [mongodb_filling._rows(number, size) for number, size in archive_filling.blocks(150)]
    blocks = [archive.block(model, number, size) for number, size in archive_filling.blocks(150)]
    store = record_store(f"sqlite:///{tmp_path / 'records.sqlite'}")
    await store.open()
    try:
        await archive_filling.fill(store, model, 150)
        for collection in sizes.COUNTED:
            declared = DECLARATIONS[collection]
            made = [from_mongo(declared, bson.decode(each)) for own in rows for each in own.documents[collection]]
            wanted = [row for each in blocks for row in getattr(each, collection.value)]
            assert made == [{name: value for name, value in row.items() if name != "pending"} for row in wanted]
            assert set(await store.get(collection, [row[declared.key] for row in made])) == {
                row[declared.key] for row in made
            }
            counted = sum((own.tallies[collection] for own in rows), Counter())
            for name in declared.tallies:
                tally = await store.tally(collection, name)
                assert {key: n for (of, key), n in counted.items() if of == name} == {
                    json.dumps(list(key)): n for key, n in tally.items()
                }
    finally:
        await store.close()


def test_the_name_of_an_archive_is_the_same_in_every_process() -> None:
    script = (
        "from tests.bench.archive import Model; from astrolens.science.bundle import Bundle; "
        "from astrolens.platform.settings import PACKAGED_BUNDLE; "
        "print(Model.of(Bundle.load(PACKAGED_BUNDLE)).fingerprint())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            timeout=240,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


def test_blocks_cover_what_is_missing() -> None:
    assert list(archive_filling.blocks(archive.BLOCK + 5)) == [(0, archive.BLOCK), (1, 5)]
    assert list(archive_filling.blocks(archive.BLOCK + 5, start=archive.BLOCK + 1)) == [(1, 5)]
    assert list(archive_filling.blocks(0)) == []


def test_the_table_tells_targets_ratios_and_what_failed() -> None:
    empty = {"engine": "sqlite", "archive": 0, "images_per_s": 200.0, "start": {"seconds": 8.0}}
    large = {
        "engine": "sqlite",
        "archive": 100_000,
        "images_per_s": 150.0,
        "start": {"seconds": 20.0},
        "memory_rest_mib": {"console": 90, "total": 700},
        "calls": {"status": {"calls": 20, "p50_ms": 3.0, "max_ms": 9.5}},
    }
    lost = {"engine": "sqlite", "archive": 1_000_000, "failed": "not ready within 300 s"}
    lines = table([empty, large, lost])
    assert "| start-up, s | <= 15 | 8.0 | 20.0 |  |" in lines
    assert "| images/s over the empty archive's | >= 0.9 | 1.0 | 0.75 |  |" in lines
    assert "| memory at rest (PSS), MiB | <= 1536 |  | 700 |  |" in lines
    assert "| status: p50, max, ms |  |  | 3, 9.5 |  |" in lines
    assert "| failed |  |  |  | not ready within 300 s |" in lines


def test_a_size_that_fails_is_told_and_takes_nothing_along(
    model: archive.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> growth_archives.Prepared:
        raise OSError("the disk is full\nand more lines")

    monkeypatch.setattr(growth, "sqlite_archive", full)
    plan = growth_archives.Plan(
        folder=tmp_path, scratch=tmp_path, model=model, images=10, rounds=1, fill_s=1.0, start_s=1.0, stack=None
    )
    row = growth._size(plan, 100)
    assert row == {"engine": "sqlite", "archive": 100, "failed": "the disk is full", "seconds": 0}
    assert "OSError" in (tmp_path / "failed-sqlite-100.txt").read_text()


def test_archives_are_filled_in_memory_only_where_there_is_plenty(tmp_path: Path) -> None:
    assert growth_archives.filling_folder(tmp_path / "sqlite-1-abc", 10**9) == tmp_path / "sqlite-1-abc.part"


def test_memory_is_sampled_by_process_and_peaks_are_kept() -> None:
    sampler = MemorySampler(lambda: {"this": os.getpid()})
    now = sampler.sample()
    assert now["this"] == now["total"] > 5
    assert sampler.peaks()["total"] >= now["total"]
    sampler.reset()
    assert sampler.peaks() == {}
    assert family_mib(2**22 + 1) == 0.0  # no such process
