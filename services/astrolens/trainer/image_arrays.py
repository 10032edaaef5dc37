"""The images of a split as arrays, prepared once and cached."""

import logging
import math
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from astrolens.contracts.ids import content_digest
from astrolens.science.preprocessing import (
    PreprocessingSpec,
    crop_view,
    pad_to_square,
    preprocess,
    preprocessing_digest,
)
from astrolens.trainer.dataset import CLASSES, Sample, Split, cutout_fingerprint, load_image, sky_fingerprint

log = logging.getLogger(__name__)

SOURCE_SIDE: Final = 128
"""Side of an augmentation source, pixels: twice a view, so that averaging down a rotated view has no aliasing."""

_Row = tuple[str, int, str, NDArray[np.uint8], NDArray[np.uint8]]


@dataclass(frozen=True)
class ImageArrays:
    """n images of one split.

    Attributes:
        inputs: [n, channels, size, size] uint8, preprocessed.
        sources: [n, views, 3, side, side] uint8, wider views for augmentation; empty except in the `backbone` split.
        classes: [n] index into `CLASSES`, -1 where unknown.
        surveys: [n] survey names.
        oddities: [n] names, empty for ordinary objects.
    """

    inputs: NDArray[np.uint8]
    sources: NDArray[np.uint8]
    classes: NDArray[np.int64]
    surveys: NDArray[np.str_]
    oddities: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def ordinary(self) -> NDArray[np.bool_]:
        """[n] whether the object is ordinary."""
        return np.asarray(self.oddities == "", dtype=np.bool_)

    def where(self, rows: NDArray[np.bool_]) -> "ImageArrays":
        """The selected images; `rows` is a mask [n]."""
        sources = self.sources[rows] if len(self.sources) else self.sources
        return ImageArrays(self.inputs[rows], sources, self.classes[rows], self.surveys[rows], self.oddities[rows])


def source_fraction(fraction: float) -> float:
    """Fraction of the frame that covers a view in any rotation: its circumscribed square."""
    return min(1.0, fraction * math.sqrt(2.0))


def prepare_arrays(
    samples: Sequence[Sample], split: Split, spec: PreprocessingSpec, *, cache: Path, workers: int = 2
) -> ImageArrays:
    """Preprocess the images of one split, or load them from the cache.

    Args:
        samples: Samples of any split.
        split: The split to prepare.
        spec: The preprocessing.
        cache: Folder of the cached arrays.
        workers: Number of processes.
    """
    chosen = [sample for sample in samples if sample.split is split]
    files = [sample for sample in chosen if sample.draw is None]
    draws = [sample for sample in chosen if sample.draw is not None]
    parts = [_prepare(own, split, spec, cache=cache, workers=workers) for own in (files, draws) if own]
    return parts[0] if len(parts) == 1 else _joined(*parts)


def _prepare(
    samples: Sequence[Sample], split: Split, spec: PreprocessingSpec, *, cache: Path, workers: int
) -> ImageArrays:
    names = [preprocessing_digest(spec), cutout_fingerprint(), split, *(sample.key for sample in samples)]
    if samples[0].draw is not None:
        names.append(sky_fingerprint())
    key = content_digest("\n".join(names).encode())
    path = cache / f"{split}-{key[:16]}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as cached:
            return ImageArrays(**{name: cached[name] for name in cached.files})
    log.info("preparing %d images of the split %s", len(samples), split)
    with ProcessPoolExecutor(workers) as pool:
        specs = [spec] * len(samples)
        rows = [row for row in pool.map(_prepare_one, samples, specs, chunksize=32) if row is not None]
    if len(rows) < len(samples):
        log.info("the cutout maker refused %d of them", len(samples) - len(rows))
    arrays = _stack(rows, with_sources=split is Split.BACKBONE)
    cache.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part.npz")
    np.savez(unfinished, **vars(arrays))
    unfinished.replace(path)
    return arrays


def _joined(one: ImageArrays, two: ImageArrays) -> ImageArrays:
    return ImageArrays(**{name: np.concatenate((value, vars(two)[name])) for name, value in vars(one).items()})


def _prepare_one(sample: Sample, spec: PreprocessingSpec) -> _Row | None:
    image = load_image(sample)
    if image is None:
        return None
    sources: NDArray[np.uint8] = np.empty(0, dtype=np.uint8)
    if sample.split is Split.BACKBONE:
        frame = Image.fromarray(pad_to_square(image.pixels))
        wide = [crop_view(frame, source_fraction(fraction), SOURCE_SIDE, spec) for fraction in spec.views]
        sources = np.stack([np.asarray(view).transpose(2, 0, 1) for view in wide])
    morphology = CLASSES.index(image.morphology) if image.morphology in CLASSES else -1
    return image.survey, morphology, image.oddity, preprocess(image.pixels, spec), sources


def _stack(rows: Sequence[_Row], *, with_sources: bool) -> ImageArrays:
    return ImageArrays(
        inputs=np.stack([row[3] for row in rows]),
        sources=np.stack([row[4] for row in rows]) if with_sources else np.empty(0, dtype=np.uint8),
        classes=np.array([row[1] for row in rows], dtype=np.int64),
        surveys=np.array([row[0] for row in rows], dtype=np.str_),
        oddities=np.array([row[2] for row in rows], dtype=np.str_),
    )
