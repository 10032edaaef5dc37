"""The members of a tar archive, one after the other, as `astrolens ingest` and the watched folder take them.

Nothing is unpacked to disk, and no more than one member is in memory here. Names of members are names, never paths.
"""

import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from astrolens.platform.folder_walk import escaped, is_left_out
from astrolens.usecases.submissions import RefNumbers

SUFFIXES: Final = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_DAMAGES: Final = (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, ValueError)


@dataclass(frozen=True, slots=True)
class ArchiveMember:
    """A file within an archive, or what is wrong with it.

    Attributes:
        name: Unique within the archive; empty where the archive itself is at fault.
        data: Its bytes; None where there is a fault.
        fault: Why it cannot be taken, None where it can.
        size: Bytes, as the archive says.
    """

    name: str
    data: bytes | None = None
    fault: str | None = None
    size: int = 0


def is_archive(name: str) -> bool:
    """Whether a file is a tar archive, by its name."""
    return name.lower().endswith(SUFFIXES)


def members(path: Path, *, max_bytes: int, on_left_out: Callable[[str], object]) -> Iterator[ArchiveMember]:
    """The files of an archive; what follows damage is lost; the last member reports it.

    Args:
        path: The archive.
        max_bytes: Of one member; larger ones are told unread.
        on_left_out: Told the name of each member that is left out by its name.
    """
    numbers = RefNumbers()
    found = 0
    try:
        # As a stream: a compressed archive cannot be read in another order.
        with tarfile.open(path, "r|*") as tar:
            for member in tar:
                name = escaped(member.name).removeprefix("./")
                if member.isdir():
                    continue
                if any(is_left_out(part) and part not in {".", ".."} for part in name.split("/")):
                    on_left_out(name)
                    continue
                found += 1
                yield _member(tar, member, numbers.unique(name), max_bytes)
    except _DAMAGES as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        yield ArchiveMember("", fault=f"the archive cannot be read beyond its first {found} files: {why}")
        return
    if not found:
        yield ArchiveMember("", fault="the archive holds no file")


def _member(tar: tarfile.TarFile, member: tarfile.TarInfo, name: str, max_bytes: int) -> ArchiveMember:
    if not member.isfile():
        return ArchiveMember(name, fault="a link or a device within an archive, which is not followed")
    if member.size > max_bytes:
        return ArchiveMember(
            name, fault=f"{member.size} bytes are more than the {max_bytes} of a file", size=member.size
        )
    content = tar.extractfile(member)
    data = b"" if content is None else content.read(max_bytes + 1)
    if len(data) != member.size:
        return ArchiveMember(name, fault="the archive ends within this file")
    return ArchiveMember(name, data, size=member.size)
