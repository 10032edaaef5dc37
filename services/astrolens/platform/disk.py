"""Free disk space: the one check that sources, uploads and `astrolens up` ask before anything is taken in."""

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from astrolens.platform.settings import Settings

_CACHE_TTL_S: Final = 0.25
"""How long a result is used again, seconds: uploads and sources ask for every request."""


def free_mib(folder: Path) -> float:
    """Free space on the disk of a folder, MiB; of the nearest folder above it where it is missing."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free / 2**20


class DiskSpace:
    """Whether the disks of these folders have enough free space."""

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        min_free_mib: float,
        free_mib: Callable[[Path], float] = free_mib,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Compose; nothing is measured.

        Args:
            folders: Where something is written; none where all of it is on other machines.
            min_free_mib: Free space that is wanted on each, MiB.
            free_mib: Measures the free space on the disk of a folder, MiB.
            monotonic: A clock, seconds.
        """
        self._folders = tuple(folders)
        self._min_free_mib = min_free_mib
        self._free_mib = free_mib
        self._monotonic = monotonic
        self._checked_at = -float("inf")
        self._shortage: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> "DiskSpace":
        """The disks of the local stores. What lies in MongoDB or in S3 fills none here."""
        return cls(local_folders(settings), min_free_mib=settings.min_free_disk_mib)

    def shortage(self) -> str | None:
        """One sentence that names the disk that is nearly full and says what to do; None where there is space."""
        now = self._monotonic()
        if now - self._checked_at >= _CACHE_TTL_S:
            self._shortage, self._checked_at = self._measure(), now
        return self._shortage

    def _measure(self) -> str | None:
        for folder in self._folders:
            try:
                free = self._free_mib(folder)
            except OSError as error:
                return f"the disk of {folder} does not answer ({error.strerror})"
            if free < self._min_free_mib:
                return (
                    f"the disk of {folder} is nearly full: {free:.0f} MiB are free, {self._min_free_mib:.0f} are "
                    "wanted (ASTROLENS_MIN_FREE_DISK_MIB); free some space there"
                )
        return None


def local_folders(settings: Settings) -> list[Path]:
    """Folders of the stores that lie on disks of this machine; records first."""
    folders = []
    for url, scheme in ((settings.records_url, "sqlite"), (settings.images_url, "file")):
        parts = urlsplit(url)
        if parts.scheme == scheme:
            path = Path("/" + unquote(parts.path).lstrip("/"))
            folders.append(path.parent if scheme == "sqlite" else path)
    return folders
