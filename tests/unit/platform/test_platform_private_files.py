"""Nobody but their owner can use the files that AstroLens creates."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from astrolens.cli import app as command_line
from astrolens.inference.similarity.snapshot import SnapshotFolder
from astrolens.inference.similarity.vector_index import VectorIndex
from astrolens.local import preflight, supervisor
from astrolens.local.service_process import ServiceProcess
from astrolens.platform.private_files import make_home_private, open_to_others, publish_private_file
from astrolens.platform.settings import PACKAGED_BUNDLE
from astrolens.platform.stores.folder.store import FolderImageStore
from astrolens.platform.stores.images import cutout_key
from astrolens.platform.stores.sqlite.store import SqliteRecordStore
from astrolens.science.bundle import Bundle


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """The umask of most systems: everybody may read what is created."""
    previous = os.umask(0o022)
    yield
    os.umask(previous)


def readable_by_others(folder: Path) -> list[Path]:
    return [path for path in [folder, *folder.rglob("*")] if stat.S_IMODE(path.lstat().st_mode) & 0o077]


async def fill(home: Path) -> None:
    """Create what `astrolens up` and its services create, and leave the stores open until all is there."""
    preflight.check_home(home)
    ServiceProcess("console", environment={}, logs=home / "logs")
    records, images = SqliteRecordStore(home / "records.sqlite"), FolderImageStore(home / "images")
    await records.open()
    await images.open()
    await images.put(cutout_key("ab" * 16), b"x", media_type="image/jpeg")
    bundle = Bundle.load(PACKAGED_BUNDLE)
    snapshots = SnapshotFolder(home / "similarity", model_digest=bundle.digest, centroids=bundle.centroids)
    draft = snapshots.write(VectorIndex(bundle.centroids))
    snapshots.publish(draft, images=0, analyzed_until="")
    names = {path.name for path in home.rglob("*")}
    assert {"records.sqlite-wal", "records.sqlite-shm", "console.log", "manifest.json", "vectors.faiss"} <= names
    assert readable_by_others(home) == []
    await records.close()
    await images.close()


async def test_whatever_the_umask_nobody_else_can_read_what_is_created(tmp_path: Path) -> None:
    await fill(tmp_path / "home")


async def test_a_home_of_an_earlier_version_is_closed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "logs").mkdir(parents=True)
    for name in ("records.sqlite", "supervisor.lock", "logs/console.log", "logs/console.log.1"):
        (home / name).write_bytes(b"")
    assert open_to_others(home)
    assert len(readable_by_others(home)) == 6
    make_home_private(home)
    assert not open_to_others(home)
    assert readable_by_others(home) == []


async def test_a_log_and_a_database_that_others_could_read_are_closed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    (home / "logs").mkdir()
    for name in ("records.sqlite", "logs/console.log"):
        (home / name).write_bytes(b"")
    await fill(home)


def test_the_users_own_home_folder_is_not_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "records.sqlite").write_bytes(b"")
    (tmp_path / "website").mkdir()
    tmp_path.chmod(0o755)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    make_home_private(tmp_path)
    assert readable_by_others(tmp_path) == [tmp_path, tmp_path / "website"]


def test_what_a_link_points_to_and_what_belongs_to_others_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir(mode=0o755)
    elsewhere.mkdir(mode=0o755)
    (home / "images").symlink_to(elsewhere)
    monkeypatch.setattr(os, "geteuid", lambda: 1 + home.stat().st_uid)
    make_home_private(home)
    assert open_to_others(home)
    monkeypatch.undo()
    make_home_private(home)
    assert not open_to_others(home)
    assert open_to_others(elsewhere)


def test_a_home_that_is_missing_is_left_so(tmp_path: Path) -> None:
    make_home_private(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_every_process_restricts_what_it_creates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "app", lambda: (tmp_path / "any").write_text("mine"))
    command_line.main()
    with supervisor._lock_home(tmp_path):
        assert readable_by_others(tmp_path / "any") + readable_by_others(tmp_path / "supervisor.lock") == []


def test_a_published_file_is_private_and_whole_and_nothing_else_stays(tmp_path: Path) -> None:
    publish_private_file(tmp_path / "key", b"first")

    assert (tmp_path / "key").read_bytes() == b"first"
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_a_published_file_is_never_replaced(tmp_path: Path) -> None:
    publish_private_file(tmp_path / "key", b"first")
    publish_private_file(tmp_path / "key", b"second")

    assert (tmp_path / "key").read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
