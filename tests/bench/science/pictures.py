"""Cutouts of a table's images, made by the product's own code and cached, and the inputs of a bundle made of them."""

import inspect
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from astrolens import science
from astrolens.contracts.ids import content_digest
from astrolens.science.cutouts import ImageRejected, decode_cutout, make_cutout
from astrolens.science.preprocessing import PreprocessingSpec, preprocess, preprocessing_digest
from astrolens.trainer.dataset import cutout_fingerprint
from numpy.typing import NDArray

from tests.bench.science import measures
from tests.bench.science.measures import MEASURES, THUMBNAIL_SIDE, measure, thumbnail
from tests.bench.science.tables import ImageTable

_NAMED: Final = 5
"""Refused ordinary images whose ids are given."""


@dataclass(frozen=True)
class Cutouts:
    """The cutouts of a table, without the images that the pipeline refuses.

    Attributes:
        table: Images that have a cutout, n.
        jpegs: Of the cutouts, n.
        measures: [n, m] one-number measures, in the order of `MEASURES`.
        thumbnails: [n, side, side, 3] uint8.
        refused: Images that the pipeline refused.
        key: Digest of the images and of the code that cut them.
    """

    table: ImageTable
    jpegs: list[bytes]
    measures: NDArray[np.float64]
    thumbnails: NDArray[np.uint8]
    refused: ImageTable
    key: str

    def where(self, rows: NDArray[np.int64]) -> "Cutouts":
        """The selected images."""
        return replace(
            self,
            table=self.table.where(rows),
            jpegs=[self.jpegs[row] for row in rows],
            measures=self.measures[rows],
            thumbnails=self.thumbnails[rows],
        )

    def refused_figures(self) -> dict[str, Any]:
        """How many images were refused, and the ids of some ordinary ones."""
        ordinary = self.refused.ordinary
        return {
            "images": len(self.table) + len(self.refused),
            "odd": int((~ordinary).sum()),
            "ordinary": int(ordinary.sum()),
            "ids": [str(name) for name in self.refused.ids[ordinary][:_NAMED]],
        }


def cutouts_of(table: ImageTable, *, cache: Path, workers: int) -> Cutouts:
    """Make the cutouts of all images of a table, or read them from the cache."""
    files = [f"{path.parent.name}/{path.name} {path.stat().st_size}" for path in table.paths]
    key = content_digest("\n".join([cutout_fingerprint(), _code_digest(), *files]).encode())[:16]
    arrays = _cached(cache / f"cutouts-{table.name}-{key}.npz", partial(_cut_all, table.paths, workers=workers))
    ends = np.cumsum(arrays["sizes"])
    whole = arrays["jpegs"].tobytes()
    jpegs = [whole[end - size : end] for end, size in zip(ends, arrays["sizes"], strict=True)]
    made = arrays["sizes"] > 0
    return Cutouts(
        table.where(made),
        [jpeg for jpeg in jpegs if jpeg],
        arrays["measures"][made],
        arrays["thumbnails"][made],
        table.where(~made),
        key,
    )


def inputs_of(cutouts: Cutouts, spec: PreprocessingSpec, *, cache: Path, workers: int) -> NDArray[np.uint8]:
    """Inputs [n, channels, size, size] of a bundle with this preprocessing, made or read from the cache."""
    path = cache / f"inputs-{cutouts.table.name}-{cutouts.key}-{preprocessing_digest(spec)[:16]}.npz"
    return np.asarray(_cached(path, partial(_preprocess_all, cutouts.jpegs, spec, workers=workers))["inputs"])


def _code_digest() -> str:
    """Changes with the code that measures pictures, and with any of `science` that may cut or refuse them."""
    folders = Path(inspect.getfile(science)).parent.glob("*.py")
    sources = [path.read_text() for path in (Path(inspect.getfile(measures)), *sorted(folders))]
    return content_digest("\n".join(sources).encode())


def _cached(path: Path, make: Callable[[], dict[str, NDArray]]) -> dict[str, NDArray]:
    if path.is_file():
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    arrays = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part.npz")
    np.savez(unfinished, **arrays)
    unfinished.replace(path)
    return arrays


def _cut_all(paths: tuple[Path, ...], *, workers: int) -> dict[str, NDArray]:
    rows = _mapped(_cut, paths, workers)
    jpegs = [row[0] for row in rows]
    return {
        "sizes": np.array([len(jpeg) for jpeg in jpegs], dtype=np.int64),
        "jpegs": np.frombuffer(b"".join(jpegs), dtype=np.uint8),
        "measures": np.stack([row[1] for row in rows]),
        "thumbnails": np.stack([row[2] for row in rows]),
    }


def _cut(path: Path) -> tuple[bytes, NDArray[np.float64], NDArray[np.uint8]]:
    try:
        jpeg = make_cutout(path.read_bytes()).jpeg
    except ImageRejected:
        return b"", np.full(len(MEASURES), np.nan), np.zeros((THUMBNAIL_SIDE, THUMBNAIL_SIDE, 3), np.uint8)
    pixels = decode_cutout(jpeg)
    return jpeg, measure(pixels, bytes_=path.stat().st_size), thumbnail(pixels)


def _preprocess_all(jpegs: list[bytes], spec: PreprocessingSpec, *, workers: int) -> dict[str, NDArray]:
    return {"inputs": np.stack(_mapped(partial(_preprocess, spec), jpegs, workers))}


def _preprocess(spec: PreprocessingSpec, jpeg: bytes) -> NDArray[np.uint8]:
    return preprocess(decode_cutout(jpeg), spec)


def _mapped(work, items, workers: int) -> list:
    if workers == 1:
        return [work(item) for item in items]
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(work, items, chunksize=32))
