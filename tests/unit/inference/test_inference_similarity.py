import struct
import threading
from pathlib import Path

import numpy as np
import pytest
from astrolens.inference.similarity.index import VectorIndex
from astrolens.inference.similarity.log import EmbeddingLog, LogInUse
from astrolens.inference.similarity.memory import NoEmbedding, SimilarityMemory, UnknownImage
from astrolens.science.bundle import Bundle

from tests.unit.inference.tiny_bundle import DIMENSIONS, image_id

RECORD_BYTES = 16 + 2 * DIMENSIONS
FRAME_HEAD_BYTES = 12


def embedding(seed: int) -> bytes:
    return np.random.default_rng(seed).normal(size=DIMENSIONS).astype("<f2").tobytes()


def images(*seeds: int) -> list[tuple[str, bytes]]:
    return [(image_id(seed), embedding(seed)) for seed in seeds]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "similarity"


def test_neighbours_are_those_of_the_whole_matrix(tiny_bundle: Bundle, folder: Path) -> None:
    memory = SimilarityMemory(bundle=tiny_bundle, folder=folder)
    assert memory.remember(images(*range(200))) == 200
    vectors = np.stack([np.frombuffer(embedding(seed), dtype="<f2").astype(np.float64) for seed in range(200)])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors[7]
    best = [int(row) for row in np.argsort(-cosines) if row != 7][:12]
    found = memory.like_image(image_id(7), 12)
    assert [image for image, _ in found] == [image_id(seed) for seed in best]
    assert [cosine for _, cosine in found] == pytest.approx([cosines[seed] for seed in best], abs=1e-5)
    assert memory.like_embedding(embedding(7), 1)[0] == (image_id(7), pytest.approx(1.0, abs=1e-5))
    memory.close()


def test_adding_twice_is_adding_once(tiny_bundle: Bundle, folder: Path) -> None:
    memory = SimilarityMemory(bundle=tiny_bundle, folder=folder)
    assert memory.remember(images(1, 2, 2)) == 2
    assert memory.remember(images(2, 1)) == 0
    size = (folder / "embeddings.log").stat().st_size
    assert memory.remember(images(1, 3)) == 1
    assert (folder / "embeddings.log").stat().st_size == size + FRAME_HEAD_BYTES + RECORD_BYTES
    assert len(memory) == 3
    memory.close()


def test_a_new_process_knows_what_the_old_one_knew(tiny_bundle: Bundle, folder: Path) -> None:
    memory = SimilarityMemory(bundle=tiny_bundle, folder=folder)
    memory.remember(images(*range(40)))
    memory.remember(images(*range(30, 60)))
    before = memory.like_image(image_id(3), 10)
    memory.close()
    again = SimilarityMemory(bundle=tiny_bundle, folder=folder)
    assert len(again) == 60
    assert again.like_image(image_id(3), 10) == before
    again.close()


def test_a_log_cut_off_at_any_byte_of_its_last_frame_loses_that_frame_only(tiny_bundle: Bundle, folder: Path) -> None:
    memory = SimilarityMemory(bundle=tiny_bundle, folder=folder)
    memory.remember(images(1, 2, 3))
    whole = (folder / "embeddings.log").stat().st_size
    memory.remember(images(4, 5))
    memory.close()
    data = (folder / "embeddings.log").read_bytes()
    assert len(data) == whole + FRAME_HEAD_BYTES + 2 * RECORD_BYTES
    for end in range(whole, len(data)):
        (folder / "embeddings.log").write_bytes(data[:end])
        memory = SimilarityMemory(bundle=tiny_bundle, folder=folder)
        assert len(memory) == 3
        assert image_id(4) not in memory
        # What was lost can be added again, and then stays.
        assert memory.remember(images(4, 5)) == 2
        memory.close()
        assert (folder / "embeddings.log").read_bytes() == data


def test_a_log_cut_off_at_any_byte_of_its_header_starts_anew(tiny_bundle: Bundle, folder: Path) -> None:
    SimilarityMemory(bundle=tiny_bundle, folder=folder).close()
    data = (folder / "embeddings.log").read_bytes()
    for end in range(len(data)):
        (folder / "embeddings.log").write_bytes(data[:end])
        memory = SimilarityMemory(bundle=tiny_bundle, folder=folder)
        assert memory.remember(images(1)) == 1
        memory.close()
        memory = SimilarityMemory(bundle=tiny_bundle, folder=folder)
        assert len(memory) == 1
        memory.close()


@pytest.mark.parametrize("offset", [0, 4, 8, 12, 20, 40])
def test_a_flipped_bit_ends_the_log_there(tiny_bundle: Bundle, folder: Path, offset: int) -> None:
    memory = SimilarityMemory(bundle=tiny_bundle, folder=folder)
    memory.remember(images(1))
    start = (folder / "embeddings.log").stat().st_size
    memory.remember(images(2, 3))
    memory.close()
    data = bytearray((folder / "embeddings.log").read_bytes())
    data[start + offset] ^= 0x10
    (folder / "embeddings.log").write_bytes(data)
    memory = SimilarityMemory(bundle=tiny_bundle, folder=folder)
    assert len(memory) == 1
    memory.close()
    assert (folder / "embeddings.log").stat().st_size == start


