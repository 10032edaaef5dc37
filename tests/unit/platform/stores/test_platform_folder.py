"""The folder image store: the behaviour suite, and what only a folder can suffer."""

import errno
import hashlib
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from astrolens.platform.errors import ConfigurationError, StoreUnavailable
from astrolens.platform.stores.folder.store import FolderImageStore
from astrolens.platform.stores.images import ImageStore, original_key

from tests.behaviour.image_store import CUTOUT_KEY, JPEG, ORIGINAL, ORIGINAL_KEY, ImageStoreBehaviour


class TestFolderImageStore(ImageStoreBehaviour):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[ImageStore]:
        store = FolderImageStore(tmp_path / "images")
        await store.open()
        yield store
        await store.close()


async def test_no_half_written_file_stays(tmp_path: Path) -> None:
    store = FolderImageStore(tmp_path)
    await store.open()
    await store.put("a/b", b"x", media_type="image/jpeg")
    await store.put("a/b", b"y", media_type="image/jpeg")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]
    await store.close()


async def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        await FolderImageStore(tmp_path / "file" / "images").open()


async def test_a_vanished_folder_is_noticed(tmp_path: Path) -> None:
    store = FolderImageStore(tmp_path / "images")
    await store.open()
    (tmp_path / "images").rmdir()
    with pytest.raises(StoreUnavailable, match="is missing"):
        await store.ping()
    await store.close()


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[FolderImageStore]:
    store = FolderImageStore(folder)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


class Disk:
    """Sees what is synced and named, in order; its disk can be full.

    A name counts as safe once its file, its folder, and the folders that hold those, were synced after it was given.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[tuple[str, str]] = []
        self.full = False
        self._link, self._sync = os.link, os.fsync
        monkeypatch.setattr(os, "link", self.link)
        monkeypatch.setattr(os, "fsync", self.fsync)

    def link(self, source: Path, target: Path) -> None:
        self.events.append(("link", f"{source}>{target}"))
        self._link(source, target)

    def fsync(self, descriptor: int) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        self.events.append(("sync", path))
        self._sync(descriptor)

    def synced(self, path: Path) -> list[int]:
        return [number for number, event in enumerate(self.events) if event == ("sync", str(path))]


async def test_a_file_is_synced_before_it_has_its_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    async with opened(tmp_path) as store:
        await store.put(ORIGINAL_KEY, ORIGINAL, media_type=JPEG)
    ((number, (_, names)),) = [each for each in enumerate(disk.events) if each[1][0] == "link"]
    draft, name = (Path(each) for each in names.split(">"))
    assert disk.synced(draft)[0] < number
    folders = [name.parent, tmp_path / "originals", tmp_path]
    assert all(disk.synced(folder) and disk.synced(folder)[-1] > number for folder in folders)


async def test_a_batch_syncs_each_file_and_each_folder_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = [b"%d" % number for number in range(64)]
    keys = [original_key(hashlib.sha256(body).hexdigest()) for body in bodies]
    async with opened(tmp_path) as store:
        await store.put_many([(key, body, JPEG) for key, body in zip(keys, bodies, strict=True)])
        await store.delete(keys)
        disk = Disk(monkeypatch)
        await store.put_many([(key, body, JPEG) for key, body in zip(keys, bodies, strict=True)])
    folders = {(tmp_path / key).parent for key in keys}
    assert [len(disk.synced(folder)) for folder in folders] == [1] * len(folders)
    assert len([event for event in disk.events if event[0] == "sync"]) == len(keys) + len(folders)


async def test_a_file_that_was_torn_by_a_power_cut_is_healed(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for key in (ORIGINAL_KEY, CUTOUT_KEY):
            for torn in (b"", ORIGINAL[:100], bytes(len(ORIGINAL))):
                (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / key).write_bytes(torn)
                assert await store.put(key, ORIGINAL, media_type=JPEG)
                assert await store.get(key) == ORIGINAL
        assert [path for path in tmp_path.rglob(".*") if path.is_file()] == []


async def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    async with opened(tmp_path / "images") as store:
        disk.full = True
        with pytest.raises(StoreUnavailable, match=rf"the disk of the image store {tmp_path}/images is full: free"):
            await store.put(ORIGINAL_KEY, ORIGINAL, media_type=JPEG)
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
        disk.full = False
        assert await store.put(ORIGINAL_KEY, ORIGINAL, media_type=JPEG)


async def test_only_the_user_can_read_what_is_stored(tmp_path: Path) -> None:
    previous = os.umask(0o022)
    try:
        async with opened(tmp_path / "images") as store:
            await store.put_many([(ORIGINAL_KEY, ORIGINAL, JPEG), (CUTOUT_KEY, ORIGINAL, JPEG)])
    finally:
        os.umask(previous)
    readable = [path for path in tmp_path.rglob("*") if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert readable == []
