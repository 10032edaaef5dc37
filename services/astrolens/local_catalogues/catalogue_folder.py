"""All catalogues on this machine: the shipped ones, and those that were imported into a folder.

The folder has one folder a catalogue, with a folder for each import and a file `current` that names the one in use.
Publishing replaces that file, so that a reader sees the old catalogue or the new one, and an interrupted import changes
nothing. Readers keep their mapped files until they look again.
"""

import fcntl
import os
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from astrolens.local_catalogues.catalogue_format import CatalogueDamaged, Manifest
from astrolens.local_catalogues.index import CatalogueIndex, Pairs
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.private_files import create_private_folder
from astrolens.science.match_radius import Target, error_radius_arcsec
from astrolens.science.matching import MatchResult, Surroundings, match

SHIPPED: Final = Path(__file__).resolve().parent / "shipped"
"""The catalogues that come with the package."""
CURRENT: Final = "current"
_OPEN_TRIES: Final = 3
"""A catalogue may be replaced between reading `current` and opening it."""


@dataclass(frozen=True, kw_only=True)
class PlaceAnswer:
    """What one catalogue on this machine says of one place.

    Attributes:
        covered: Whether it covers the place and the match radius around it: only then nothing found means `none`.
        radius_arcsec: The radius that was searched around the place for the centres of points; objects with an outline
            were searched as far as their outline reaches.
        result: The objects that match, and the nearest.
    """

    covered: bool
    radius_arcsec: float
    result: MatchResult


