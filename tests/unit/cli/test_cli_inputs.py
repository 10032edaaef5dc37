"""What `astrolens ingest` finds to feed."""

from pathlib import Path

import pytest
from astrolens.cli.inputs import items_of
from astrolens.cli.upload import REQUEST_BYTES, grouped
from astrolens.platform.errors import ConfigurationError


def write(path: Path, data: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_a_folder_gives_every_file_below_it_in_order_whatever_it_is(tmp_path: Path) -> None:
    for name in ("b.jpg", "a/deep/c.fits", "a/notes.txt", ".hidden", ".git/config"):
        write(tmp_path / name)
    assert [item.ref for item in items_of(tmp_path)] == ["a/deep/c.fits", "a/notes.txt", "b.jpg"]


def test_one_file_goes_under_its_name(tmp_path: Path) -> None:
    (item,) = items_of(write(tmp_path / "m51.fits"))
    assert (item.ref, item.metadata) == ("m51.fits", {})


def test_a_table_tells_what_is_known_of_its_files(tmp_path: Path) -> None:
    write(tmp_path / "data" / "galaxies" / "a.jpg")
    write(tmp_path / "data" / "b.jpg")
    table = tmp_path / "data" / "galaxies" / "labels.csv"
    table.write_text(
        "file,survey,ra_deg,dec_deg,name,morphology,bands,hubble_t\n"
        "galaxies/a.jpg,SDSS,10.5,-3.25,NGC 1,smooth,g r i,\n"
        "b.jpg,,,,,,,\n"
        "galaxies/a.jpg,,,,,,,\n"
        ",,,,no file,,,\n"
        "gone.jpg,,,,,,,\n",
        encoding="utf-8-sig",
    )
    items = items_of(table)
    assert [item.ref for item in items] == ["galaxies/a.jpg", "b.jpg", "galaxies/a.jpg (2)", "gone.jpg"]
    assert items[0].metadata == {
        "survey": "SDSS",
        "ra_deg": 10.5,
        "dec_deg": -3.25,
        "name": "NGC 1",
        "bands": ["g", "r", "i"],
        "extra": {"morphology": "smooth"},
    }
    assert [item.path.exists() for item in items] == [True, True, True, False]
    assert items[1].path == tmp_path / "data" / "b.jpg", "named from the data set's root"


def test_semicolons_and_short_names_are_understood(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("path;RA;Dec\nx.jpg;1.5;2.5\n")
    assert items_of(table)[0].metadata == {"ra_deg": 1.5, "dec_deg": 2.5}


@pytest.mark.parametrize(
    ("table", "word"),
    [
        ("a,b\n1,2\n", "no column that names files"),
        ("file,ra_deg\nx.jpg,12h\n", "line 2"),
        ("file\n", "holds no file"),
        ("", "no column"),
    ],
)
def test_tables_that_cannot_be_understood(tmp_path: Path, table: str, word: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(table)
    with pytest.raises(ConfigurationError, match=word):
        items_of(path)


def test_nothing_to_feed(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        items_of(tmp_path / "absent")
    with pytest.raises(ConfigurationError, match="holds no file"):
        items_of(tmp_path)


def test_requests_are_bounded_in_files_and_bytes(tmp_path: Path) -> None:
    for n in range(5):
        write(tmp_path / f"{n}.jpg")
    with (tmp_path / "2.jpg").open("wb") as large:
        large.truncate(REQUEST_BYTES + 1)
    groups = grouped(items_of(tmp_path), batch_size=2)
    assert [[item.ref for item in group] for group in groups] == [["0.jpg", "1.jpg"], ["2.jpg"], ["3.jpg", "4.jpg"]]
