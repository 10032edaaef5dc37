"""What the model server remembers of the images it has seen: index and log, kept alike."""

import errno
import re
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from astrolens.inference.similarity.index import VectorIndex
from astrolens.inference.similarity.log import EmbeddingLog
from astrolens.science.bundle import Bundle

_IMAGE_ID: Final = re.compile(r"[0-9a-f]{32}")
_LOAD_ROWS: Final = 8192


class UnknownImage(Exception):
    """The index does not know this image."""


class NoEmbedding(Exception):
    """The bytes are no embedding of this model."""


def is_image_id(text: str) -> bool:
    """Whether `text` has the form of an image id."""
    return _IMAGE_ID.fullmatch(text) is not None


class SimilarityMemory:
    """Embeddings of one model; threads may share it.

    Args:
        bundle: Gives the centroids, and names the model.
        folder: Where the log lies; every model has its own.

    Raises:
        LogInUse: Another model server uses the folder.
        OSError: The log cannot be read or written.
    """

    def __init__(self, *, bundle: Bundle, folder: Path) -> None:
        self._index = VectorIndex(bundle.centroids)
        self._dimensions = bundle.manifest.model.embedding_dim
        self._lock = threading.Lock()
        self._closed = False
        self._log = EmbeddingLog(folder / "embeddings.log", dimensions=self._dimensions, model_digest=bundle.digest)
        waiting: list[NDArray[Any]] = []
        for frame in self._log.read():
            waiting.append(frame)
            if sum(map(len, waiting)) >= _LOAD_ROWS:
                self._admit(np.concatenate(waiting))
                waiting = []
        if waiting:
            self._admit(np.concatenate(waiting))

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, image_id: str) -> bool:
        return is_image_id(image_id) and bytes.fromhex(image_id) in self._index

    def remember(self, images: Iterable[tuple[str, bytes]]) -> int:
        """Add images: on disk when this returns. One that is known already is left as it is.

        Args:
            images: Image ids and their embeddings, little-endian float16.

        Returns:
            How many are new.

        Raises:
            OSError: The disk is full or broken, or the log is closed; nothing was added.
        """
        found = list(images)
        records = np.zeros(len(found), dtype=self._log.record_type)
        for record, (image_id, embedding) in zip(records, found, strict=True):
            record["id"] = np.frombuffer(bytes.fromhex(image_id), dtype=np.uint8)
            record["embedding"] = self._floats(embedding)
        with self._lock:
            if self._closed:
                # A thread that comes late must not write to whatever file has the descriptor by now.
                raise OSError(errno.EBADF, "the similarity log is closed")
            new = self._new(records)
            if len(new):
                self._log.append(new)
                self._index.add(*_columns(new))
            return len(new)

    def like_image(self, image_id: str, k: int) -> list[tuple[str, float]]:
        """The k images most like a known one, itself left out: ids and cosine similarities.

        Raises:
            UnknownImage: It is not known.
        """
        own = bytes.fromhex(image_id) if is_image_id(image_id) else b""
        with self._lock:
            if own not in self._index:
                raise UnknownImage(image_id)
            found = self._index.search(self._index.vector(own), k + 1)
        return [(image.hex(), similarity) for image, similarity in found if image != own][:k]

    def like_embedding(self, embedding: bytes, k: int) -> list[tuple[str, float]]:
        """The k images most like an embedding (little-endian float16): ids and cosine similarities.

        Raises:
            NoEmbedding: The bytes are none.
        """
        vector = self._floats(embedding)
        if not _usable(vector[None])[0]:
            raise NoEmbedding("the embedding is zero or not finite")
        with self._lock:
            found = self._index.search(vector, k)
        return [(image.hex(), similarity) for image, similarity in found]

    def sync(self) -> None:
        """Make everything outlive a power cut."""
        with self._lock:
            if not self._closed:
                self._log.sync()

    def close(self) -> None:
        """Let go of the log."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._log.close()

    def _admit(self, records: NDArray[Any]) -> None:
        new = self._new(records)
        if len(new):
            self._index.add(*_columns(new))

    def _new(self, records: NDArray[Any]) -> NDArray[Any]:
        """Those that are not known, each once, and that have a direction."""
        usable = _usable(records["embedding"])
        seen: set[bytes] = set()
        keep = []
        for position, image in enumerate(map(bytes, records["id"])):
            if usable[position] and image not in self._index and image not in seen:
                seen.add(image)
                keep.append(position)
        return records[keep]

    def _floats(self, embedding: bytes) -> NDArray[np.float16]:
        if len(embedding) != 2 * self._dimensions:
            raise NoEmbedding(f"an embedding of this model has {2 * self._dimensions} bytes, not {len(embedding)}")
        return np.frombuffer(embedding, dtype="<f2")


def _columns(records: NDArray[Any]) -> tuple[list[bytes], NDArray[np.float32]]:
    return [bytes(image) for image in records["id"]], records["embedding"].astype(np.float32)


def _usable(embeddings: NDArray[Any]) -> NDArray[np.bool_]:
    """[n] whether a row is finite and has a direction."""
    return np.asarray(np.isfinite(embeddings).all(axis=1) & (embeddings != 0).any(axis=1), dtype=np.bool_)
