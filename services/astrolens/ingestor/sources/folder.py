"""A watched folder as a source: every picture that is put into it, once it is written completely."""

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from astrolens.contracts import ids
from astrolens.contracts.base import utc_now
from astrolens.contracts.records import Observation, Reason, truncate_extra
from astrolens.ingestor.sources.base import SourceCursor, SourceImage, SourceReport
from astrolens.ingestor.sources.throttling import Sleep
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import RecordStore

SUFFIXES: Final = (
    *(".jpg", ".jpeg", ".png", ".tif", ".tiff"),
    *(".fits", ".fit", ".fts", ".fits.gz", ".fit.gz", ".fts.gz", ".fits.fz"),
)

_SCAN_EVERY_S: Final = 2.0
_KNOWN_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    name: str
    """Relative to the folder, with slashes."""
    size: int
    mtime_ns: int

    @property
    def ref(self) -> str:
        """A changed file is another arrival; an unchanged one is the same arrival after any restart."""
        return f"{self.name}?mtime_ns={self.mtime_ns}&size={self.size}"


class FolderSource:
    """Yields the pictures of a folder and its subfolders.

    A file is read when its size and time have not changed between two scans. It is identified by path, time and size:
    receipts tell which files were read before, so a restart reads nothing twice.
    """

    name = "folder"
    batch = "folder"

    def __init__(
        self,
        *,
        path: Path | None,
        survey: str,
        records: RecordStore,
        max_bytes: int,
        scan_every_s: float = _SCAN_EVERY_S,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """Make the source.

        Args:
            path: The folder.
            survey: What its images are called, unless they say otherwise.
            records: Whose receipts tell what was read before.
            max_bytes: Larger files are refused unread.
            scan_every_s: Pause between two scans, seconds.
            sleep: How to pause.
        """
        self.report = SourceReport()
        self._path = path
        self._survey = survey
        self._records = records
        self._max_bytes = max_bytes
        self._scan_every_s = scan_every_s
        self._sleep = sleep
        self._unreadable: str | None = None

    def check(self) -> None:
        """The folder must be there and readable, and its survey a name.

        Raises:
            ConfigurationError: It is not.
        """
        self._folder()
        try:
            Observation(survey=self._survey)
        except ValidationError:
            raise ConfigurationError(
                f"ASTROLENS_FOLDER_SURVEY is {self._survey!r}: a survey has lower-case letters, digits and hyphens"
            ) from None

    async def images(self, cursor: SourceCursor | None) -> AsyncGenerator[SourceImage, None]:  # noqa: ARG002 - receipts tell
        """The files there are now, and then whatever comes."""
        previous: dict[str, str] = {}
        read: set[str] = set()
        while True:
            files = await asyncio.to_thread(self._scan)
            stable = [file for file in files if previous.get(file.name) == file.ref and file.ref not in read]
            previous = {file.name: file.ref for file in files}
            # Files that were removed or changed need not be remembered.
            read &= set(previous.values())
            self._unreadable = None
            for page in range(0, len(stable), _KNOWN_PAGE):
                chosen = stable[page : page + _KNOWN_PAGE]
                known = await self._known(chosen)
                read |= known
                for file in chosen:
                    if file.ref not in known and (image := await asyncio.to_thread(self._read, file)) is not None:
                        self.report.set("running")
                        yield image
                        read.add(file.ref)
            self._report_idle(files)
            await self._sleep(self._scan_every_s)

    def _report_idle(self, files: Sequence[_File]) -> None:
        if self._unreadable is not None:
            self.report.set("idle", self._unreadable, next_try_at=utc_now() + timedelta(seconds=self._scan_every_s))
        else:
            self.report.set("idle", f"watches {self._path}: {len(files)} pictures, all of them taken")

    def _folder(self) -> Path:
        if self._path is None:
            raise ConfigurationError("the source 'folder' needs ASTROLENS_FOLDER_PATH: the folder that it watches")
        try:
            with os.scandir(self._path) as entries:
                next(entries, None)
        except OSError as error:
            raise ConfigurationError(
                f"the folder {self._path} (ASTROLENS_FOLDER_PATH) cannot be read: {error.strerror}"
            ) from error
        return self._path

    def _scan(self) -> list[_File]:
        folder = self._folder()
        files: list[_File] = []
        for root, folders, names in os.walk(folder):
            folders.sort()
            for name in sorted(names):
                path = Path(root, name)
                if not name.lower().endswith(SUFFIXES) or name.startswith(".") or path.is_symlink():
                    continue
                try:
                    status = path.stat()
                except OSError:
                    continue  # It was removed during the scan.
                relative = path.relative_to(folder).as_posix()
                files.append(_File(path, relative, status.st_size, status.st_mtime_ns))
        return files

    async def _known(self, files: Sequence[_File]) -> set[str]:
        refs = {ids.receipt_id(self.name, self.batch, file.ref): file.ref for file in files}
        found = await self._records.get(Collection.RECEIPTS, list(refs))
        return {refs[name] for name in found}

    def _read(self, file: _File) -> SourceImage | None:
        observation = Observation(
            survey=self._survey, name=file.path.name[:200], extra=truncate_extra({"path": file.name})
        )
        if file.size > self._max_bytes:
            detail = f"The file has {file.size} bytes, more than the limit of {self._max_bytes}."
            return SourceImage(file.ref, observation, refusal=Reason(code="too-large", detail=detail))
        try:
            data = file.path.read_bytes()
        except OSError as error:
            # Nothing was received, so there is no receipt; it is tried again at every scan, and shown.
            self._unreadable = f"{file.name} cannot be read: {error.strerror}"
            return None
        if len(data) != file.size:
            return None  # It is being written: the next scan sees its new size.
        return SourceImage(file.ref, observation, data=data)
