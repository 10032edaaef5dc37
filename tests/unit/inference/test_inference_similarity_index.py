import threading

import numpy as np
import pytest
from astrolens.inference.similarity import index as index_module
from astrolens.inference.similarity.index import NoEmbedding, SimilarityIndex, UnknownImage
from astrolens.inference.similarity.vector_index import VectorIndex
from astrolens.science.bundle import Bundle

from tests.unit.inference.embeddings import embedding, images
from tests.unit.inference.tiny_bundle import DIMENSIONS, image_id


@pytest.fixture
def index(tiny_bundle: Bundle) -> SimilarityIndex:
    return SimilarityIndex(VectorIndex(tiny_bundle.centroids))


def test_neighbours_are_those_of_the_whole_matrix(index: SimilarityIndex) -> None:
    index.add(images(*range(200)))
    vectors = np.stack([np.frombuffer(embedding(seed), dtype="<f2").astype(np.float64) for seed in range(200)])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors[7]
    best = [int(row) for row in np.argsort(-cosines) if row != 7][:12]
    found = index.like_image(image_id(7), 12)
    assert [image for image, _ in found] == [image_id(seed) for seed in best]
    assert [cosine for _, cosine in found] == pytest.approx([cosines[seed] for seed in best], abs=1e-5)
    assert index.like_embedding(embedding(7), 1)[0] == (image_id(7), pytest.approx(1.0, abs=1e-5))


def test_an_image_that_is_analysed_again_keeps_its_one_entry(index: SimilarityIndex) -> None:
    index.add(images(1, 2, 2))
    assert len(index) == 2
    before = index.like_image(image_id(1), 5)
    index.add([(image_id(1), embedding(99)), *images(2)])
    assert index.like_image(image_id(1), 5) == before
    assert len(index) == 2


def test_missing_images_are_named_in_their_order(index: SimilarityIndex) -> None:
    assert index.missing([]) == []
    index.add(images(1, 2, 3))
    asked = [image_id(9), image_id(2), "no id", image_id(4), image_id(1)]
    assert index.missing(asked) == [image_id(9), image_id(4)]


def test_what_has_no_direction_is_not_indexed(index: SimilarityIndex) -> None:
    nothing = np.zeros(DIMENSIONS, dtype="<f2").tobytes()
    endless = np.full(DIMENSIONS, np.inf, dtype="<f2").tobytes()
    index.add([(image_id(1), nothing), (image_id(2), endless), (image_id(5), b"short"), *images(3)])
    assert index.like_image(image_id(3), 5) == []
    assert len(index) == 1
    assert [index.is_usable(each) for each in (nothing, endless, b"short", embedding(3))] == [False, False, False, True]
    with pytest.raises(NoEmbedding):
        index.like_embedding(nothing, 3)
    with pytest.raises(NoEmbedding, match="has 12 bytes, not 4"):
        index.like_embedding(b"1234", 3)
    with pytest.raises(UnknownImage):
        index.like_image(image_id(1), 3)
    with pytest.raises(UnknownImage):
        index.like_image("../../etc/passwd", 3)


def test_the_buffer_of_new_images_is_bounded(index: SimilarityIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "_MAX_RECENT", 10)
    for seed in range(0, 95, 3):
        index.add(images(seed, seed + 1, seed + 2))
        assert len(index._recent) < 10
    assert len(index) == 96
    assert len(index._vectors) + len(index._recent) == 96


def test_threads_may_add_and_search_at_once(index: SimilarityIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "_MAX_RECENT", 16)
    index.add(images(0))
    problems: list[Exception] = []

    def add(first: int) -> None:
        try:
            for seed in range(first, first + 100, 5):
                index.add(images(*range(seed, seed + 10)))
                assert index.like_image(image_id(seed), 5)
                assert index.missing([image_id(seed)]) == []
        except Exception as error:  # noqa: BLE001
            problems.append(error)

    threads = [threading.Thread(target=add, args=(first,)) for first in (0, 50, 100, 150)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert index.missing([image_id(seed) for seed in range(255)]) == []
    assert len(index) == 255
