"""Walking a folder: links are followed, each real folder once, and what is broken is told."""

import os
from pathlib import Path

import pytest
from astrolens.platform.folder_walk import escaped, walk_files


def test_linked_folders_are_followed_once_and_broken_links_are_told(tmp_path: Path) -> None:
    store, data = tmp_path / "store", tmp_path / "data"
    for folder in (store, data / "real"):
        folder.mkdir(parents=True)
        (folder / "a.fits").write_bytes(b"x")
    (data / "night1").symlink_to(store)
    (data / "another").symlink_to(data / "real")
    (store / "up").symlink_to(data)
    (data / "one.fits").symlink_to(store / "a.fits")
    (data / "broken.fits").symlink_to(tmp_path / "gone")
    (data / "loop").symlink_to(data / "loop")
    (data / ".hidden").mkdir()
    (data / ".hidden" / "a.fits").write_bytes(b"x")
    hidden: list[str] = []
    found = {file.name: file.fault for file in walk_files(data, hidden.append)}
    assert hidden == [".hidden"]
    loop = found.pop("loop")
    assert loop is not None
    assert "symbolic links" in loop
    assert found == {
        "broken.fits": "a link to nothing",
        "one.fits": None,
        "real/a.fits": None,
        "night1/a.fits": None,
    }


def test_a_pipe_is_told_and_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.fits")
    (tmp_path / "zero.fits").symlink_to("/dev/zero")
    assert {file.name: file.fault for file in walk_files(tmp_path)} == {
        "pipe.fits": "a pipe, which is no file",
        "zero.fits": "a device, which is no file",
    }


def test_names_that_are_not_utf_8_are_escaped(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"M31_\xe9toile.fits")).write_bytes(b"x")
    (found,) = walk_files(tmp_path)
    assert found.name == r"M31_\xe9toile.fits"
    assert found.path.read_bytes() == b"x"
    assert escaped("M31_étoile") == "M31_étoile"


@pytest.mark.parametrize("name", [".a.fits", "a.fits.part", "A.FITS.TMP", "a.fits~", "a.fits.crdownload", ".night"])
def test_hidden_files_and_unfinished_downloads_are_left_out_and_told(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    (tmp_path / "part.fits").write_bytes(b"x")
    left_out: list[str] = []
    assert [file.name for file in walk_files(tmp_path, left_out.append)] == ["part.fits"]
    assert left_out == [name]
