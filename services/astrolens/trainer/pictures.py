"""All pictures as arrays, prepared once and kept in a cache outside the repository."""

import hashlib
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

from astrolens.science.preprocessing import (
    PreprocessingSpec,
    crop_view,
    pad_to_square,
    preprocess,
    preprocessing_digest,
)
from astrolens.trainer.samples import CLASSES, Role, Sample, cutout_fingerprint, read, sky_fingerprint

log = logging.getLogger(__name__)

SOURCE_SIDE: Final = 128
"""Pixels of an augmentation source: twice a view, so that a turned view can be averaged down without aliasing."""

_Row = tuple[str, int, str, NDArray[np.uint8], NDArray[np.uint8]]


@dataclass(frozen=True)
class Pictures:
    """n pictures of one role.

    Attributes:
        inputs: [n, channels, size, size] uint8, what the model server would feed.
        sources: [n, views, 3, side, side] uint8, wider views to augment from; empty but for the backbone's role.
        classes: [n] index into `CLASSES`, -1 where unknown.
        surveys: [n] names.
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
        """[n] whether a picture shows an ordinary object."""
        return np.asarray(self.oddities == "", dtype=np.bool_)

    def where(self, rows: NDArray[np.bool_]) -> "Pictures":
        """Those pictures only."""
        sources = self.sources[rows] if len(self.sources) else self.sources
        return Pictures(self.inputs[rows], sources, self.classes[rows], self.surveys[rows], self.oddities[rows])


def source_fraction(fraction: float) -> float:
    """The part of the frame that a view may need when it is turned: its circumscribed square."""
    return min(1.0, fraction * math.sqrt(2.0))


def prepare(
    samples: Sequence[Sample], role: Role, spec: PreprocessingSpec, *, cache: Path, workers: int = 2
) -> Pictures:
    """The pictures of one role, from the cache where the same were prepared before.

    Args:
        samples: Any samples; those of other roles are left out.
        role: The role wanted.
        spec: The preprocessing.
        cache: Folder of prepared arrays.
        workers: Processes.
    """
    chosen = [sample for sample in samples if sample.role is role]
    files = [sample for sample in chosen if sample.draw is None]
    draws = [sample for sample in chosen if sample.draw is not None]
    parts = [_prepare(own, role, spec, cache=cache, workers=workers) for own in (files, draws) if own]
    return parts[0] if len(parts) == 1 else _joined(*parts)


def _prepare(samples: Sequence[Sample], role: Role, spec: PreprocessingSpec, *, cache: Path, workers: int) -> Pictures:
    names = [preprocessing_digest(spec), cutout_fingerprint(), role, *(sample.key for sample in samples)]
    if samples[0].draw is not None:
        names.append(sky_fingerprint())
    wanted = hashlib.sha256("\n".join(names).encode()).hexdigest()
    path = cache / f"{role}-{wanted[:16]}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as kept:
            return Pictures(**{name: kept[name] for name in kept.files})
    log.info("preparing %d pictures for %s", len(samples), role)
    with ProcessPoolExecutor(workers) as pool:
        jobs = [spec] * len(samples)
        rows = [row for row in pool.map(_prepare_one, samples, jobs, chunksize=32) if row is not None]
    if len(rows) < len(samples):
        log.info("the cutout maker refused %d of them", len(samples) - len(rows))
    pictures = _stack(rows, with_sources=role is Role.BACKBONE)
    cache.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part.npz")
    np.savez(unfinished, **vars(pictures))
    unfinished.replace(path)
    return pictures


def _joined(one: Pictures, two: Pictures) -> Pictures:
    return Pictures(**{name: np.concatenate((value, vars(two)[name])) for name, value in vars(one).items()})


def _prepare_one(sample: Sample, spec: PreprocessingSpec) -> _Row | None:
    picture = read(sample)
    if picture is None:
        return None
    sources: NDArray[np.uint8] = np.empty(0, dtype=np.uint8)
    if sample.role is Role.BACKBONE:
        frame = Image.fromarray(pad_to_square(picture.pixels))
        wide = [crop_view(frame, source_fraction(fraction), SOURCE_SIDE, spec) for fraction in spec.views]
        sources = np.stack([np.asarray(view).transpose(2, 0, 1) for view in wide])
    morphology = CLASSES.index(picture.morphology) if picture.morphology in CLASSES else -1
    return picture.survey, morphology, picture.oddity, preprocess(picture.pixels, spec), sources


def _stack(rows: Sequence[_Row], *, with_sources: bool) -> Pictures:
    return Pictures(
        inputs=np.stack([row[3] for row in rows]),
        sources=np.stack([row[4] for row in rows]) if with_sources else np.empty(0, dtype=np.uint8),
        classes=np.array([row[1] for row in rows], dtype=np.int64),
        surveys=np.array([row[0] for row in rows], dtype=np.str_),
        oddities=np.array([row[2] for row in rows], dtype=np.str_),
    )
