"""The folder image store: the behaviour suite, and what only a folder can suffer."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from astrolens.platform.errors import ConfigurationError, StoreUnavailable
from astrolens.platform.stores.folder.store import FolderImageStore
from astrolens.platform.stores.images import ImageStore

from tests.behaviour.image_store import ImageStoreBehaviour


class TestFolderImageStore(ImageStoreBehaviour):
    @pytest.fixture(params=[False, True], ids=["fast", "durable"])
    async def store(self, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[ImageStore]:
        store = FolderImageStore(tmp_path / "images", durable=request.param)
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
    with pytest.raises(StoreUnavailable, match="gone"):
        await store.ping()
    await store.close()
