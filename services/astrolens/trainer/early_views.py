"""Early maps of the views that the backbone is trained on, computed once and kept on disk.

The early trunk is never trained, and costs most of a forward pass: so each view is drawn once, its map is stored as
float16, and every epoch reads the maps. They come in shards of `SHARD` views; a shard that is complete is not computed
again, so that an interrupted preparation goes on where it stopped.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from astrolens.contracts.ids import content_digest
from astrolens.trainer.image_arrays import Crops, ImageArrays
from astrolens.trainer.training_views import ViewRanges, draw_training_view

log = logging.getLogger(__name__)

SHARD: Final = 1000
"""Views a shard: some seconds of work, 16 MB."""
HELD_OUT_SHARDS: Final = 2
_BATCH: Final = 50

_SURVEY_SHARE: Final = {"sdss": 0.45, "efigi": 0.40}
"""Shares of the views; the simulated surveys share the rest."""


@dataclass(frozen=True)
class EarlyViews:
    """Early maps of n training views.

    Attributes:
        maps: [n, channels, side, side] float16; uint8 where the early map of a backbone is the pixels themselves.
        classes: [n] index into `CLASSES`, of the object before anything was drawn on it.
        kinds: [n] index into `KIND_NAMES`.
    """

    maps: NDArray[Any]
    classes: NDArray[np.int64]
    kinds: NDArray[np.int64]


@dataclass(frozen=True)
class Drawing:
    """What the views are a function of, beside the images.

    Attributes:
        seed: Of the training.
        views: Number of views.
        size: Side of a view, pixels.
        balance: Exponent of class balancing within a survey: 0 keeps the frequencies, 1 makes all classes equal.
        ranges: Of the views.
    """

    seed: int
    views: int
    size: int
    balance: float
    ranges: ViewRanges


@dataclass(frozen=True)
class PreparedViews:
    """Views to train on, others to calibrate the kinds with, and a digest of both.

    The others show the same galaxies, with other oddities drawn on them.
    """

    training: EarlyViews
    held_out: EarlyViews
    digest: str


def prepare_views(
    images: ImageArrays,
    graph: bytes,
    drawing: Drawing,
    *,
    cache: Path,
    workers: int,
    on_step: Callable[[int, int], None] = lambda _done, _of: None,
) -> PreparedViews:
    """Draw the views and compute their early maps, or read them from the cache.

    Args:
        images: Ordinary images of the `backbone` split, with their crops.
        graph: The early trunk as an ONNX graph, `pixels` [n, 3, size, size] to `early`.
        drawing: What is drawn.
        cache: Folder of the shards.
        workers: Number of processes; 0: this one.
        on_step: Told after each shard how many are there, and of how many.
    """
    # A shard is drawn from the crops; the inputs would be copied to every process.
    images = replace(images, inputs=images.inputs[:0])
    # The code that draws is part of the digest by its results: some views that it draws now.
    probe = _draw_shard(0, drawing, images, count=8)[0]
    crops = (file.path.name for file in images.crops)
    digest = content_digest(
        " ".join((repr(drawing), content_digest(graph), *crops, content_digest(probe.tobytes()))).encode()
    )[:16]
    folder = cache / f"views-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    training = -(-drawing.views // SHARD)
    numbers = range(training + HELD_OUT_SHARDS)
    missing = [number for number in numbers if not _path(folder, number).is_file()]
    log.info("%d of %d shards of %d training views have to be drawn", len(missing), len(numbers), SHARD)
    write = partial(_write_shard, folder=folder, graph=graph, drawing=drawing, images=images)
    with ProcessPoolExecutor(max(workers, 1)) as pool:
        made = pool.map(write, missing) if workers else map(write, missing)
        for done, number in enumerate(made, start=len(numbers) - len(missing) + 1):
            log.info("shard %d of %d is drawn", number + 1, len(numbers))
            on_step(done, len(numbers))
    return PreparedViews(
        training=_read_shards(folder, numbers[:training], drawing.views),
        held_out=_read_shards(folder, numbers[training:], HELD_OUT_SHARDS * SHARD),
        digest=digest,
    )


def _read_shards(folder: Path, numbers: Sequence[int], count: int) -> EarlyViews:
    """The first `count` views of some shards."""
    shards = [np.load(_path(folder, number)) for number in numbers]
    return EarlyViews(
        maps=np.concatenate([shard["maps"] for shard in shards])[:count],
        classes=np.concatenate([shard["classes"] for shard in shards])[:count],
        kinds=np.concatenate([shard["kinds"] for shard in shards])[:count],
    )


def sampling_weights(images: ImageArrays, *, balance: float) -> NDArray[np.float64]:
    """Sampling probabilities [n]: surveys by `_SURVEY_SHARE`, classes within a survey by `balance`."""
    weights = np.zeros(len(images))
    groups = np.array([name if name in _SURVEY_SHARE else "" for name in images.surveys])
    rest = 1.0 - sum(_SURVEY_SHARE.values())
    for group in sorted(set(groups)):
        for index in np.unique(images.classes):
            rows = (groups == group) & (images.classes == index)
            weights[rows] = max(1, rows.sum()) ** -balance
        own = groups == group
        weights[own] *= _SURVEY_SHARE.get(group, rest) / weights[own].sum()
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:04d}.npz"


def _write_shard(number: int, *, folder: Path, graph: bytes, drawing: Drawing, images: ImageArrays) -> int:
    pixels, classes, kinds = _draw_shard(number, drawing, images, count=SHARD)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    unfinished = folder / f"{number:04d}.part.npz"
    np.savez(unfinished, maps=early_maps(session, pixels), classes=classes, kinds=kinds)
    unfinished.replace(_path(folder, number))
    return number


def early_maps(session: onnxruntime.InferenceSession, pixels: NDArray[np.uint8]) -> NDArray[Any]:
    """Early maps of views [n, 3, size, size], in half the space that they come in."""
    maps = np.concatenate(
        [
            session.run(["early"], {"pixels": pixels[first : first + _BATCH]})[0]
            for first in range(0, len(pixels), _BATCH)
        ]
    )
    return np.asarray(maps if maps.dtype == np.uint8 else maps.astype(np.float16))


def _draw_shard(
    number: int, drawing: Drawing, images: ImageArrays, *, count: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Pixels [count, 3, size, size], classes and kinds [count] of the first views of one shard."""
    crops = Crops(images.crops)
    weights = sampling_weights(images, balance=drawing.balance)
    families = np.array([name.split("-")[0] for name in images.surveys])
    pixels = np.empty((count, 3, drawing.size, drawing.size), dtype=np.uint8)
    rows, kinds = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    for index in range(count):
        rng = np.random.default_rng([drawing.seed, number, index])
        row = int(rng.choice(len(weights), p=weights))
        donor = int(rng.choice(np.flatnonzero(families == families[row])))
        view = draw_training_view(crops[row], crops[donor], rng, size=drawing.size, ranges=drawing.ranges)
        pixels[index], rows[index], kinds[index] = view.pixels, row, view.kind
    return pixels, images.classes[rows], kinds
