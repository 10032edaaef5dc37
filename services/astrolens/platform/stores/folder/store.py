"""The embedded image store: a folder of immutable files."""

import asyncio
import errno
import os
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import structlog

from astrolens.platform.errors import ConfigurationError, ObjectDamaged, ObjectMissing, StoreUnavailable
from astrolens.platform.private_files import FILE_MODE, create_private_folder
from astrolens.platform.stores.images import Expiry, is_replaceable, validated_key, verified

_THREADS: Final = 8
"""Files written at a time: a disk syncs several together in about the time of one."""

T = TypeVar("T")
Arguments = ParamSpec("Arguments")

_log = structlog.get_logger(__name__)


class FolderImageStore:
    """`ImageStore` on a folder: a file is written under another name, synced and linked, so it is whole or absent.

    What a put has returned from survives a power cut: the file is on disk before its name is, and so is the name.
    """

    def __init__(self, root: Path, *, threads: int = _THREADS) -> None:
        self._root = root
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="images")

    @property
    def expiry(self) -> Expiry | None:
        """None: files stay until they are deleted."""
        return None

    async def open(self) -> None:
        """Create the folder.

        Raises:
            ConfigurationError: The folder cannot be created or written.
        """
        try:
            await asyncio.to_thread(self._check_writable)
        except OSError as error:
            raise ConfigurationError(f"the image store {self._root} cannot be written: {error.strerror}") from error

    async def close(self) -> None:
        """Let running writes end."""
        await asyncio.to_thread(self._threads.shutdown)

    async def ping(self) -> None:
        """Raise unless the folder is there."""
        if not await asyncio.to_thread(self._root.is_dir):
            raise StoreUnavailable(f"the image store {self._root} is missing")

    async def put(self, key: str, data: bytes, *, media_type: str) -> bool:  # noqa: ARG002 - the port's; files have none
        """See `ImageStore`."""
        is_new, folders = await self._run(self._write, key, data)
        await self._sync_folders(folders)
        return is_new

    async def put_many(self, items: Sequence[tuple[str, bytes, str]]) -> None:
        """Put several (key, bytes, media type); each touched folder is synced once."""

        def write_all(share: Sequence[tuple[str, bytes, str]]) -> set[Path]:
            return set[Path]().union(*(self._write(key, data)[1] for key, data, _ in share))

        # A share a thread, and not a call a file: handing a call to a thread costs as much as writing a small file.
        written = await asyncio.gather(*(self._run(write_all, share) for share in _shares(items, _THREADS)))
        await self._sync_folders(set[Path]().union(*written))

    async def get(self, key: str) -> bytes:
        """Get bytes.

        Raises:
            ObjectMissing: Nothing is stored under this key.
            ObjectDamaged: What lies there is not what was put.
        """
        return await self._run(self._get, key)

    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Get several; missing and damaged ones are left out."""

        def get_all() -> dict[str, bytes]:
            found: dict[str, bytes] = {}
            for key in keys:
                try:
                    found[key] = self._get(key)
                except ObjectDamaged as error:
                    _log.error("image is damaged", key=key, error=str(error))
                except ObjectMissing:
                    continue  # the port's contract: the caller sees it by its absence
            return found

        return await self._run(get_all)

    async def exists(self, key: str) -> bool:
        """Whether something is stored under this key."""
        return await self._run(self._path(key).is_file)

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove; a missing key is no error."""

        def delete_all() -> None:
            for key in keys:
                self._path(key).unlink(missing_ok=True)

        await self._run(delete_all)

    async def link(
        self,
        key: str,
        *,
        media_type: str,  # noqa: ARG002 - the port's
        expires_s: float,  # noqa: ARG002 - the port's
        filename: str | None = None,  # noqa: ARG002 - the port's
    ) -> str | None:
        """None: a folder has no web server that a link could lead to."""
        validated_key(key)
        return None

    async def _run(self, call: Callable[Arguments, T], *arguments: Arguments.args, **named: Arguments.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(call, *arguments, **named))

    def _check_writable(self) -> None:
        create_private_folder(self._root)
        probe = self._root / f".probe-{secrets.token_hex(8)}"
        probe.write_bytes(b"")
        probe.unlink()

    def _path(self, key: str) -> Path:
        return self._root.joinpath(*validated_key(key).split("/"))

    def _write(self, key: str, data: bytes) -> tuple[bool, set[Path]]:
        """Write and sync a file; return whether it is new, and the folders that must be synced before it is safe."""
        path = self._path(key)
        try:
            damaged = False
            if path.exists():
                # Another put may have linked it a moment ago, and not synced its folder yet.
                if not is_replaceable(key) or _holds(path, data):
                    return False, {path.parent}
                damaged = True
            folders = self._make_folder(path.parent)
            draft = _write_draft(path, data)
            try:
                if damaged:
                    _log.warning("image is replaced: its file differs", key=key, size_bytes=len(data))
                    draft.replace(path)
                    return True, folders
                try:
                    os.link(draft, path)  # unlike rename, it fails where someone else was first
                except FileExistsError:
                    return False, folders
            finally:
                draft.unlink(missing_ok=True)
        except OSError as error:
            raise self._unavailable("written", error) from error
        return True, folders

    def _make_folder(self, folder: Path) -> set[Path]:
        """Create a folder where it is missing; return it, and the folders that hold the names of new ones."""
        missing: list[Path] = []
        while folder != self._root and not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for new in reversed(missing):
            create_private_folder(new)
        return {folder, *missing}

    async def _sync_folders(self, folders: set[Path]) -> None:

        def sync_all(share: Sequence[Path]) -> None:
            for folder in share:
                _sync_folder(folder)

        try:
            await asyncio.gather(*(self._run(sync_all, share) for share in _shares(list(folders), _THREADS)))
        except OSError as error:
            raise self._unavailable("written", error) from error

    def _get(self, key: str) -> bytes:
        try:
            data = self._path(key).read_bytes()
        except FileNotFoundError:
            raise ObjectMissing(key) from None
        except OSError as error:
            raise self._unavailable("read", error) from error
        return verified(key, data)

    def _unavailable(self, verb: str, error: OSError) -> StoreUnavailable:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return StoreUnavailable(f"the disk of the image store {self._root} is full: free some space there")
        return StoreUnavailable(f"the image store {self._root} cannot be {verb}: {error.strerror}")


def _shares(items: Sequence[T], count: int) -> list[Sequence[T]]:
    """Items in at most `count` shares of about the same size, none of them empty."""
    return [share for start in range(count) if (share := items[start::count])]


def _holds(path: Path, data: bytes) -> bool:
    """Whether a file holds these bytes; its size is compared first."""
    return path.stat().st_size == len(data) and path.read_bytes() == data


def _write_draft(path: Path, data: bytes) -> Path:
    """Write and sync a file beside `path`."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
