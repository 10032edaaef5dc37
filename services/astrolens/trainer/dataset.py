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
from astrolens.trainer.evaluation.halves import Half, half_of, source_group
from astrolens.trainer.reviewed_labels import kept_from_calibrating

CLASSES: Final = ("smooth", "spiral", "edge-on", "irregular")

CALIBRATED_PACKS: Final = {"decals-dr1": "legacy", "euclid-q1-vis": "euclid"}
"""Packs of further surveys, and the name that the survey has in the bundle."""

_BACKBONE_SHARE = 0.75
_FIT_SHARE = 0.10
"""Shares of the label table's `train` split; the rest is the `calibration` split."""


class Split(StrEnum):
    """What an image is used for. Oddities are in `develop` or `test` only, whichever half they belong to.

    `backbone` trains the network, `detector-fit` fits the detectors, `calibration` calibrates them, `develop` serves
    the choice of detectors, `test` the evaluation.
    """

    BACKBONE = "backbone"
    FIT = "detector-fit"
    CALIBRATION = "calibration"
    DEVELOP = "develop"
    TEST = "test"


_CALIBRATING: Final = frozenset({Split.FIT, Split.CALIBRATION})
"""Splits that pictures which are plainly not ordinary are left out of. The test split keeps them: it is reported as it
is."""


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
        is_cutout: The file is a cutout of the pipeline already: its pixels are taken as they are.
    """

    split: Split
    key: str
    path: Path | None = None
    survey: str = ""
    morphology: str = ""
    oddity: str = ""
    draw: tuple[int, int, float] | None = None
    is_cutout: bool = False


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
    if sample.is_cutout:
        return LabelledImage(survey, morphology, oddity, decode_cutout(data))
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
            split, survey = split_of(row["split"], row["object_id"], odd=bool(oddity)), row["survey"].lower()
            if split in _CALIBRATING and row["object_id"] in kept_from_calibrating(survey):
                continue
            yield Sample(
                split=split,
                key=row["file"],
                path=folder.parent / row["file"],
                survey=survey,
                morphology=row["morphology"] if row["morphology"] in CLASSES else "",
                oddity=oddity,
            )


def pack_samples(folder: Path) -> Iterator[Sample]:
    """The packs of further surveys that get a calibration of their own, each image with its split.

    The network never sees them: they fit and calibrate the detectors, and are evaluated. Tiles of one picture stay in
    one split.

    Args:
        folder: Folder of the packs; a pack that is not there is left out.
    """
    for pack, survey in CALIBRATED_PACKS.items():
        table = folder / pack / "labels.csv"
        if not table.is_file():
            continue
        with table.open(newline="") as stream:
            for row in csv.DictReader(stream):
                yield Sample(
                    split=_pack_split(source_group(row["source_id"]), odd=bool(row["oddity"])),
                    key=f"packs/{pack}/{row['file']}",
                    path=folder / pack / row["file"],
                    survey=survey,
                    morphology=row["morphology"] if row["morphology"] in CLASSES else "",
                    oddity=row["oddity"],
                )


def labels_digest(folder: Path) -> str:
    """SHA-256 of the label tables of the galaxies and of the packs that are there.

    Args:
        folder: Folder of `galaxies` and `packs`.
    """
    tables = [folder / "galaxies" / "labels.csv"]
    tables += [path for pack in CALIBRATED_PACKS if (path := folder / "packs" / pack / "labels.csv").is_file()]
    return content_digest(b"".join(table.read_bytes() for table in tables))


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
        (Split.CALIBRATION, 2 * small, 0.0),
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


def split_of(table_split: str, object_id: str, *, odd: bool) -> Split:
    """The split of a galaxy of `labels.csv`, reviewed or not.

    Args:
        table_split: Its column `split`.
        object_id: Its column `object_id`.
        odd: A label calls it odd.
    """
    if odd:
        return _split_of_half(object_id)
    if table_split == "test":
        return Split.TEST
    if table_split == "val":
        return Split.CALIBRATION
    draw = int.from_bytes(hashlib.sha256(f"role/{object_id}".encode()).digest()[:8], "big") / 2.0**64
    if draw < _BACKBONE_SHARE:
        return Split.BACKBONE
    return Split.FIT if draw < _BACKBONE_SHARE + _FIT_SHARE else Split.CALIBRATION


def _pack_split(source: str, *, odd: bool) -> Split:
    if odd:
        return _split_of_half(source)
    draw = int.from_bytes(hashlib.sha256(f"pack/{source}".encode()).digest()[:8], "big") / 2.0**64
    for limit, split in ((0.35, Split.FIT), (0.75, Split.CALIBRATION)):
        if draw < limit:
            return split
    return Split.TEST


def _split_of_half(name: str) -> Split:
    """Oddities are too few for the table's test split alone: half of all of them choose, the other half report."""
    return Split.TEST if half_of(name) is Half.REPORT else Split.DEVELOP