def test_the_log_of_another_model_is_put_aside(tiny_bundle: Bundle, folder: Path) -> None:
    folder.mkdir()
    (folder / "embeddings.log").write_bytes(struct.pack("<8sII", b"ASTROSIM", 1, 999) + bytes(100))
    memory = SimilarityMemory(bundle=tiny_bundle, folder=folder)
    assert len(memory) == 0
    memory.remember(images(1))
    memory.close()
    assert (folder / "embeddings.damaged").exists()
    again = SimilarityMemory(bundle=tiny_bundle, folder=folder)
    assert len(again) == 1
    again.close()


def test_two_servers_do_not_share_a_log(tiny_bundle: Bundle, folder: Path) -> None:
    memory = SimilarityMemory(bundle=tiny_bundle, folder=folder)
    with pytest.raises(LogInUse):
        SimilarityMemory(bundle=tiny_bundle, folder=folder)
    memory.close()


def test_a_failed_write_leaves_log_and_index_as_they_were(
    tiny_bundle: Bundle, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    memory = SimilarityMemory(bundle=tiny_bundle, folder=folder)
    memory.remember(images(1))
    before = (folder / "embeddings.log").read_bytes()
    real = os.pwrite

    def half(descriptor: int, data: bytes, offset: int) -> int:
        real(descriptor, bytes(data)[:9], offset)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", half)
    with pytest.raises(OSError, match="No space left"):
        memory.remember(images(2))
    monkeypatch.setattr(os, "pwrite", real)
    assert (folder / "embeddings.log").read_bytes() == before
    assert image_id(2) not in memory
    assert memory.remember(images(2)) == 1
    memory.close()


def test_what_has_no_direction_is_not_remembered(tiny_bundle: Bundle, folder: Path) -> None:
    memory = SimilarityMemory(bundle=tiny_bundle, folder=folder)
    nothing = np.zeros(DIMENSIONS, dtype="<f2").tobytes()
    endless = np.full(DIMENSIONS, np.inf, dtype="<f2").tobytes()
    assert memory.remember([(image_id(1), nothing), (image_id(2), endless), *images(3)]) == 1
    with pytest.raises(NoEmbedding):
        memory.like_embedding(nothing, 3)
    with pytest.raises(NoEmbedding, match="has 12 bytes, not 4"):
        memory.like_embedding(b"1234", 3)
    with pytest.raises(UnknownImage):
        memory.like_image(image_id(1), 3)
    with pytest.raises(UnknownImage):
        memory.like_image("../../etc/passwd", 3)
    memory.close()


def test_threads_may_add_and_search_at_once(tiny_bundle: Bundle, folder: Path) -> None:
    memory = SimilarityMemory(bundle=tiny_bundle, folder=folder)
    memory.remember(images(0))
    problems: list[Exception] = []

    def add(first: int) -> None:
        try:
            for seed in range(first, first + 100, 5):
                memory.remember(images(*range(seed, seed + 10)))
                memory.like_image(image_id(0), 5)
        except Exception as error:  # noqa: BLE001
            problems.append(error)

    threads = [threading.Thread(target=add, args=(first,)) for first in (0, 50, 100, 150)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(memory) == 255
    memory.close()
    log = EmbeddingLog(folder / "embeddings.log", dimensions=DIMENSIONS, model_digest=tiny_bundle.digest)
    assert sum(len(frame) for frame in log.read()) == 255
    log.close()


def test_a_large_index_finds_nearly_all_true_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    vectors = np.tanh(rng.normal(size=(6000, 4)) @ rng.normal(size=(4, 24))).astype(np.float32)
    index = VectorIndex(vectors[:32])
    index.add([row.to_bytes(16, "big") for row in range(6000)], vectors)
    exact = [index.search(vectors[row], 10) for row in range(50)]
    monkeypatch.setattr("astrolens.inference.similarity.index._EXACT_BELOW", 0)
    probed = [index.search(vectors[row], 10) for row in range(50)]
    shared = [
        len({image for image, _ in one} & {image for image, _ in two}) for one, two in zip(exact, probed, strict=True)
    ]
    assert sum(shared) / 500 > 0.95
    assert all(two[0][0] == row.to_bytes(16, "big") for row, two in enumerate(probed))


def test_more_neighbours_than_images_are_all_images() -> None:
    index = VectorIndex(np.eye(4, dtype=np.float32))
    assert index.search(np.ones(4), 5) == []
    index.add([b"a" * 16, b"b" * 16], np.array([[1.0, 0, 0, 0], [0, 2.0, 0, 0]]))
    found = index.search(np.array([3.0, 1.0, 0, 0]), 5)
    assert [image for image, _ in found] == [b"a" * 16, b"b" * 16]
    assert [similarity for _, similarity in found] == pytest.approx([3 / 10**0.5, 1 / 10**0.5])
