"""A watched folder as a source: every picture in it, in tar archives too, once it is written completely."""

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from astrolens.contracts import ids
from astrolens.contracts.base import utc_now
from astrolens.contracts.records import Observation, Reason, truncate_extra
from astrolens.ingestor.sources.base import SourceCursor, SourceImage, SourceReport
from astrolens.ingestor.sources.throttling import Sleep
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.folder_walk import FoundFile, walk_files
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import RecordStore
from astrolens.usecases import archives

SUFFIXES: Final = (
    *(".jpg", ".jpeg", ".png", ".tif", ".tiff"),
    *(".fits", ".fit", ".fts", ".fits.gz", ".fit.gz", ".fts.gz", ".fits.fz"),
    ".avro",
)

_WATCHED: Final = (*SUFFIXES, *archives.SUFFIXES)
_MEMBERS_AT_ONCE: Final = 8
"""Members of an archive that are in memory at once."""

_SCAN_EVERY_S: Final = 2.0
_KNOWN_PAGE: Final = 500


def _ref(file: FoundFile) -> str:
    """A changed file is another arrival; an unchanged one is the same arrival after any restart."""
    return f"{file.name}?mtime_ns={file.mtime_ns}&size={file.size}"


@dataclass(slots=True)
class _LeftOut:
    """What a scan has passed over by its name, for the status.

    Attributes:
        hidden: Number of hidden and unfinished files and folders.
        others: Number of files whose name is that of no picture.
        examples: The first of each.
    """

    hidden: int = 0
    others: int = 0
    examples: dict[str, str] = field(default_factory=dict)

    def note_hidden(self, name: str) -> None:
        self.hidden += 1
        self.examples.setdefault("hidden", name)

    def note_other(self, name: str) -> None:
        self.others += 1
        self.examples.setdefault("other", name)

    def words(self, members: int) -> str:
        """What is added to the status; empty where nothing was left out."""
        said = []
        if self.hidden + members:
            example = self.examples.get("hidden", "in archives")
            said.append(f"{self.hidden + members} hidden or unfinished files left out ({example[:80]})")
        if self.others:
            said.append(f"{self.others} files with other endings left out ({self.examples['other'][:80]})")
        return "".join(f"; {one}" for one in said)


