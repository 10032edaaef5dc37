"""The label tables of the real data: which images there are, what they show, and which half or group each is in."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from astrolens.contracts.ids import content_digest
from astrolens.trainer.dataset import CLASSES, Split, split_of
from astrolens.trainer.evaluation import Half, half_of, source_group
from astrolens.trainer.reviewed_labels import not_ordinary
from numpy.typing import NDArray

FIT: Final = "fit"
"""Role of ordinary images that baselines are fitted on: from the `train` split."""
CALIBRATE: Final = "calibrate"
"""Role of ordinary images that calibrate the bundle, or would if no review had left them out."""
_FIT_IMAGES: Final = 600


@dataclass(frozen=True)
class ImageTable:
    """n images of one set, with their labels.

    Attributes:
        name: Of the set, lower case.
        paths: Files, n.
        ids: [n] object ids, or source ids of a pack.
        oddities: [n] kinds joined by `+`, empty for ordinary images.
        morphology: [n] class names.
        roles: [n] `choose`, `report`, `fit` or `calibrate`; empty in a pack.
        groups: [n] what must stay on one side of a split.
        reviewed_out: [n] a person found that this "ordinary" image is not ordinary.
    """

    name: str
    paths: tuple[Path, ...]
    ids: NDArray[np.str_]
    oddities: NDArray[np.str_]
    morphology: NDArray[np.str_]
    roles: NDArray[np.str_]
    groups: NDArray[np.str_]
    reviewed_out: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def ordinary(self) -> NDArray[np.bool_]:
        """[n] whether the label calls the image ordinary."""
        return np.asarray(self.oddities == "", dtype=np.bool_)

    def where(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "ImageTable":
        """The selected images."""
        places = np.arange(len(self))[rows]
        return ImageTable(
            self.name,
            tuple(self.paths[place] for place in places),
            self.ids[places],
            self.oddities[places],
            self.morphology[places],
            self.roles[places],
            self.groups[places],
            self.reviewed_out[places],
        )


def galaxy_tables(data: Path) -> dict[str, ImageTable]:
    """SDSS and EFIGI: oddities of all splits by half, ordinary ones `val` to choose, `test` to report, some to fit."""
    return _galaxy_tables(data, _role)


def calibrating_tables(data: Path) -> dict[str, ImageTable]:
    """SDSS and EFIGI: what calibrates the bundle, reviewed or not; oddities of the choose half; others to fit."""
    return _galaxy_tables(data, _calibrating_role)


def _galaxy_tables(data: Path, role_of: Callable[[dict[str, str]], str]) -> dict[str, ImageTable]:
    """Galaxies by their roles, those to fit on only `_FIT_IMAGES`; without those that have no role."""
    rows = _read(data / "galaxies" / "labels.csv")
    tables = {}
    for survey in ("sdss", "efigi"):
        own = [
            row
            for row in rows
            if row["survey"].lower() == survey and (row["oddity"] or row["morphology"] != "unknown") and role_of(row)
        ]
        roles = [role_of(row) for row in own]
        fit = [place for place, role in enumerate(roles) if role == FIT]
        # The first by digest: a fixed random choice.
        kept = set(sorted(fit, key=lambda place: content_digest(own[place]["object_id"].encode()))[:_FIT_IMAGES])
        chosen = [place for place, role in enumerate(roles) if role != FIT or place in kept]
        tables[survey] = _table(
            survey,
            [data / own[place]["file"] for place in chosen],
            [own[place] for place in chosen],
            [own[place]["object_id"] for place in chosen],
            [roles[place] for place in chosen],
        )
    return tables


def pack_tables(data: Path) -> dict[str, ImageTable]:
    """Every pack, by its folder's name."""
    tables = {}
    for folder in sorted((data / "packs").iterdir()):
        if (folder / "labels.csv").is_file():
            # Images that nobody labelled are neither ordinary nor odd.
            rows = [row for row in _read(folder / "labels.csv") if not row["kind"].endswith("-unlabelled")]
            ids = [row["source_id"] for row in rows]
            tables[folder.name] = _table(
                folder.name, [folder / row["file"] for row in rows], rows, ids, [""] * len(ids)
            )
    return tables


def _table(name: str, paths: list[Path], rows: list[dict[str, str]], ids: list[str], roles: list[str]) -> ImageTable:
    out = not_ordinary(name)
    return ImageTable(
        name,
        tuple(paths),
        np.array(ids, dtype=np.str_),
        np.array([row["oddity"] for row in rows], dtype=np.str_),
        np.array([row["morphology"] for row in rows], dtype=np.str_),
        np.array(roles, dtype=np.str_),
        np.array([source_group(name) for name in ids], dtype=np.str_),
        np.array([own in out and not row["oddity"] for own, row in zip(ids, rows, strict=True)], dtype=np.bool_),
    )


def _role(row: dict[str, str]) -> str:
    if row["oddity"]:
        return str(half_of(row["object_id"]))
    return {"val": str(Half.CHOOSE), "test": str(Half.REPORT)}.get(row["split"], FIT)


def _calibrating_role(row: dict[str, str]) -> str:
    if row["oddity"]:
        return "" if half_of(row["object_id"]) is Half.REPORT else str(Half.CHOOSE)
    if row["morphology"] not in CLASSES:
        return ""
    split = split_of(row["split"], row["object_id"], odd=False)
    return {Split.CALIBRATION: CALIBRATE, Split.BACKBONE: FIT}.get(split, "")


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))
