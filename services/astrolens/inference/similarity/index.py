"""The similarity index of one model: which images look alike; threads may share it."""

import re
import threading
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from astrolens.inference.similarity.allocator import release_free_memory
from astrolens.inference.similarity.image_ids import ID_BYTES
from astrolens.inference.similarity.snapshot import SnapshotFolder
from astrolens.inference.similarity.vector_index import VectorIndex

BEGINNING: Final = "0000-01-01T00:00:00.000000Z"
"""Before every analysis."""
_IMAGE_ID: Final = re.compile(r"[0-9a-f]{32}")
_MAX_RECENT: Final = 4096
"""Images that wait to be merged, 2 MB. Merging many at once costs less CPU per image."""


class UnknownImage(Exception):
    """The index does not know this image."""


class NoEmbedding(Exception):
    """The bytes are no embedding of this model."""


def is_image_id(text: str) -> bool:
    """Whether `text` has the form of an image id."""
    return _IMAGE_ID.fullmatch(text) is not None


class SimilarityIndex:
    """Embeddings in memory.

    New images wait in a small buffer. It is merged into the vector index before each search and when it is full.

    Args:
        vectors: Empty, or what a snapshot held.
        analyzed_until: Time of the last analysis that the catch-up had added by then.
    """

    def __init__(self, vectors: VectorIndex, *, analyzed_until: str = BEGINNING) -> None:
        self.analyzed_until = analyzed_until
        self._vectors = vectors
        self._lock = threading.Lock()
        self._recent: dict[bytes, bytes] = {}
        self._recent_lock = threading.Lock()
        self._saving = threading.Lock()
        self.saved = len(vectors)
        """Images in the last snapshot."""

    def __len__(self) -> int:
        """Images. One that is analysed again counts twice until the buffer is merged."""
        return len(self._vectors) + len(self._recent)

    def add(self, images: Iterable[tuple[str, bytes]]) -> None:
        """Add images. One that is known already is left as it is; one without a usable embedding is left out.

        Args:
            images: Image ids and their embeddings, little-endian float16.
        """
        usable = {bytes.fromhex(image): data for image, data in images if len(data) == 2 * self._vectors.dimensions}
        with self._recent_lock:
            self._recent.update(usable)
            full = len(self._recent) >= _MAX_RECENT
        if full:
            with self._lock:
                self._merge()

    def is_usable(self, embedding: bytes) -> bool:
        """Whether the bytes are an embedding of this model, finite and with a direction."""
        return len(embedding) == 2 * self._vectors.dimensions and bool(_usable(self._floats(embedding)[None])[0])

    def missing(self, image_ids: Sequence[str]) -> list[str]:
        """Those images that are not in the index, in their order."""
        valid = [image for image in image_ids if is_image_id(image)]
        with self._lock:
            self._merge()
            rows = self._vectors.rows(_ids_array(bytes.fromhex("".join(valid))))
        return [image for image, row in zip(valid, rows, strict=True) if row < 0]

    def like_image(self, image_id: str, k: int) -> list[tuple[str, float]]:
        """The k images most like a known one, itself left out: ids and cosine similarities.

        Raises:
            UnknownImage: It is not known.
        """
        if not is_image_id(image_id):
            raise UnknownImage(image_id)
        own = bytes.fromhex(image_id)
        with self._lock:
            self._merge()
            row = int(self._vectors.rows(_ids_array(own))[0])
            if row < 0:
                raise UnknownImage(image_id)
            found = self._vectors.search(self._vectors.vector(row), k + 1)
        return [(image.hex(), similarity) for image, similarity in found if image != own][:k]

    def like_embedding(self, embedding: bytes, k: int) -> list[tuple[str, float]]:
        """The k images most like an embedding (little-endian float16): ids and cosine similarities.

        Raises:
            NoEmbedding: The bytes are none.
        """
        if len(embedding) != 2 * self._vectors.dimensions:
            expected = 2 * self._vectors.dimensions
            raise NoEmbedding(f"an embedding of this model has {expected} bytes, not {len(embedding)}")
        if not self.is_usable(embedding):
            raise NoEmbedding("the embedding is zero or not finite")
        with self._lock:
            self._merge()
            found = self._vectors.search(self._floats(embedding), k)
        return [(image.hex(), similarity) for image, similarity in found]

    def save(self, snapshots: SnapshotFolder) -> bool:
        """Write a snapshot; return False where nothing is new since the last one.

        Raises:
            OSError: The disk is full or broken; the last snapshot is still there.
        """
        with self._saving:
            with self._lock:
                # Read before the merge, so that everything up to this time is in the index then.
                analyzed_until = self.analyzed_until
                self._merge()
                count = len(self._vectors)
                if count == self.saved:
                    return False
                draft = snapshots.write(self._vectors)
            # No lock is held while the files are hashed and synced.
            snapshots.publish(draft, images=count, analyzed_until=analyzed_until)
            self.saved = count
        # Not more often: an index is saved when it has grown by a part of its size.
        release_free_memory()
        return True

    def _merge(self) -> None:
        """Move the buffer into the vector index; the caller holds `_lock`."""
        with self._recent_lock:
            recent, self._recent = self._recent, {}
        if not recent:
            return
        ids = _ids_array(b"".join(recent))
        embeddings = self._floats(b"".join(recent.values())).reshape(len(ids), -1)
        new = _usable(embeddings) & (self._vectors.rows(ids) < 0)
        self._vectors.add(ids[new], embeddings[new])

    @staticmethod
    def _floats(embeddings: bytes) -> NDArray[np.float16]:
        return np.frombuffer(embeddings, dtype="<f2")


def _ids_array(ids: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(ids, dtype=np.uint8).reshape(-1, ID_BYTES)


def _usable(embeddings: NDArray[Any]) -> NDArray[np.bool_]:
    """[n] whether a row is finite and has a direction."""
    return np.asarray(np.isfinite(embeddings).all(axis=1) & (embeddings != 0).any(axis=1), dtype=np.bool_)
