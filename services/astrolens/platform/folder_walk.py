"""The files below a folder: links are followed, each real folder once, and what is broken is reported.

Observers keep nights on large disks and link them into a project folder.
"""

import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One regular file below a folder, or something that cannot be read.

    Attributes:
        path: Where it is.
        name: Below the folder, with slashes; bytes that are not UTF-8 are escaped.
        size: Bytes.
        mtime_ns: Of its last change.
        fault: Why it cannot be read, None where it can.
    """

    path: Path
    name: str
    size: int = 0
    mtime_ns: int = 0
    fault: str | None = None


def escaped(text: str) -> str:
    """The name of a file as text that can be stored and sent: bytes that are not UTF-8 become hexadecimal escapes."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


_UNFINISHED = (".part", ".partial", ".filepart", ".crdownload", ".download", ".aria2", ".tmp", ".temp", ".swp", "~")


def is_left_out(name: str) -> bool:
    """Whether a file or folder is left out by its name, without its folders.

    Hidden ones are the file manager's and git's, and those that programs are still writing (rsync); the endings are
    those of unfinished downloads, and of copies that editors keep.
    """
    return name.startswith(".") or name.lower().endswith(_UNFINISHED)


def walk_files(folder: Path, on_left_out: Callable[[str], object] | None = None) -> Iterator[FoundFile]:
    """The regular files below a folder, without those that are left out by their names (`is_left_out`).

    Folders that are there come before those that links lead to, so that a folder keeps its own name where a link leads
    to it as well. A loop of links ends because each real folder is visited once.

    Args:
        folder: Where to begin; itself it may be a link.
        on_left_out: Told the name of each file or folder that is left out.

    Yields:
        Files in the order of their names within each folder, and what cannot be read, with `fault`.
    """
    seen: set[tuple[int, int]] = set()
    linked: deque[Path] = deque([folder])
    while linked:
        waiting = [linked.popleft()]
        while waiting:
            current = waiting.pop()
            try:
                status = current.stat()
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
                with os.scandir(current) as entries:
                    found = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                yield FoundFile(current, _name(folder, current), fault=error.strerror or str(error))
                continue
            below: list[Path] = []
            for entry in found:
                path = Path(entry.path)
                if is_left_out(entry.name):
                    (on_left_out or _ignored)(_name(folder, path))
                    continue
                try:
                    mode = entry.stat().st_mode
                except OSError as error:
                    yield FoundFile(path, _name(folder, path), fault=_fault(entry, error))
                    continue
                if stat.S_ISDIR(mode):
                    (linked if entry.is_symlink() else below).append(path)
                else:
                    yield _found(path, _name(folder, path), entry.stat())
            waiting.extend(reversed(below))


def _name(folder: Path, path: Path) -> str:
    return escaped(path.relative_to(folder).as_posix())


def _ignored(_name: str) -> None:
    """Nobody asks what is left out."""


def _found(path: Path, name: str, status: os.stat_result) -> FoundFile:
    if stat.S_ISREG(status.st_mode):
        return FoundFile(path, name, status.st_size, status.st_mtime_ns)
    # Reading a pipe would wait for a writer that may never come.
    return FoundFile(path, name, fault=f"{_kind(status.st_mode)}, which is no file")


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


def _fault(entry: os.DirEntry[str], error: OSError) -> str:
    if entry.is_symlink() and isinstance(error, FileNotFoundError):
        return "a link to nothing"
    return error.strerror or str(error)
