"""The vectors of an index in FAISS: exact while they are few, compressed in inverted lists when they are many."""

from pathlib import Path
from typing import Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray

from astrolens.inference.similarity.image_ids import ImageIds

_COMPRESS_AT: Final = 20_000
"""Images. Fewer are kept uncompressed and all searched: 20 MB, some milliseconds, and exact."""
_MIN_KEPT_VARIANCE: Final = 0.9999
"""Share of the embeddings' variance that float16 components must keep. Where few directions hold it, neighbours differ
by thousandths of a cosine, and fewer components or 8-bit codes lose them."""
_COMPONENTS_STEP: Final = 32
_MAX_COMPONENTS: Final = 128
"""256 bytes an image. Embeddings that need more than these, as those of `second-light` do (219), are
kept in all their dimensions with 8 bits each: measured, that finds 98 % of their neighbours, 128 components 35 %."""
_SEARCHED_SHARE: Final = 4
"""One list in so many is searched in a compressed index."""


class VectorIndex:
    """Embeddings under image ids, each once, compared by cosine similarity.

    A compressed index keeps the principal components of unit vectors as float16 in inverted lists, or all dimensions
    with 8 bits each where few components are not enough. The components are computed once, from the first images. What
    later images have outside them is lost, some 1e-4 of a squared distance.

    Not for several threads at once; its owner holds a lock.

    Args:
        centroids: [lists, d] centres of the inverted lists, of any length but zero; they come with the model.
    """

    def __init__(self, centroids: NDArray[np.float32]) -> None:
        self._centroids = unit(centroids)
        self._faiss: faiss.Index = faiss.IndexFlatIP(self.dimensions)
        self._ids = ImageIds()

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def dimensions(self) -> int:
        """Length of an embedding."""
        return int(self._centroids.shape[1])

    @property
    def is_compressed(self) -> bool:
        """Whether vectors are kept as principal components."""
        return isinstance(self._faiss, faiss.IndexPreTransform)

    @property
    def bytes_per_vector(self) -> int:
        """Size of a stored vector, without ids and bookkeeping (36 bytes)."""
        if self.is_compressed:
            return int(faiss.extract_index_ivf(self._faiss).code_size)
        return 4 * self.dimensions

    def rows(self, ids: NDArray[np.uint8]) -> NDArray[np.int64]:
        """[m] the rows of ids [m, 16], -1 for each that is not here."""
        return self._ids.rows(ids)

    def add(self, ids: NDArray[np.uint8], embeddings: NDArray[Any]) -> None:
        """Add images.

        Args:
            ids: [n, 16], distinct and not here yet.
            embeddings: [n, d], of any length but zero.
        """
        if not len(ids):
            return
        _use_one_thread()
        self._faiss.add(unit(embeddings))
        self._ids.add(ids)
        if not self.is_compressed and len(self) >= _COMPRESS_AT:
            self._compress()

    def vector(self, row: int) -> NDArray[np.float32]:
        """The unit vector [d] of a row, as far as it was kept."""
        return np.asarray(self._faiss.reconstruct(row), dtype=np.float32)

    def search(self, embedding: NDArray[Any], k: int) -> list[tuple[bytes, float]]:
        """The k images of the largest cosine similarity with `embedding` [d], best first: ids and similarities."""
        _use_one_thread()
        if self.is_compressed:
            lists = faiss.extract_index_ivf(self._faiss)
            lists.nprobe = max(1, lists.nlist // _SEARCHED_SHARE)
        distances, rows = self._faiss.search(unit(embedding[None]), k)
        found = rows[0] >= 0
        # Between unit vectors, a squared distance is 2 - 2 cos.
        cosines = 1 - distances[0] / 2 if self.is_compressed else distances[0]
        ids = self._ids.array()[rows[0][found]]
        return [(image.tobytes(), float(cosine)) for image, cosine in zip(ids, cosines[found], strict=True)]

    def write(self, vectors: Path, ids: Path) -> None:
        """Write both files.

        Raises:
            OSError: The disk is full or broken.
        """
        try:
            faiss.write_index(self._faiss, str(vectors))
        except RuntimeError as error:  # all that FAISS has for a failed write
            raise OSError(f"cannot write {vectors}: {str(error).splitlines()[0]}") from error
        np.save(ids, self._ids.array(), allow_pickle=False)

    @classmethod
    def read(cls, vectors: Path, ids: Path, centroids: NDArray[np.float32]) -> "VectorIndex":
        """An index as it was written.

        Raises:
            OSError: A file cannot be read.
            ValueError: The files hold no index for embeddings of this size.
        """
        index = cls(centroids)
        try:
            found = faiss.read_index(str(vectors))
        except RuntimeError as error:
            raise ValueError(f"FAISS cannot read {vectors.name}: {str(error).splitlines()[0]}") from error
        image_ids = np.load(ids, allow_pickle=False)
        if found.d != index.dimensions or image_ids.shape != (found.ntotal, index._ids.array().shape[1]):
            raise ValueError(f"{vectors.name}, {ids.name}: not of one index of {index.dimensions} dimensions")
        index._faiss, index._ids = found, ImageIds(image_ids)
        return index

    def _compress(self) -> None:
        vectors = self._faiss.reconstruct_n(0, len(self))
        count = _components_of(vectors)
        codes = faiss.ScalarQuantizer.QT_fp16 if count <= _MAX_COMPONENTS else faiss.ScalarQuantizer.QT_8bit
        components = faiss.PCAMatrix(self.dimensions, count if count <= _MAX_COMPONENTS else self.dimensions)
        components.train(vectors)
        coarse = faiss.IndexFlatL2(components.d_out)
        coarse.add(components.apply(self._centroids))
        lists = faiss.IndexIVFScalarQuantizer(
            coarse,
            components.d_out,
            len(self._centroids),
            codes,
            faiss.METRIC_L2,
            False,  # without residuals: measured, they add nothing to components
        )
        lists.train(components.apply(vectors))
        # Maps a row to its place in the lists, for `reconstruct`.
        lists.make_direct_map(True)
        compressed = faiss.IndexPreTransform(components, lists)
        compressed.add(vectors)
        self._faiss = compressed


def unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """[n, d] vectors of length one."""
    single = np.asarray(vectors, dtype=np.float32)
    return np.ascontiguousarray(single / np.linalg.norm(single, axis=1, keepdims=True), dtype=np.float32)


def _components_of(vectors: NDArray[np.float32]) -> int:
    """How many principal components keep enough of the variance, in steps."""
    variances = np.linalg.eigvalsh(np.cov(vectors, rowvar=False))[::-1]
    kept = np.cumsum(variances) / max(float(variances.sum()), 1e-12)  # images may all be the same
    enough = int(np.searchsorted(kept, _MIN_KEPT_VARIANCE)) + 1
    stepped = -(-enough // _COMPONENTS_STEP) * _COMPONENTS_STEP
    return min(stepped, int(vectors.shape[1]))


def _use_one_thread() -> None:
    # A setting of each calling thread; the other cores belong to the backbone.
    faiss.omp_set_num_threads(1)
