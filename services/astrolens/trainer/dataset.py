"""The data set: labelled and simulated images, and the disjoint splits that a hash of the object's id assigns."""

import csv
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from astrolens.contracts.ids import content_digest
from astrolens.science.cutouts import ImageRejected, decode_cutout, make_cutout
from astrolens.science.simulation import simulate

CLASSES: Final = ("smooth", "spiral", "edge-on", "irregular")

_BACKBONE_SHARE = 0.75
_FIT_SHARE = 0.10
"""Shares of the label table's `train` split; the rest is the `calibration` split."""


class Split(StrEnum):
    """What an image is used for. Oddities are in `develop` or `test` only.

    `backbone` trains the network, `detector-fit` fits the detectors, `calibration` calibrates each detector,
    `combined-calibration` their combination, `develop` serves the choice of detectors, `test` the evaluation.
    """

    BACKBONE = "backbone"
    FIT = "detector-fit"
    CALIBRATION = "calibration"
    COMBINED = "combined-calibration"
    DEVELOP = "develop"
    TEST = "test"


@dataclass(frozen=True)
class Sample:
    """An image to load: a file, or an image of the simulated sky.

    Attributes:
        split: What it is used for.
        key: Unique name.
        path: The file, or None for a simulated image.
        survey: Lower case; empty for a simulated image until it is loaded.
        morphology: One of `CLASSES`, or empty.
        oddity: Empty for an ordinary object.
        draw: Seed, index and oddity rate of a simulated image.
    """

    split: Split
    key: str
    path: Path | None = None
    survey: str = ""
    morphology: str = ""
    oddity: str = ""
    draw: tuple[int, int, float] | None = None


@dataclass(frozen=True)
class LabelledImage:
    """A loaded sample.

    Attributes:
        survey: Lower case.
        morphology: One of `CLASSES`, or empty.
        oddity: Empty for an ordinary object.
        pixels: Of the cutout, [height, width, 3] uint8, as the model server gets them.
    """

    survey: str
    morphology: str
    oddity: str
    pixels: NDArray[np.uint8]


def load_image(sample: Sample) -> LabelledImage | None:
    """Load a sample through the cutout maker of the pipeline; None where it refuses the image."""
    if sample.draw is not None:
        seed, index, rate = sample.draw
        image = simulate(seed, index, oddity_rate=rate)
        data, truth = image.jpeg, image.truth
        survey, oddity = image.survey, truth.oddity or ""
        morphology = str(truth.morphology)
    elif sample.path is not None:
        data = sample.path.read_bytes()
        survey, morphology, oddity = sample.survey, sample.morphology, sample.oddity
    else:
        raise ValueError(f"sample {sample.key} is neither a file nor a draw")
    try:
        cutout = make_cutout(data)
    except ImageRejected:
        return None
    return LabelledImage(survey, morphology, oddity, decode_cutout(cutout.jpeg))


def labelled_samples(folder: Path) -> Iterator[Sample]:
    """The galaxies of `labels.csv`, each with its split.

    Args:
        folder: Folder of `labels.csv`; its `file` column is relative to the parent folder.
    """
    with (folder / "labels.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            oddity = row["oddity"]
            if not oddity and row["morphology"] not in CLASSES:
                continue
            yield Sample(
                split=_split(row["split"], row["object_id"], odd=bool(oddity)),
                key=row["file"],
                path=folder.parent / row["file"],
                survey=row["survey"].lower(),
                morphology=row["morphology"] if row["morphology"] in CLASSES else "",
                oddity=oddity,
            )


def labels_digest(folder: Path) -> str:
    """SHA-256 of the label table."""
    return content_digest((folder / "labels.csv").read_bytes())


def simulated_samples(seed: int, count: int) -> Iterator[Sample]:
    """Images of the simulated sky, with a separate seed for each split.

    Args:
        seed: Of the training.
        count: Images for the backbone. The other splits get a share of it, bounded by what their statistics need.
    """
    small = min(count, 1200)
    plan = (
        (Split.BACKBONE, count, 0.0),
        (Split.FIT, small // 2, 0.0),
        (Split.CALIBRATION, small, 0.0),
        (Split.COMBINED, small, 0.0),
        (Split.DEVELOP, small // 8, 1.0),
        (Split.TEST, small, 0.0),
        (Split.TEST, small // 4, 1.0),
    )
    for position, (split, number, rate) in enumerate(plan):
        own = seed * 1000 + 500 + position
        for index in range(number):
            yield Sample(split=split, key=f"simulated/{own}/{index}", draw=(own, index, rate))


def cutout_fingerprint() -> str:
    """A digest that changes when the pixels of cutouts do; part of the cache's key."""
    y, x = np.mgrid[0:423, 0:423]
    waves = np.stack([127.5 + 127.5 * np.sin(x * x / k + y / 7.0) for k in (900.0, 1300.0, 1700.0)], axis=2)
    buffer = io.BytesIO()
    Image.fromarray(waves.astype(np.uint8)).save(buffer, "PNG")
    return content_digest(make_cutout(buffer.getvalue()).jpeg)


def sky_fingerprint() -> str:
    """A digest that changes when the simulated sky does; part of the cache's key."""
    return content_digest(b"".join(simulate(0, index, oddity_rate=0.5).jpeg for index in range(8)))


def _split(table_split: str, object_id: str, *, odd: bool) -> Split:
    if table_split == "test":
        return Split.TEST
    if odd:
        return Split.DEVELOP
    if table_split == "val":
        return Split.COMBINED
    draw = int.from_bytes(hashlib.sha256(f"role/{object_id}".encode()).digest()[:8], "big") / 2.0**64
    if draw < _BACKBONE_SHARE:
        return Split.BACKBONE
    return Split.FIT if draw < _BACKBONE_SHARE + _FIT_SHARE else Split.CALIBRATION