class LocalCatalogues:
    """The catalogues of this machine. It may be used by several threads.

    Args:
        folder: Where imports lie; it need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._opened: dict[str, tuple[Path, CatalogueIndex]] = {}
        self._damaged: dict[str, str] = {}
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """The names of all catalogues, the shipped ones first."""
        return list(self._folders())

    def manifests(self) -> list[Manifest]:
        """What each catalogue is. One that is damaged is left out: see `damaged`."""
        return [index.manifest for index in self.indexes().values()]

    def damaged(self) -> Mapping[str, str]:
        """Catalogues that cannot be opened, and why."""
        self.indexes()
        return dict(self._damaged)

    def indexes(self) -> Mapping[str, CatalogueIndex]:
        """All catalogues, opened; what was imported or removed since the last call is seen."""
        with self._lock:
            folders = self._folders()
            for name in [*self._opened]:
                if name not in folders:
                    del self._opened[name]
            self._damaged = {}
            for name, folder in folders.items():
                if name not in self._opened or self._opened[name][0] != folder:
                    try:
                        self._opened[name] = (folder, self._open(name, folder))
                    except CatalogueDamaged as error:
                        self._opened.pop(name, None)
                        self._damaged[name] = str(error)
            return {name: self._opened[name][1] for name in folders if name in self._opened}

    def get(self, name: str) -> CatalogueIndex:
        """One catalogue.

        Raises:
            ConfigurationError: There is none of this name.
            CatalogueDamaged: Its files cannot be used.
        """
        indexes = self.indexes()
        if name in indexes:
            return indexes[name]
        if name in self._damaged:
            raise CatalogueDamaged(self.folder / name, self._damaged[name])
        raise ConfigurationError(
            f"there is no catalogue {name!r} on this machine; there are {', '.join(indexes) or 'none'} "
            "(`astrolens catalogs list`)"
        )

    def search(
        self,
        ra_deg: Sequence[float],
        dec_deg: Sequence[float],
        *,
        radius_arcsec: float,
        epoch_year: float | None = None,
    ) -> dict[str, Pairs]:
        """Everything within a circle around each position, by catalogue."""
        return {
            name: index.cone(ra_deg, dec_deg, radius_arcsec, epoch_year=epoch_year)
            for name, index in self.indexes().items()
        }

    def match(self, targets: Sequence[Target], *, names: Sequence[str] | None = None) -> dict[str, list[PlaceAnswer]]:
        """What each catalogue says of each place.

        Args:
            targets: The places.
            names: The catalogues to ask; None: all.

        Raises:
            ConfigurationError: A catalogue of `names` is not there.
        """
        indexes = self.indexes() if names is None else {name: self.get(name) for name in names}
        return {name: match_index(index, targets) for name, index in indexes.items()}

    def remove(self, name: str) -> None:
        """Remove an imported catalogue; whoever has it open may go on until he looks again.

        Raises:
            ConfigurationError: There is none of this name, or it is a shipped one.
        """
        folder = self.folder / name
        if name in _shipped() and not (folder / CURRENT).is_file():
            raise ConfigurationError(
                f"{name} comes with the package and stays; an import of that name would replace it"
            )
        if name not in self._folders():
            raise ConfigurationError(f"there is no catalogue {name!r} in {self.folder}; see `astrolens catalogs list`")
        with import_lock(self.folder):
            (folder / CURRENT).unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> dict[str, Path]:
        found = _shipped()
        if self.folder.is_dir():
            for path in sorted(self.folder.iterdir()):
                if (current := current_import(path)) is not None:
                    found[path.name] = current
        return found

    def _open(self, name: str, folder: Path) -> CatalogueIndex:
        for _ in range(_OPEN_TRIES - 1):
            try:
                return CatalogueIndex(folder)
            except CatalogueDamaged:
                folder = current_import(self.folder / name) or folder
        return CatalogueIndex(folder)


def match_index(index: CatalogueIndex, targets: Sequence[Target]) -> list[PlaceAnswer]:
    """What one catalogue says of each place."""
    if not targets:
        return []
    ra, dec = np.array([each.ra_deg for each in targets]), np.array([each.dec_deg for each in targets])
    sigma = np.array([each.sigma_arcsec for each in targets])
    years = np.array([np.nan if each.epoch_year is None else each.epoch_year for each in targets])
    radius = error_radius_arcsec(sigma, index.manifest.max_error_arcsec)
    near = index.within_reach(ra, dec, radius, epoch_year=years)
    nearest = index.nearest(ra, dec, k=1, epoch_year=years)
    crowding = index.crowding(ra, dec, sigma)
    covered = index.covers(ra, dec, radius)
    position = np.concatenate([near.position, nearest.position])
    row = np.concatenate([near.row, nearest.row])
    pairs = np.unique(np.stack([position, row]), axis=1) if row.size else np.zeros((2, 0), dtype=np.int64)
    objects = index.objects(pairs[1], years[pairs[0]])
    ends = np.searchsorted(pairs[0], np.arange(len(targets) + 1))
    return [
        PlaceAnswer(
            covered=bool(covered[n]),
            radius_arcsec=float(radius[n]),
            result=match(
                target,
                objects[ends[n] : ends[n + 1]],
                Surroundings(covered=float(crowding.covered[n]), objects=int(crowding.objects[n])),
            ),
        )
        for n, target in enumerate(targets)
    ]


def current_import(folder: Path) -> Path | None:
    """The folder of the import in use of a catalogue's folder; None where there is none."""
    try:
        version = (folder / CURRENT).read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return folder / version if version and "/" not in version else None


@contextmanager
def import_lock(folder: Path) -> Iterator[None]:
    """Keep imports and removals in a folder from running at once.

    Raises:
        ConfigurationError: Another one is running.
    """
    create_private_folder(folder)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigurationError(f"another import into {folder} is running; wait until it ends") from None
        yield


def publish(folder: Path, version: Path) -> None:
    """Make a finished import the one in use, and remove those before it.

    Args:
        folder: The catalogue's folder.
        version: The import, a folder in it; its files are synced.
    """
    draft = folder / f"{CURRENT}.new"
    with draft.open("w", encoding="utf-8") as file:
        file.write(version.name)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / CURRENT)
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    remove_leftovers(folder)


def remove_leftovers(folder: Path) -> None:
    """Remove what is not in use: earlier imports, and those that were interrupted."""
    current = current_import(folder)
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir() and path != current:
            shutil.rmtree(path, ignore_errors=True)


def _shipped() -> dict[str, Path]:
    if not SHIPPED.is_dir():
        return {}
    return {path.name: path for path in sorted(SHIPPED.iterdir()) if (path / "manifest.json").is_file()}
