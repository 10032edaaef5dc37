"""What `astrolens ingest` finds to feed."""

import json
import os
from pathlib import Path

import pytest
from astrolens.cli.inputs import Item, Remarks
from astrolens.cli.inputs import find_items as found_items
from astrolens.cli.upload import REQUEST_BYTES, grouped
from astrolens.contracts.records import MAX_BANDS
from astrolens.platform.errors import ConfigurationError
from astrolens.usecases.submissions import ImageDescription


def find_items(path: Path, *, allow_outside: bool = False, remarks: Remarks | None = None) -> list[Item]:
    return list(found_items(path, allow_outside=allow_outside, remarks=remarks))


def write(path: Path, data: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_a_folder_gives_every_file_below_it_in_order_whatever_it_is(tmp_path: Path) -> None:
    for name in ("b.jpg", "a/deep/c.fits", "a/notes.txt", ".hidden", ".git/config"):
        write(tmp_path / name)
    remarks = Remarks()
    assert [item.ref for item in find_items(tmp_path, remarks=remarks)] == ["a/deep/c.fits", "a/notes.txt", "b.jpg"]
    assert remarks.notes == [f"2 hidden or unfinished files or folders of {tmp_path} were left out (.git, .hidden)"]


def test_one_file_goes_under_its_name(tmp_path: Path) -> None:
    (item,) = find_items(write(tmp_path / "m51.fits"))
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
    items = find_items(table)
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
    refused = [item.refused or item.fault for item in find_items(table)]
    assert [reason is not None and "--allow-outside" in reason for reason in refused[:5]] == [True] * 5
    assert all(refused[5:7])
    assert refused[7:] == [None] * 4
    allowed = find_items(table, allow_outside=True)
    assert [item.path.resolve() for item in allowed[:3]] == [outside, outside, Path("/dev/zero")]
    assert [item.refused for item in allowed[:5]] == [None] * 5


def test_a_table_finds_nothing_in_the_home_folder_above_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / ".ssh" / "id_ed25519")
    table = tmp_path / "Downloads" / "t.csv"
    write(table, b"file\n.ssh/id_ed25519\n")
    (item,) = find_items(table)
    assert not item.path.exists()


def test_an_address_that_is_no_link_is_kept_as_text(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("file,url\nx.jpg,https://example.org/x\ny.jpg,not yet\nz.jpg,javascript:alert(1)\n")
    assert [item.metadata for item in find_items(table)] == [
        {"url": "https://example.org/x"},
        {"extra": {"url": "not yet"}},
        {"extra": {"url": "javascript:alert(1)"}},
    ]


def test_a_table_wider_than_is_accepted_is_cut(tmp_path: Path) -> None:
    columns = ",".join(f"column{number}" for number in range(400))
    row = ",".join(["a.jpg", "g " * 100, *["v" * 3000] * 400])
    table = write(tmp_path / "wide.csv", f"file,bands,{columns}\n{row}\n".encode())
    (item,) = find_items(table)
    description = ImageDescription.model_validate(item.metadata)
    assert len(description.bands) == MAX_BANDS
    assert description.extra["column0"] == "v" * 999 + "…"


def test_semicolons_and_short_names_are_understood(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("path;RA;Dec\nx.jpg;1.5;2.5\n")
    assert find_items(table)[0].metadata == {"ra_deg": 1.5, "dec_deg": 2.5}


@pytest.mark.parametrize(
    ("table", "word"),
    [
        ("a,b\n1,2\n", "no column that names files"),
        ("file\n", "holds no file"),
        ("", "is empty"),
    ],
)
def test_tables_that_cannot_be_understood(tmp_path: Path, table: str, word: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(table)
    with pytest.raises(ConfigurationError, match=word):
        find_items(path)


def test_one_bad_row_is_told_with_its_line_and_the_others_are_taken(tmp_path: Path) -> None:
    table = write(
        tmp_path / "t.csv",
        b"file,ra_deg,dec_deg,survey\ng1.fits,10,20,\ng2.fits,nan,nan,\ng3.fits,10,100,\n"
        b"g4.fits,10,20,Pan STARRS\n,1,2,\ng5.fits,30,,\n" + b"x" * 2000 + b",,,\n",
    )
    remarks = Remarks()
    items = find_items(table, remarks=remarks)
    assert [item.fault is None for item in items] == [True, True, False, False, True, False]
    assert [item.metadata for item in items if item.fault is None] == [{"ra_deg": 10.0, "dec_deg": 20.0}, {}, {}]
    assert items[2].fault == "line 4: dec_deg is '100', but a declination lies in -90 to 90 degrees"
    assert items[3].fault is not None
    assert items[3].fault.startswith("line 5: survey is 'pan starrs'")
    assert remarks.notes == [
        "line 6 names no file",
        "line 7: ra_deg is given without a declination, so it has no position",
    ]
    assert (remarks.used, remarks.kept, remarks.has_position) == (["ra_deg", "dec_deg", "survey"], [], True)


def test_names_that_are_not_utf_8_are_sent_escaped(tmp_path: Path) -> None:
    name = os.fsdecode(b"M31_\xe9toile.fits")
    write(tmp_path / name)
    assert [item.ref for item in find_items(tmp_path)] == [r"M31_\xe9toile.fits"]
    table = write(tmp_path / "t.csv", b"file,name\nM31_\xe9toile.fits,\xe9toile\n")
    (item,) = find_items(table)
    assert item.path.exists()
    assert json.dumps([item.ref, item.metadata]).encode("ascii")
    assert (item.ref, item.metadata) == (r"M31_\xe9toile.fits", {"name": r"\xe9toile"})


def test_a_linked_folder_is_followed_and_a_broken_link_is_told(tmp_path: Path) -> None:
    write(tmp_path / "store" / "n21.fits")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "night1").symlink_to(tmp_path / "store")
    (tmp_path / "data" / "broken.fits").symlink_to(tmp_path / "gone")
    items = find_items(tmp_path / "data")
    assert [(item.ref, item.refused) for item in items] == [
        ("broken.fits", "a link to nothing"),
        ("night1/n21.fits", None),
    ]


def test_nothing_to_feed(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        find_items(tmp_path / "absent")
    with pytest.raises(ConfigurationError, match="holds no file"):
        find_items(tmp_path)


def test_requests_are_bounded_in_files_and_bytes(tmp_path: Path) -> None:
    for n in range(5):
        write(tmp_path / f"{n}.jpg")
    with (tmp_path / "2.jpg").open("wb") as large:
        large.truncate(REQUEST_BYTES + 1)
    groups = list(grouped(find_items(tmp_path), batch_size=2))
    assert [[item.ref for item in group] for group in groups] == [["0.jpg", "1.jpg"], ["2.jpg"], ["3.jpg", "4.jpg"]]
