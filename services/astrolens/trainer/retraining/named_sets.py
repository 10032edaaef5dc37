"""Named sets of labelled pictures: `kind:path[@survey]`, as the setting `training_sets` lists them.

| kind | path | what it is |
|---|---|---|
| `galaxies` | folder | `labels.csv` with `file, survey, object_id, morphology, oddity, split` |
| `packs` | folder | the packs of further surveys that the packaged bundle was calibrated on |
| `folder` | folder | `labels.csv` with `file` and `class` or `morphology`, perhaps `oddity`, `survey` |
| `galaxy10` | file | Galaxy10 DECaLS, HDF5 (Leung & Bovy 2021): `images` [n, 256, 256, 3] uint8, `ans` [n] |
| `galaxy-zoo` | CSV file | a released table of vote fractions, its pictures in `images` beside it |

Splits follow a hash of the object's id, so that a picture that measures never trains, in this run or the next.
"""

import csv
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from astrolens.platform.errors import ConfigurationError
from astrolens.trainer.dataset import CLASSES, Sample, Split, labelled_samples, pack_samples

MAX_PICTURES: Final = 20_000
"""Of one set: by a hash of the id, the same at every run."""

GALAXY10_CLASSES: Final = (
    "Disturbed Galaxies",
    "Merging Galaxies",
    "Round Smooth Galaxies",
    "In-between Round Smooth Galaxies",
    "Cigar Shaped Smooth Galaxies",
    "Barred Spiral Galaxies",
    "Unbarred Tight Spiral Galaxies",
    "Unbarred Loose Spiral Galaxies",
    "Edge-on Galaxies without Bulge",
    "Edge-on Galaxies with Bulge",
)
"""In the order of `ans` (astroNN's documentation, "Galaxy10 DECaLS Dataset")."""
_GALAXY10: Final[Mapping[int, tuple[str, str]]] = {
    0: ("", "disturbed"),
    1: ("", "merger"),
    2: ("smooth", ""),
    3: ("smooth", ""),
    4: ("smooth", ""),
    5: ("spiral", ""),
    6: ("spiral", ""),
    7: ("spiral", ""),
    8: ("edge-on", ""),
    9: ("edge-on", ""),
}
"""Class and oddity of each."""
_CONFIDENT: Final = 0.7
"""Share of the votes that makes a Galaxy Zoo answer a label; less is left out."""
_SHARES: Final = ((0.60, Split.BACKBONE), (0.70, Split.FIT), (0.85, Split.CALIBRATION), (1.0, Split.TEST))
_NAMES: Final = {"elliptical": "smooth", "round": "smooth", "edgeon": "edge-on", "edge on": "edge-on", "disk": "spiral"}


@dataclass(frozen=True)
class NamedSet:
    """One set of the settings.

    Attributes:
        kind: A key of `KINDS`.
        path: File or folder.
        survey: Survey of its pictures, where the table does not say; empty: the kind's own.
    """

    kind: str
    path: Path
    survey: str = ""

    @classmethod
    def parse(cls, text: str) -> "NamedSet":
        """A set from `kind:path[@survey]`.

        Raises:
            ConfigurationError: The kind is unknown, or there is no such file or folder.
        """
        kind, _, rest = text.partition(":")
        path, _, survey = rest.partition("@")
        if kind not in KINDS or not path:
            raise ConfigurationError(
                f"ASTROLENS_TRAINING_SETS: {text!r} is no named set: write kind:path with one of {', '.join(KINDS)}"
            )
        place = Path(path).expanduser()
        if not place.exists():
            raise ConfigurationError(f"ASTROLENS_TRAINING_SETS: {text!r}: there is no {place}")
        return cls(kind, place, survey.lower())

    def samples(self, extracted: Path) -> Iterator[Sample]:
        """Its pictures with their splits.

        Args:
            extracted: Folder for pictures that come out of an archive file.
        """
        yield from KINDS[self.kind](self, extracted)


def split_of(object_id: str, *, odd: bool) -> Split:
    """The split of an object by a hash of its id. Oddities only measure."""
    if odd:
        return Split.TEST
    draw = int.from_bytes(hashlib.sha256(f"set/{object_id}".encode()).digest()[:8], "big") / 2.0**64
    return next(split for limit, split in _SHARES if draw < limit)


def _galaxies(own: NamedSet, _: Path) -> Iterator[Sample]:
    return labelled_samples(own.path)


def _packs(own: NamedSet, _: Path) -> Iterator[Sample]:
    return pack_samples(own.path)


def _folder(own: NamedSet, _: Path) -> Iterator[Sample]:
    table = own.path / "labels.csv"
    for row in _rows(table):
        name = row.get("file") or row.get("path") or ""
        given = (row.get("morphology") or row.get("class") or row.get("label") or "").strip().lower()
        morphology = _NAMES.get(given, given)
        oddity = (row.get("oddity") or "").strip().lower()
        if not oddity and morphology not in CLASSES:
            if not given or given in {"ordinary", "unknown"}:
                morphology = ""
            else:
                oddity = given
        path = _inside(own.path, name, table)
        if path is None:
            continue
        yield _sample(own, path, name, row.get("survey") or own.survey or "unknown", morphology, oddity)


