"""Halves and splits that keep what belongs together on one side: by a hash of the object's id, or by source."""

import hashlib
from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Half(StrEnum):
    """What an oddity is used for: to choose among models, or for the figures that are reported."""

    CHOOSE = "choose"
    REPORT = "report"


def half_of(object_id: str) -> Half:
    """The half of an object, by a hash of its id: the same in every run, and independent of the other objects."""
    first = hashlib.sha256(f"half/{object_id}".encode()).digest()[0]
    return Half.CHOOSE if first < 128 else Half.REPORT


def source_group(source_id: str) -> str:
    """The picture that a tile was cut from: the part before `@`. Tiles of one picture overlap."""
    return source_id.split("@", maxsplit=1)[0]


def split_groups(groups: Sequence[str], *, count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw `count` images of whole groups, and return their rows and the rows of all groups that were not drawn from.

    Args:
        groups: Group of each image, n.
        count: Images to draw. Groups are added in random order until they hold so many; then `count` images of them.
        seed: Of the order.

    Raises:
        ValueError: The groups hold too few images for a draw and a rest.
    """
    names, places = np.unique(np.asarray(groups), return_inverse=True)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(names))
    total = np.cumsum(np.bincount(places, minlength=len(names))[order])
    needed = int(np.searchsorted(total, count)) + 1
    if needed >= len(names):
        raise ValueError(f"{len(places)} images in {len(names)} groups are too few to draw {count} and keep a rest")
    drawn = np.isin(places, order[:needed])
    own = rng.permutation(np.flatnonzero(drawn))[:count]
    return np.sort(own), np.flatnonzero(~drawn)
