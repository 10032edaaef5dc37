from pathlib import Path

import numpy as np
import pytest
from astrolens.inference.similarity import vector_index
from astrolens.inference.similarity.image_ids import ImageIds
from astrolens.inference.similarity.vector_index import VectorIndex, unit

COMPRESS_AT = 3000


def ids_of(rows: range) -> np.ndarray:
    return np.array([list(row.to_bytes(16, "big")) for row in rows], dtype=np.uint8)


def sky_like(count: int, dimensions: int = 24) -> np.ndarray:
    """Embeddings on a curved surface of few dimensions, beside a large mean, as those of images are."""
    rng = np.random.default_rng(3)
    return (2.0 + np.tanh(0.2 * rng.normal(size=(count, 4)) @ rng.normal(size=(4, dimensions)))).astype(np.float32)


@pytest.fixture
def soon_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_index, "_COMPRESS_AT", COMPRESS_AT)
    monkeypatch.setattr(vector_index, "_COMPONENTS_STEP", 4)


def neighbours(vectors: np.ndarray, row: int, k: int) -> list[bytes]:
    cosines = unit(vectors).astype(np.float64) @ unit(vectors)[row].astype(np.float64)
    return [int(found).to_bytes(16, "big") for found in np.argsort(-cosines)[:k]]


def test_ids_are_found_whatever_the_order_of_their_arrival() -> None:
    rng = np.random.default_rng(1)
    known = rng.integers(0, 256, size=(500, 16), dtype=np.uint8)
    known[::7, 8:] = 0  # ids that end with zeros, or begin alike
    known[1::7, :12] = 0
    ids = ImageIds()
    for start in range(0, 500, 60):
        ids.add(known[start : start + 60])
    assert ids.rows(known).tolist() == list(range(500))
    assert ids.rows(rng.integers(0, 256, size=(50, 16), dtype=np.uint8)).tolist() == [-1] * 50
    assert (ids.array() == known).all()
    again = ImageIds(ids.array())
    assert again.rows(known[::-1]).tolist() == list(range(500))[::-1]


def test_no_ids_are_no_rows() -> None:
    ids = ImageIds()
    ids.add(np.empty((0, 16), dtype=np.uint8))
    assert len(ids) == 0
    assert ids.rows(ids_of(range(3))).tolist() == [-1, -1, -1]


def test_more_neighbours_than_images_are_all_images() -> None:
    index = VectorIndex(np.eye(4, dtype=np.float32))
    assert index.search(np.ones(4), 5) == []
    index.add(ids_of(range(2)), np.array([[1.0, 0, 0, 0], [0, 2.0, 0, 0]]))
    found = index.search(np.array([3.0, 1.0, 0, 0]), 5)
    assert [image for image, _ in found] == [bytes(16), (1).to_bytes(16, "big")]
    assert [similarity for _, similarity in found] == pytest.approx([3 / 10**0.5, 1 / 10**0.5])


def test_few_images_are_exact() -> None:
    vectors = sky_like(500)
    index = VectorIndex(vectors[:16])
    index.add(ids_of(range(500)), vectors)
    assert not index.is_compressed
    for row in range(20):
        assert [image for image, _ in index.search(vectors[row], 10)] == neighbours(vectors, row, 10)


@pytest.mark.usefixtures("soon_compressed")
def test_many_images_are_compressed_and_nearly_all_true_neighbours_are_found() -> None:
    vectors = sky_like(6000)
    index = VectorIndex(vectors[:32])
    for start in range(0, 6000, 1000):
        index.add(ids_of(range(start, start + 1000)), vectors[start : start + 1000])
        assert index.is_compressed == (start + 1000 >= COMPRESS_AT)
    assert len(index) == 6000
    assert index.bytes_per_vector < 24 * 4 / 2
    shared, own = 0, 0
    for row in range(0, 6000, 100):
        found = index.search(index.vector(row), 20)
        truth = neighbours(vectors, row, 20)
        shared += len({image for image, _ in found} & set(truth))
        own += found[0][0] == truth[0]
        cosines = [cosine for _, cosine in found]
        assert cosines == sorted(cosines, reverse=True)
        assert cosines[0] == pytest.approx(1.0, abs=1e-3)
    assert shared / (60 * 20) >= 0.97
    assert own >= 58
    assert index.rows(ids_of(range(5995, 6002))).tolist() == [5995, 5996, 5997, 5998, 5999, -1, -1]


