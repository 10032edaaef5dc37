"""A table beside an upload: what it says of each file, and what is wrong with its lines."""

import pytest
from astrolens.usecases.tables.table import TableUnreadable
from astrolens.usecases.upload_tables import MAX_FAULTS, describe_files


def test_files_are_described_by_their_name_without_folders() -> None:
    text = "file,RA,Dec,object_id,redshift\nnight/One.JPG,12:30:49.4,+12:23:28,my-17,0.004\ntwo.jpg,,,,\n"
    found = describe_files(text, name="positions.csv")
    assert found.faults == []
    assert found.files["one.jpg"]["ra_deg"] == pytest.approx(187.70583, abs=1e-4)
    assert found.files["one.jpg"]["extra"] == {"object_id": "my-17", "redshift": "0.004"}
    assert found.files["two.jpg"] == {}


def test_faults_are_told_by_line_and_bounded() -> None:
    lines = "".join(f"{n}.jpg,400,0\n" for n in range(MAX_FAULTS + 3))
    found = describe_files(f"file,ra_deg,dec_deg\n{lines}good.jpg,1,2\n", name="positions.csv")
    assert set(found.files) == {"good.jpg"}
    assert found.faults[0].startswith("line 2: ")
    assert found.faults[-1] == "and 3 more lines"


@pytest.mark.parametrize("text", ["", "ra_deg,dec_deg\n1,2\n"])
def test_what_is_no_table_of_files_is_refused(text: str) -> None:
    with pytest.raises(TableUnreadable, match=r"positions\.csv"):
        describe_files(text, name="positions.csv")


def test_lines_without_their_file_and_what_was_not_taken_of_a_line_are_told() -> None:
    text = "file,ra_deg,dec_deg\nnight/One.jpg,1,2\ntwo.jpg,3,4\n,5,6\nthree.jpg,7,\n"
    found = describe_files(text, name="positions.csv")
    assert found.faults[0] == "line 4 names no file"
    assert found.faults[1].startswith("line 5: ra_deg is given without a declination")
    assert found.without_file(["ONE.jpg", "three.jpg", "more.jpg"]) == [
        "positions.csv, line 3 describes two.jpg, which was not among the files that were sent"
    ]
    assert found.without_file(["one.jpg", "two.jpg", "three.jpg"]) == []
    assert found.without_file([])[0].startswith("positions.csv, line 2 describes night/One.jpg")
