"""The embedded image store: a folder of immutable files."""

import asyncio
import os
import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from astrolens.platform.errors import ConfigurationError, ObjectMissing, StoreUnavailable
from astrolens.platform.stores.images import Expiry, checked_key


class FolderImageStore:
    """`ImageStore` on a folder: a file is written aside and linked into place, so it is whole or absent.

    Files are synced to disk before they are linked only when `durable`: after a power cut an unsynced file could be
    empty under its final name. A killed process loses nothing either way.
    """

    def __init__(self, root: Path, *, threads: int = 4, durable: bool = False) -> None:
        self._root = root
        self._durable = durable
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
            raise StoreUnavailable(f"the image store {self._root} is gone")

    async def put(self, key: str, data: bytes, *, media_type: str) -> bool:  # noqa: ARG002 - the port's; files have none
        """Put bytes where there are none yet, atomically; return whether they are new."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._put, key, data)

    async def put_many(self, items: Sequence[tuple[str, bytes, str]]) -> None:
        """Put several (key, bytes, media type)."""

        def put_all() -> None:
            for key, data, _ in items:
                self._put(key, data)

        await asyncio.get_running_loop().run_in_executor(self._threads, put_all)

    async def get(self, key: str) -> bytes:
        """Get bytes.

        Raises:
            ObjectMissing: Nothing lies under this key.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._get, key)

    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Get several; missing keys are left out."""

        def get_all() -> dict[str, bytes]:
            found: dict[str, bytes] = {}
            for key in keys:
                try:
                    found[key] = self._get(key)
                except ObjectMissing:
                    continue  # the port's contract: the caller sees it by its absence
            return found

        return await asyncio.get_running_loop().run_in_executor(self._threads, get_all)

    async def exists(self, key: str) -> bool:
        """Whether something lies under this key."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._path(key).is_file)

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove; a missing key is no error."""

        def delete_all() -> None:
            for key in keys:
                self._path(key).unlink(missing_ok=True)

        await asyncio.get_running_loop().run_in_executor(self._threads, delete_all)

    async def link(
        self,
        key: str,
        *,
        media_type: str,  # noqa: ARG002 - the port's
        expires_s: float,  # noqa: ARG002 - the port's
        filename: str | None = None,  # noqa: ARG002 - the port's
    ) -> str | None:
        """None: a folder serves nobody but its own processes."""
        checked_key(key)
        return None

    def _check_writable(self) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        probe = self._root / f".probe-{secrets.token_hex(8)}"
        probe.write_bytes(b"")
        probe.unlink()

    def _path(self, key: str) -> Path:
        return self._root.joinpath(*checked_key(key).split("/"))

    def _put(self, key: str, data: bytes) -> bool:
        path = self._path(key)
        if path.exists():
            return False
        aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            try:
                descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                if self._durable:
                    file.flush()
                    os.fsync(file.fileno())
            try:
                os.link(aside, path)  # unlike rename, it fails where someone else was first
            except FileExistsError:
                return False
            finally:
                aside.unlink(missing_ok=True)
        except OSError as error:
            aside.unlink(missing_ok=True)
            raise StoreUnavailable(f"the image store {self._root} cannot write: {error.strerror}") from error
        return True

    def _get(self, key: str) -> bytes:
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError:
            raise ObjectMissing(key) from None
        except OSError as error:
            raise StoreUnavailable(f"the image store {self._root} cannot read: {error.strerror}") from error
