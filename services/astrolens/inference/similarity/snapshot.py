"""Snapshots of the similarity index on disk.

```
<folder>/snapshot-<random>/vectors.faiss    FAISS's own format
                          /ids.npy          [n, 16] bytes, image ids in the order of the vectors
                          /manifest.json    model, format, counts, how far the catch-up was, SHA-256 of both files
```
A snapshot is written under another name, synced and renamed, so that it is whole or not there. Several model servers
may share a folder: each reads the most complete snapshot, and writes its own. The record store is the truth; a snapshot
only saves a start the reading of the archive, and one that cannot be used is put aside.
"""

import hashlib
import os
import secrets
import shutil
import time
from pathlib import Path
from typing import Final

import numpy as np
import structlog
from numpy.typing import NDArray
from pydantic import BaseModel

from astrolens.inference.similarity.vector_index import VectorIndex
from astrolens.platform.private_files import FOLDER_MODE, create_private_folder, make_private

_FORMAT: Final = 1
_VECTORS: Final = "vectors.faiss"
_IDS: Final = "ids.npy"
_MANIFEST: Final = "manifest.json"
_SNAPSHOT: Final = "snapshot-"
_DRAFT: Final = "draft-"
_UNUSABLE: Final = "unusable"
"""Where the last snapshot that could not be used is kept, to find out why."""
_DRAFT_LIFETIME_S: Final = 3600.0
"""After that long a draft is what a killed server left behind."""

logger = structlog.get_logger(__name__)


class Manifest(BaseModel):
    """What a snapshot holds."""

    format: int
    model_digest: str
    dimensions: int
    images: int
    analyzed_until: str
    sha256: dict[str, str]

    @property
    def completeness(self) -> tuple[str, int]:
        """Sorts snapshots, the most complete last."""
        return self.analyzed_until, self.images


class SnapshotFolder:
    """The snapshots of one model.

    Args:
        folder: Made where absent; every model has its own.
        model_digest: SHA-256 of the model.
        centroids: [lists, d], of the same model.

    Raises:
        OSError: The folder cannot be made or written.
    """

    def __init__(self, folder: Path, *, model_digest: str, centroids: NDArray[np.float32]) -> None:
        self._folder = folder
        self._model_digest = model_digest
        self._centroids = centroids
        create_private_folder(folder)
        if not os.access(folder, os.W_OK):
            raise PermissionError(f"{folder} cannot be written")

    def load(self) -> tuple[VectorIndex, str] | None:
        """The most complete index, and how far the catch-up had read for it; None without a usable snapshot."""
        found: list[tuple[Manifest, Path]] = []
        for path in self._folder.glob(f"{_SNAPSHOT}*"):
            try:
                found.append((self._manifest(path), path))
            except (OSError, ValueError) as error:
                self._put_aside(path, error)
        for manifest, path in sorted(found, key=lambda each: each[0].completeness, reverse=True):
            try:
                return self._read(path, manifest), manifest.analyzed_until
            except (OSError, ValueError) as error:
                self._put_aside(path, error)
        return None

    def write(self, vectors: VectorIndex) -> Path:
        """Write a draft: the files of an index, neither synced nor visible yet.

        Raises:
            OSError: The disk is full or broken; nothing is left behind.
        """
        draft = self._folder / f"{_DRAFT}{secrets.token_hex(8)}"
        draft.mkdir(mode=FOLDER_MODE)
        try:
            vectors.write(draft / _VECTORS, draft / _IDS)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        return draft

    def publish(self, draft: Path, *, images: int, analyzed_until: str) -> None:
        """Make a draft a snapshot, and remove those that are less complete.

        Raises:
            OSError: The disk is full or broken; the draft is removed.
        """
        try:
            manifest = Manifest(
                format=_FORMAT,
                model_digest=self._model_digest,
                dimensions=self._centroids.shape[1],
                images=images,
                analyzed_until=analyzed_until,
                sha256={name: _sha256(draft / name) for name in (_VECTORS, _IDS)},
            )
            (draft / _MANIFEST).write_text(manifest.model_dump_json(indent=2))
            for path in (*draft.iterdir(), draft):
                make_private(path)
                _sync(path)
            published = draft.rename(draft.with_name(draft.name.replace(_DRAFT, _SNAPSHOT)))
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        _sync(self._folder)
        self._remove_superseded(published, manifest)

    def _remove_superseded(self, published: Path, manifest: Manifest) -> None:
        for path in self._folder.glob(f"{_SNAPSHOT}*"):
            try:
                if path != published and self._manifest(path).completeness <= manifest.completeness:
                    shutil.rmtree(path, ignore_errors=True)
            except (OSError, ValueError):
                shutil.rmtree(path, ignore_errors=True)
        for path in self._folder.glob(f"{_DRAFT}*"):
            if _age_s(path) > _DRAFT_LIFETIME_S:
                shutil.rmtree(path, ignore_errors=True)

    def _manifest(self, path: Path) -> Manifest:
        manifest = Manifest.model_validate_json((path / _MANIFEST).read_bytes())
        if (manifest.format, manifest.model_digest) != (_FORMAT, self._model_digest):
            raise ValueError("it is of another model or of another format")
        return manifest

    def _read(self, path: Path, manifest: Manifest) -> VectorIndex:
        for name in (_VECTORS, _IDS):
            if manifest.sha256.get(name) != _sha256(path / name):
                raise ValueError(f"{name}: its SHA-256 differs from the manifest's")
        index = VectorIndex.read(path / _VECTORS, path / _IDS, self._centroids)
        if len(index) != manifest.images:
            raise ValueError(f"it holds {len(index)} images, not {manifest.images}")
        return index

    def _put_aside(self, path: Path, error: Exception) -> None:
        if not path.exists():
            return  # another server has replaced it meanwhile
        kept = self._folder / _UNUSABLE
        logger.warning(
            "similarity snapshot cannot be used; put aside", path=str(path), kept=str(kept), error=str(error)
        )
        shutil.rmtree(kept, ignore_errors=True)
        try:
            path.rename(kept)
        except OSError as failure:
            logger.warning("similarity snapshot cannot be put aside", path=str(path), error=str(failure))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0
