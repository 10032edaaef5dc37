"""The images of a split as arrays, prepared once and cached."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from astrolens.contracts.ids import content_digest
from astrolens.science.preprocessing import PreprocessingSpec, pad_to_square, preprocess, preprocessing_digest
from astrolens.trainer.dataset import CLASSES, Sample, Split, cutout_fingerprint, load_image, sky_fingerprint
from astrolens.trainer.training_views import context_crop

log = logging.getLogger(__name__)

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class CropFile:
    """Context crops of some images, one after the other in one file, which processes map and share.

    Attributes:
        path: A `.npy` file of all pixels, [total] uint8.
        sides: [n] sides of the crops, pixels; each is square, with three colours.
    """

    path: Path
    sides: NDArray[np.int64]


class Crops:
    """Context crops by row; see `astrolens.trainer.training_views.context_crop`."""

    def __init__(self, files: Sequence[CropFile]) -> None:
        self._pixels = [np.load(file.path, mmap_mode="r") for file in files]
        self._places = [
            (number, int(end - 3 * side * side), int(side))
            for number, file in enumerate(files)
            for end, side in zip(np.cumsum(3 * file.sides**2), file.sides, strict=True)
        ]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, row: int) -> Pixels:
        """The crop of one image, [side, side, 3] uint8."""
        number, start, side = self._places[row]
        return np.asarray(self._pixels[number][start : start + 3 * side * side]).reshape(side, side, 3)


@dataclass(frozen=True)
class ImageArrays:
    """n images of one split.

    Attributes:
        inputs: [n, channels, size, size] uint8, preprocessed.
        classes: [n] index into `CLASSES`, -1 where unknown.
        surveys: [n] survey names.
        oddities: [n] names, empty for ordinary objects.
        crops: Their context crops, in the `backbone` split only.
    """

    inputs: Pixels
    classes: NDArray[np.int64]
    surveys: NDArray[np.str_]
    oddities: NDArray[np.str_]
    crops: tuple[CropFile, ...] = ()

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def ordinary(self) -> NDArray[np.bool_]:
        """[n] whether the object is ordinary."""
        return np.asarray(self.oddities == "", dtype=np.bool_)

    def where(self, rows: NDArray[np.bool_]) -> "ImageArrays":
        """The selected images without their crops; `rows` is a mask [n]."""
        return ImageArrays(self.inputs[rows], self.classes[rows], self.surveys[rows], self.oddities[rows])


_Row = tuple[str, int, str, Pixels, Pixels | None]
"""Survey, class, oddity, input, and the context crop in the `backbone` split."""


def prepare_arrays(
    samples: Sequence[Sample],
    split: Split,
    spec: PreprocessingSpec,
    *,
    cache: Path,
    workers: int = 2,
    on_image: Callable[[], None] = lambda: None,
) -> ImageArrays:
    """Preprocess the images of one split, or load them from the cache.

    Args:
        samples: Samples of any split.
        split: The split to prepare.
        spec: The preprocessing.
        cache: Folder of the cached arrays.
        workers: Number of processes; 0: this one, which may then be killed without leaving others behind.
        on_image: Called after each image that was preprocessed.
    """
    chosen = [sample for sample in samples if sample.split is split]
    files = [sample for sample in chosen if sample.draw is None]
    draws = [sample for sample in chosen if sample.draw is not None]
    parts = [
        _prepare(own, split, spec, cache=cache, workers=workers, on_image=on_image) for own in (files, draws) if own
    ]
    return ImageArrays(
        inputs=np.concatenate([part.inputs for part in parts]),
        classes=np.concatenate([part.classes for part in parts]),
        surveys=np.concatenate([part.surveys for part in parts]),
        oddities=np.concatenate([part.oddities for part in parts]),
        crops=tuple(file for part in parts for file in part.crops),
    )


def _prepare(
    samples: Sequence[Sample],
    split: Split,
    spec: PreprocessingSpec,
    *,
    cache: Path,
    workers: int,
    on_image: Callable[[], None],
) -> ImageArrays:
    names = [preprocessing_digest(spec), cutout_fingerprint(), split, *(sample.key for sample in samples)]
    if samples[0].draw is not None:
        names.append(sky_fingerprint())
    path = cache / f"{split}-{content_digest(chr(10).join(names).encode())[:16]}.npz"
    if not path.is_file():
        log.info("preparing %d images of the split %s", len(samples), split)
        specs = [spec] * len(samples)
        rows = []
        with ProcessPoolExecutor(max(workers, 1)) as pool:
            made = (
                pool.map(_prepare_one, samples, specs, chunksize=32) if workers else map(_prepare_one, samples, specs)
            )
            for row in made:
                on_image()
                if row is not None:
                    rows.append(row)
        if len(rows) < len(samples):
            log.info("the cutout maker refused %d of them", len(samples) - len(rows))
        _save(rows, path)
    return _load(path)


def _prepare_one(sample: Sample, spec: PreprocessingSpec) -> _Row | None:
    image = load_image(sample)
    if image is None:
        return None
    crop = context_crop(pad_to_square(image.pixels)) if sample.split is Split.BACKBONE else None
    morphology = CLASSES.index(image.morphology) if image.morphology in CLASSES else -1
    return image.survey, morphology, image.oddity, preprocess(image.pixels, spec), crop


def _save(rows: Sequence[_Row], path: Path) -> None:
    """Write arrays and crops; the arrays last, because their presence says that all is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    crops = [row[4] for row in rows if row[4] is not None]
    np.save(_crop_path(path), np.concatenate([crop.ravel() for crop in crops] or [np.empty(0, dtype=np.uint8)]))
    unfinished = path.with_suffix(".part.npz")
    np.savez(
        unfinished,
        inputs=np.stack([row[3] for row in rows]),
        classes=np.array([row[1] for row in rows], dtype=np.int64),
        surveys=np.array([row[0] for row in rows], dtype=np.str_),
        oddities=np.array([row[2] for row in rows], dtype=np.str_),
        crop_sides=np.array([crop.shape[0] for crop in crops], dtype=np.int64),
    )
    unfinished.replace(path)


def _load(path: Path) -> ImageArrays:
    with np.load(path, allow_pickle=False) as cached:
        arrays = {name: cached[name] for name in cached.files}
    sides = arrays.pop("crop_sides")
    images = ImageArrays(**arrays)
    return replace(images, crops=(CropFile(_crop_path(path), sides),)) if sides.size else images


def _crop_path(path: Path) -> Path:
    return path.with_suffix(".crops.npy")
