"""What `astrolens ingest` finds to feed."""

from pathlib import Path

import pytest
from astrolens.cli.inputs import items_of
from astrolens.cli.upload import REQUEST_BYTES, grouped
from astrolens.contracts.records import MAX_BANDS
from astrolens.platform.errors import ConfigurationError
from astrolens.usecases.submissions import ImageDescription


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


def test_a_table_names_no_file_outside_its_folder_unless_that_is_allowed(tmp_path: Path) -> None:
    table = write(tmp_path / "a" / "b" / "data" / "t.csv")
    outside = write(tmp_path / "a" / "outside.txt", b"secret")
    write(table.parent / "inside.jpg")
    (table.parent / "link.jpg").symlink_to(outside)
    (table.parent / "loop.jpg").symlink_to(table.parent / "loop.jpg")
    names = ["../../outside.txt", str(outside), "/dev/zero", "link.jpg", "../absent.jpg", "loop.jpg", "x" * 5000]
    names += ["inside.jpg", str(table.parent / "inside.jpg"), "absent.jpg", "../data/inside.jpg"]
    table.write_text("\n".join(["file", *names]))
    refused = [item.refused for item in items_of(table)]
    assert [reason is not None and "--allow-outside" in reason for reason in refused[:5]] == [True] * 5
    assert all(refused[5:7])
    assert refused[7:] == [None] * 4
    allowed = items_of(table, allow_outside=True)
    assert [item.path.resolve() for item in allowed[:3]] == [outside, outside, Path("/dev/zero")]
    assert [item.refused for item in allowed[:5]] == [None] * 5


def test_a_table_finds_nothing_in_the_home_folder_above_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / ".ssh" / "id_ed25519")
    table = tmp_path / "Downloads" / "t.csv"
    write(table, b"file\n.ssh/id_ed25519\n")
    (item,) = items_of(table)
    assert not item.path.exists()


def test_an_address_that_is_no_link_is_kept_as_text(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("file,url\nx.jpg,https://example.org/x\ny.jpg,n/a\nz.jpg,javascript:alert(1)\n")
    assert [item.metadata for item in items_of(table)] == [
        {"url": "https://example.org/x"},
        {"extra": {"url": "n/a"}},
        {"extra": {"url": "javascript:alert(1)"}},
    ]


def test_a_table_wider_than_is_accepted_is_cut(tmp_path: Path) -> None:
    columns = ",".join(f"column{number}" for number in range(400))
    row = ",".join(["a.jpg", "g " * 100, *["v" * 3000] * 400])
    table = write(tmp_path / "wide.csv", f"file,bands,{columns}\n{row}\n".encode())
    (item,) = items_of(table)
    description = ImageDescription.model_validate(item.metadata)
    assert len(description.bands) == MAX_BANDS
    assert description.extra["column0"] == "v" * 999 + "…"


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