def _galaxy10(own: NamedSet, extracted: Path) -> Iterator[Sample]:
    import h5py  # noqa: PLC0415 - only this kind needs it

    folder = extracted / f"galaxy10-{own.path.stem}"
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(own.path, "r") as file:
        if "images" not in file or "ans" not in file:
            raise ConfigurationError(
                f"ASTROLENS_TRAINING_SETS: {own.path} has no `images` and `ans`: it is no Galaxy10"
            )
        answers = np.asarray(file["ans"])
        rows = sorted(range(len(answers)), key=lambda row: hashlib.sha256(f"galaxy10/{row}".encode()).digest())
        for row in sorted(rows[:MAX_PICTURES]):
            morphology, oddity = _GALAXY10[int(answers[row])]
            path = folder / f"{row:05d}.png"
            if not path.is_file():
                unfinished = path.with_suffix(".part")
                Image.fromarray(np.asarray(file["images"][row], dtype=np.uint8)).save(unfinished, "PNG")
                unfinished.replace(path)
            yield _sample(own, path, f"galaxy10/{row}", own.survey or "legacy", morphology, oddity)


def _galaxy_zoo(own: NamedSet, _: Path) -> Iterator[Sample]:
    for row in _rows(own.path):
        votes = {name.lower(): _fraction(value) for name, value in row.items() if name}
        label = _voted(votes)
        name = next((row[key] for key in row if key and key.lower() in _IDS and row[key]), "")
        if label is None or not name:
            continue
        picture = row.get("file") or f"{name}.jpg"
        path = _inside(own.path.parent / "images", picture, own.path)
        if path is None:
            continue
        yield _sample(own, path, f"galaxy-zoo/{name}", own.survey or "sdss", *label)


_IDS: Final = frozenset({"objid", "dr7objid", "dr8objid", "iauname", "id_str", "specobjid", "asset_id"})


def _voted(votes: Mapping[str, float]) -> tuple[str, str] | None:
    """Class and oddity by vote fractions of Galaxy Zoo 1, 2 or DECaLS; None where the votes are divided."""

    def share(*names: str) -> float:
        return max((votes[name] for name in names if name in votes), default=0.0)

    spiral_votes = max(votes.get("p_cw", 0.0) + votes.get("p_acw", 0.0), votes.get("p_cs", 0.0))
    if share("p_mg", "t08_odd_feature_a24_merger_debiased", "merging_merger_fraction") > _CONFIDENT:
        return "", "merger"
    if share("p_edge", "t02_edgeon_a04_yes_debiased", "disk-edge-on_yes_fraction") > _CONFIDENT:
        return "edge-on", ""
    if share("p_el", "t01_smooth_or_features_a01_smooth_debiased", "smooth-or-featured_smooth_fraction") > _CONFIDENT:
        return "smooth", ""
    if max(spiral_votes, share("t04_spiral_a08_spiral_debiased", "has-spiral-arms_yes_fraction")) > _CONFIDENT:
        return "spiral", ""
    return None


def _fraction(value: str | None) -> float:
    try:
        return float(value or 0.0)
    except ValueError:
        return 0.0


def _sample(own: NamedSet, path: Path, name: str, survey: str, morphology: str, oddity: str) -> Sample:
    return Sample(
        split=split_of(name, odd=bool(oddity)),
        key=f"{own.kind}/{own.path.name}/{name}",
        path=path,
        survey=survey.lower(),
        morphology=morphology if morphology in CLASSES else "",
        oddity=oddity,
    )


def _rows(table: Path) -> Iterator[dict[str, str]]:
    if not table.is_file():
        raise ConfigurationError(f"ASTROLENS_TRAINING_SETS: there is no table {table}")
    with table.open(newline="", encoding="utf-8-sig") as stream:
        for number, row in enumerate(csv.DictReader(stream)):
            if number >= MAX_PICTURES:
                return
            yield row


def _inside(folder: Path, name: str, table: Path) -> Path | None:
    """A file that a table names; None where it is not there.

    Raises:
        ConfigurationError: It lies outside the folder.
    """
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ConfigurationError(f"ASTROLENS_TRAINING_SETS: {table} names {name!r}, which lies outside its folder")
    return path if name and path.is_file() else None


KINDS: Final[Mapping[str, Callable[[NamedSet, Path], Iterator[Sample]]]] = {
    "galaxies": _galaxies,
    "packs": _packs,
    "folder": _folder,
    "galaxy10": _galaxy10,
    "galaxy-zoo": _galaxy_zoo,
}
