"""Which picture serves what: roles that never overlap, fixed by a hash of the object's id."""

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

from astrolens.science.cutouts import ImageRejected, decode_cutout, make_cutout
from astrolens.science.simulation import simulate

CLASSES: Final = ("smooth", "spiral", "edge-on", "irregular")

_BACKBONE_SHARE = 0.75
_FIT_SHARE = 0.10
"""Shares of the label table's `train` split; the rest calibrates the detectors one by one."""


class Role(StrEnum):
    """What a picture is for. Oddities are never anything but `develop` or `test`."""

    BACKBONE = "backbone"
    FIT = "detector-fit"
    CALIBRATION = "calibration"
    COMBINED = "combined-calibration"
    DEVELOP = "develop"
    TEST = "test"


@dataclass(frozen=True)
class Sample:
    """A picture to be read: a file, or a draw of the simulated sky.

    Attributes:
        role: What it is for.
        key: Name, unique.
        path: The file, or None for a simulated one.
        survey: Lower case; of a simulated picture only its truth knows.
        morphology: One of `CLASSES`, or empty.
        oddity: Empty for an ordinary object.
        draw: Seed, index and oddity rate of a simulated picture.
    """

    role: Role
    key: str
    path: Path | None = None
    survey: str = ""
    morphology: str = ""
    oddity: str = ""
    draw: tuple[int, int, float] | None = None


@dataclass(frozen=True)
class Picture:
    """A sample with its pixels [height, width, 3], the very ones that the model server would get."""

    survey: str
    morphology: str
    oddity: str
    pixels: NDArray[np.uint8]


def read(sample: Sample) -> Picture | None:
    """The picture of a sample through the pipeline's own cutout maker; None where that refuses it."""
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
    return Picture(survey, morphology, oddity, decode_cutout(cutout.jpeg))


def galaxies(folder: Path) -> Iterator[Sample]:
    """The labelled galaxies of `labels.csv`, each with its role.

    Args:
        folder: Where `labels.csv` lies; its `file` column is relative to the folder above.
    """
    with (folder / "labels.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            oddity = row["oddity"]
            if not oddity and row["morphology"] not in CLASSES:
                continue
            yield Sample(
                role=_role(row["split"], row["object_id"], odd=bool(oddity)),
                key=row["file"],
                path=folder.parent / row["file"],
                survey=row["survey"].lower(),
                morphology=row["morphology"] if row["morphology"] in CLASSES else "",
                oddity=oddity,
            )


def labels_digest(folder: Path) -> str:
    """SHA-256 of the label table."""
    return hashlib.sha256((folder / "labels.csv").read_bytes()).hexdigest()


def simulated(seed: int, count: int) -> Iterator[Sample]:
    """Draws of the simulated sky, with a seed of its own for each role.

    Args:
        seed: Of the whole training.
        count: Pictures for the backbone; the other roles get what their statistics need, in proportion up to a bound.
    """
    small = min(count, 1200)
    plan = (
        (Role.BACKBONE, count, 0.0),
        (Role.FIT, small // 2, 0.0),
        (Role.CALIBRATION, small, 0.0),
        (Role.COMBINED, small, 0.0),
        (Role.DEVELOP, small // 8, 1.0),
        (Role.TEST, small, 0.0),
        (Role.TEST, small // 4, 1.0),
    )
    for position, (role, number, rate) in enumerate(plan):
        own = seed * 1000 + 500 + position
        for index in range(number):
            yield Sample(role=role, key=f"simulated/{own}/{index}", draw=(own, index, rate))


def cutout_fingerprint() -> str:
    """Changes when the cutout maker's pixels do, so that no cache outlives them."""
    y, x = np.mgrid[0:423, 0:423]
    waves = np.stack([127.5 + 127.5 * np.sin(x * x / k + y / 7.0) for k in (900.0, 1300.0, 1700.0)], axis=2)
    buffer = io.BytesIO()
    Image.fromarray(waves.astype(np.uint8)).save(buffer, "PNG")
    return hashlib.sha256(make_cutout(buffer.getvalue()).jpeg).hexdigest()


def sky_fingerprint() -> str:
    """Changes when the simulated sky does."""
    return hashlib.sha256(b"".join(simulate(0, index, oddity_rate=0.5).jpeg for index in range(8))).hexdigest()


def _role(split: str, object_id: str, *, odd: bool) -> Role:
    if split == "test":
        return Role.TEST
    if odd:
        return Role.DEVELOP
    if split == "val":
        return Role.COMBINED
    draw = int.from_bytes(hashlib.sha256(f"role/{object_id}".encode()).digest()[:8], "big") / 2.0**64
    if draw < _BACKBONE_SHARE:
        return Role.BACKBONE
    return Role.FIT if draw < _BACKBONE_SHARE + _FIT_SHARE else Role.CALIBRATION