@pytest.mark.usefixtures("soon_compressed")
def test_embeddings_that_need_too_many_components_keep_all_dimensions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_index, "_MAX_COMPONENTS", 8)
    vectors = np.random.default_rng(4).normal(size=(COMPRESS_AT, 24)).astype(np.float32)
    index = VectorIndex(vectors[:4])
    index.add(ids_of(range(COMPRESS_AT)), vectors)
    assert index.is_compressed
    assert index.bytes_per_vector == 24
    monkeypatch.setattr(vector_index, "_SEARCHED_SHARE", 1)
    shared = 0
    for row in range(50):
        found = {image for image, _ in index.search(vectors[row], 20)}
        shared += len(found & set(neighbours(vectors, row, 20)))
    assert shared / (50 * 20) >= 0.97


@pytest.mark.usefixtures("soon_compressed")
def test_an_archive_of_one_picture_can_be_compressed() -> None:
    vectors = np.repeat(sky_like(1), COMPRESS_AT, axis=0)
    index = VectorIndex(sky_like(4))
    index.add(ids_of(range(COMPRESS_AT)), vectors)
    assert index.is_compressed
    assert [cosine for _, cosine in index.search(vectors[0], 3)] == pytest.approx([1.0] * 3, abs=1e-3)


@pytest.mark.usefixtures("soon_compressed")
def test_embeddings_without_structure_keep_all_their_dimensions() -> None:
    vectors = np.random.default_rng(4).normal(size=(COMPRESS_AT, 6)).astype(np.float32)
    index = VectorIndex(vectors[:4])
    index.add(ids_of(range(COMPRESS_AT)), vectors)
    assert index.is_compressed
    assert index.vector(7) == pytest.approx(unit(vectors)[7], abs=1e-3)


@pytest.mark.usefixtures("soon_compressed")
@pytest.mark.parametrize("count", [0, 100, COMPRESS_AT])
def test_an_index_is_read_as_it_was_written_and_goes_on(tmp_path: Path, count: int) -> None:
    vectors = sky_like(COMPRESS_AT + 50)
    index = VectorIndex(vectors[:32])
    index.add(ids_of(range(count)), vectors[:count])
    index.write(tmp_path / "vectors", tmp_path / "ids.npy")
    again = VectorIndex.read(tmp_path / "vectors", tmp_path / "ids.npy", vectors[:32])
    for each in (index, again):
        each.add(ids_of(range(count, count + 50)), vectors[count : count + 50])
    assert (len(again), again.is_compressed) == (count + 50, count == COMPRESS_AT)
    for row in (0, count // 2, count + 49):
        assert again.search(again.vector(row), 10) == index.search(index.vector(row), 10)


def test_a_file_of_another_kind_is_no_index(tmp_path: Path) -> None:
    index = VectorIndex(sky_like(8))
    index.add(ids_of(range(3)), sky_like(3))
    index.write(tmp_path / "vectors", tmp_path / "ids.npy")
    with pytest.raises(ValueError, match="not of one index of 12 dimensions"):
        VectorIndex.read(tmp_path / "vectors", tmp_path / "ids.npy", sky_like(8, 12))
    np.save(tmp_path / "ids.npy", ids_of(range(2)))
    with pytest.raises(ValueError, match="not of one index"):
        VectorIndex.read(tmp_path / "vectors", tmp_path / "ids.npy", sky_like(8))
    (tmp_path / "vectors").write_bytes(b"no index")
    with pytest.raises(ValueError, match="FAISS cannot read vectors"):
        VectorIndex.read(tmp_path / "vectors", tmp_path / "ids.npy", sky_like(8))
    with pytest.raises(OSError, match="cannot write"):
        index.write(tmp_path / "no folder" / "vectors", tmp_path / "ids.npy")