class FolderSource:
    """Yields the pictures of a folder and its subfolders, linked ones included, each real folder once.

    Hidden and unfinished files (`folder_walk.is_left_out`) and those with other endings are left out, and counted in
    the status. A file is read when its size and time have not changed between two scans. It is identified by path, time
    and size: receipts tell which files were read before, so a restart reads nothing twice.
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
        self._unreadable: dict[str, str] = {}
        self._left_out = _LeftOut()
        # Number of the members of each archive that were left out by their names.
        self._members_left_out: dict[str, int] = {}
        # Of archives that were read to their end: the members without a receipt yet.
        self._open_members: dict[str, set[str]] = {}

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
        previous: set[str] = set()
        yielded: set[str] = set()
        taken: set[str] = set()
        while True:
            files = await asyncio.to_thread(self._scan)
            refs = {_ref(file) for file in files}
            # Files that were removed or changed need not be remembered.
            yielded &= refs
            taken &= refs
            self._open_members = {ref: left for ref, left in self._open_members.items() if ref in refs}
            self._members_left_out = {ref: count for ref, count in self._members_left_out.items() if ref in refs}
            stable = [file for file in files if _ref(file) in previous and _ref(file) not in taken]
            previous = refs
            for page in range(0, len(stable), _KNOWN_PAGE):
                chosen = stable[page : page + _KNOWN_PAGE]
                taken |= await self._taken(chosen)
                for file in chosen:
                    ref = _ref(file)
                    if ref in taken or ref in yielded:
                        continue
                    if archives.is_archive(file.name):
                        if not await asyncio.to_thread(self._is_readable, file):
                            continue
                        async for member in self._members(file):
                            self.report.set("running")
                            yield member
                        yielded.add(ref)
                        continue
                    if (image := await asyncio.to_thread(self._read, file)) is not None:
                        self.report.set("running")
                        yield image
                        yielded.add(ref)
            self._report_idle(len(files), waiting=len(refs - taken))
            await self._sleep(self._scan_every_s)

    def _report_idle(self, pictures: int, *, waiting: int) -> None:
        left_out = self._left_out.words(sum(self._members_left_out.values()))
        next_try_at = utc_now() + timedelta(seconds=self._scan_every_s)
        if self._unreadable:
            name, why = next(iter(self._unreadable.items()))
            more = f", and {len(self._unreadable) - 1} more" if len(self._unreadable) > 1 else ""
            self.report.set("idle", f"{name} cannot be read: {why}{more}", next_try_at=next_try_at)
        elif waiting:
            # Only a receipt says that one was taken.
            detail = f"watches {self._path}: {pictures} pictures, {waiting} of them not taken yet{left_out}"
            self.report.set("idle", detail, next_try_at=next_try_at)
        else:
            self.report.set("idle", f"watches {self._path}: {pictures} pictures, all of them taken{left_out}")

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

    def _scan(self) -> list[FoundFile]:
        self._unreadable = {}
        self._left_out = left_out = _LeftOut()
        files: list[FoundFile] = []
        for file in walk_files(self._folder(), left_out.note_hidden):
            if file.fault is not None:
                self._unreadable[file.name] = file.fault
            elif file.name.lower().endswith(_WATCHED):
                files.append(file)
            else:
                left_out.note_other(file.name)
        return sorted(files, key=lambda file: file.name)

    async def _taken(self, files: Sequence[FoundFile]) -> set[str]:
        """Refs of the files that have a receipt, and of the archives all of whose members have one."""
        refs = [_ref(file) for file in files if not archives.is_archive(file.name)]
        found = await self._with_receipt(refs)
        for ref in (_ref(file) for file in files if archives.is_archive(file.name)):
            left = self._open_members.get(ref)
            if left is None:
                continue
            left -= await self._with_receipt(sorted(left)[:_KNOWN_PAGE])
            if not left:
                found.add(ref)
        return found

    async def _with_receipt(self, refs: Sequence[str]) -> set[str]:
        if not refs:
            return set()
        by_id = {ids.receipt_id(self.name, self.batch, ref): ref for ref in refs}
        found = await self._records.get(Collection.RECEIPTS, list(by_id))
        return {by_id[name] for name in found}

    async def _members(self, archive: FoundFile) -> AsyncGenerator[SourceImage, None]:
        """The members of an archive that have no receipt; after a restart it is read once more."""
        left_out: list[str] = []
        walk = archives.members(archive.path, max_bytes=self._max_bytes, on_left_out=left_out.append)
        left: set[str] = set()
        while chosen := await asyncio.to_thread(lambda: list(islice(walk, _MEMBERS_AT_ONCE))):
            images = [self._member(archive, member) for member in chosen]
            known = await self._with_receipt([image.ref for image in images])
            for image in images:
                if image.ref not in known:
                    left.add(image.ref)
                    yield image
        self._open_members[_ref(archive)] = left
        self._members_left_out[_ref(archive)] = len(left_out)

    def _is_readable(self, file: FoundFile) -> bool:
        try:
            with file.path.open("rb"):
                return True
        except OSError as error:
            self._unreadable[file.name] = error.strerror or str(error)
            return False

    def _member(self, archive: FoundFile, member: archives.ArchiveMember) -> SourceImage:
        path = f"{archive.name}/{member.name}" if member.name else archive.name
        ref = f"{path}?mtime_ns={archive.mtime_ns}&size={archive.size}"
        name = path.rsplit("/", 1)[-1]
        observation = Observation(survey=self._survey, name=name[:200], extra=truncate_extra({"path": path}))
        if member.fault is None:
            return SourceImage(ref, observation, data=member.data)
        code = "too-large" if member.size > self._max_bytes else "unreadable"
        detail = member.fault[0].upper() + member.fault[1:]
        return SourceImage(ref, observation, refusal=Reason(code=code, detail=f"{detail}."[:500]))

    def _read(self, file: FoundFile) -> SourceImage | None:
        name = file.name.rsplit("/", 1)[-1]
        observation = Observation(survey=self._survey, name=name[:200], extra=truncate_extra({"path": file.name}))
        if file.size > self._max_bytes:
            detail = f"The file has {file.size} bytes, more than the limit of {self._max_bytes}."
            return SourceImage(_ref(file), observation, refusal=Reason(code="too-large", detail=detail))
        try:
            data = file.path.read_bytes()
        except OSError as error:
            # Nothing was received, so there is no receipt; it is tried again at every scan, and shown.
            self._unreadable[file.name] = error.strerror or str(error)
            return None
        if len(data) != file.size:
            return None  # It is being written: the next scan sees its new size.
        return SourceImage(_ref(file), observation, data=data)
