"""Files that only their owner can use: one is the key that signs sessions, and images may be private.

`restrict_new_files` covers every file that a process creates, `create_private_folder` and `create_private_file` do not
depend on it, and `make_home_private` mends what an earlier version left readable for others.
"""

import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import Final

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
_UMASK: Final = 0o077
_OTHERS: Final = 0o077
"""Permissions of the group and of everybody else."""


def restrict_new_files() -> None:
    """Give files and folders that this process and its children create to their owner alone."""
    os.umask(_UMASK)


def create_private_folder(folder: Path) -> None:
    """Create a folder that only its owner can enter; one that is there stays as it is.

    Raises:
        OSError: It cannot be created.
    """
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)


def create_private_file(path: Path) -> None:
    """Create an empty file that only its owner can use, or make one that is there so, if it is ours.

    Raises:
        OSError: It cannot be created.
    """
    path.touch(mode=FILE_MODE)
    make_private(path)


def publish_private_file(path: Path, data: bytes) -> None:
    """Give a private file its whole content at once; one that is there already, such as another process's, is left.

    Raises:
        OSError: It cannot be written.
    """
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    create_private_file(fresh)
    try:
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink()


def make_private(path: Path) -> None:
    """Take the permissions of others from a file or folder, if it is ours. A link and what is missing are left."""
    with contextlib.suppress(FileNotFoundError):
        found = path.lstat()
        if found.st_uid == os.geteuid() and not stat.S_ISLNK(found.st_mode) and found.st_mode & _OTHERS:
            path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)


def make_home_private(home: Path) -> None:
    """Make the home folder and its direct entries private: no other user can open what is below.

    The user's own home folder is not ours to close, only what AstroLens keeps there. A folder of somebody else, such as
    a volume with a group of its own, stays as it is: its owner decides.

    Raises:
        OSError: The permissions cannot be changed.
    """
    if not home.is_dir():
        return
    if home.resolve() != Path.home().resolve():
        make_private(home)
    for name in _HOME_ENTRIES:
        for path in home.glob(name):
            make_private(path)
    for path in home.glob("logs/*"):
        make_private(path)


def open_to_others(home: Path) -> bool:
    """Whether other users of this machine can look into the home folder."""
    return bool(home.stat().st_mode & _OTHERS)


_HOME_ENTRIES: Final = (
    "records.sqlite*",
    "supervisor.lock",
    "images",
    "logs",
    "similarity",
    "models",
    "console",
    "keys",
    "catalogues",
)
"""What AstroLens keeps in its home folder."""
