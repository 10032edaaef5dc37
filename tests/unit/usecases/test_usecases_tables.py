"""Tables as archives write them: which column is what, and what a row says."""

from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from astrolens.usecases.tables.columns import Column, assign_columns, plain_name
from astrolens.usecases.tables.delimited import read_delimited
from astrolens.usecases.tables.frames import ICRS
from astrolens.usecases.tables.reading import is_table, open_table
from astrolens.usecases.tables.rows import BadRow, describe
from astrolens.usecases.tables.table import TableUnreadable
from astropy.coordinates import (
    FK4,
    FK5,
    BaseCoordinateFrame,
    Galactic,
    SkyCoord,
)
from astropy.io import fits, votable
from astropy.table import MaskedColumn
from astropy.table import Table as AstropyTable

from tests.unit.usecases.reading_tables import opened, read, row

OBJECT_ID = 2695378462115010012
"""Beyond 2^53, where a double loses digits."""


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("_RAJ2000", "raj2000"),
        ("RA (deg)", "ra"),
        ("ra[h]", "ra"),
        ("Obs.Date", "obsdate"),
        ("ＲＡ", "ra"),
        ("(x)", "(x)"),
    ],
)
def test_names_are_compared_without_what_people_write_differently(name: str, plain: str) -> None:
    assert plain_name(name) == plain


@pytest.mark.parametrize(
    "header",
    [
        *("ra_deg,dec_deg", "RA,Dec", "ra(deg),dec(deg)", "RAJ2000,DEJ2000", "_RAJ2000,_DEJ2000", "RA_ICRS,DE_ICRS"),
        *(
            "ALPHA_J2000,DELTA_J2000",
            "s_ra,s_dec",
            "raMean,decMean",
            "TARGET_RA,TARGET_DEC",
            "Right Ascension,Declination",
        ),
        *("RA [degrees],DEC [degrees]", "ra,decl", "raStack,decStack"),
    ],
)
def test_positions_are_found_under_the_names_of_archives(header: str) -> None:
    assert row(f"file,{header}\na.fits,10.6847083,41.26875\n") == {"ra_deg": 10.6847083, "dec_deg": 41.26875}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("file,ra,dec\na,12:30:49.42,-00:12:30.0\n", (187.7059167, -0.2083333)),
        ("file,RA (hours),DEC\na,12.5,-0.5\n", (187.5, -0.5)),
        ("file,ra_hours,dec_deg\na,12.5,-0.5\n", (187.5, -0.5)),
        ("file,RAh,RAm,RAs,DE-,DEd,DEm,DEs\na,12,30,49.42,-,00,12,30\n", (187.7059167, -0.2083333)),
        ("file,ra,dec\na,360,0\n", (0.0, 0.0)),
    ],
)
def test_hours_sexagesimal_and_the_turn_of_the_sky(text: str, expected: tuple[float, float]) -> None:
    known = row(text)
    assert (known["ra_deg"], known["dec_deg"]) == pytest.approx(expected, abs=1e-7)


def test_empty_and_nan_are_equal_and_half_a_position_is_told() -> None:
    none, half = read("file,ra,dec,pixel_scale\na,nan,NaN,--\nb,10,,\n")
    assert none.metadata == {}
    assert none.notes == ()
    assert half.metadata == {}
    assert half.notes == ("ra is given without a declination, so it has no position",)


@pytest.mark.parametrize(
    ("header", "cell", "said"),
    [
        ("ra,dec", "12h30m,100", "dec is '100', but a declination lies in -90 to 90"),
        ("ra,dec", "12x,1", "ra is '12x', which is no angle"),
        ("RAJ2000,DEJ2000", "400,1", "RAJ2000 is '400', but a right ascension lies in 0 to 360"),
        ("pixel_scale", "0", "pixel_scale is '0.0'"),
        ("pixel_scale", "coarse", "must be a number of arcseconds"),
        ("survey", "Pan STARRS", "survey is 'pan starrs': a survey has lower-case letters"),
        ("mjd", "1560161088", "mjd is '1560161088', which is neither an MJD nor a JD"),
    ],
)
def test_a_bad_value_is_told_with_its_column(header: str, cell: str, said: str) -> None:
    with pytest.raises(BadRow, match=said.replace("(", r"\(")):
        read(f"file,{header}\na.fits,{cell}\n")


@pytest.mark.parametrize("column", ["objid", "candid", "source_id", "objID", "diaObjectId", "TARGETID", "object_id"])
def test_the_survey_s_own_number_stays_exact(column: str) -> None:
    assert row(f"file,{column}\na,{OBJECT_ID}\n") == {"extra": {"object_id": str(OBJECT_ID)}}


def test_an_id_that_lost_digits_is_no_id() -> None:
    whole, lost = read("file,objid\na,1234.0\nb,2.695378462115010e+18\n")
    assert whole.metadata["extra"] == {"object_id": "1234"}
    assert lost.metadata["extra"] == {"objid": "2.695378462115010e+18"}
    assert "lost digits" in lost.notes[0]


def test_further_columns_are_kept_and_named() -> None:
    table = read_delimited(StringIO("file,ra,dec,morphology,RAJ2000,ra\na,1,2,smooth,3,4\n"), name="t")
    uses = assign_columns(table.columns)
    assert uses.used_names == ["ra", "dec"]
    assert uses.other_names == ["morphology", "RAJ2000", "ra"]
    described = describe(uses, next(table.rows).cells)
    assert described is not None
    assert described.metadata == {
        "ra_deg": 1.0,
        "dec_deg": 2.0,
        "extra": {"morphology": "smooth", "RAJ2000": "3", "ra": "4"},
    }


@pytest.mark.parametrize(
    "text",
    [
        "\ufefffile;ra;dec\na.fits;10.5;-3\n",
        "# from an archive\n#\nfile\tra\tdec\r\na.fits\t10.5\t-3\r\n",
        "file|ra|dec\na.fits|10.5|-3\n",
        '"file","ra","dec"\n"a.fits","10.5","-3"\n',
        "# %ECSV 1.0\n# ---\nfile ra dec\na.fits 10.5 -3\n",
        # VizieR: units, then a line of dashes.
        "#RESOURCE\nfile\tRAJ2000\tDEJ2000\n \tdeg\tdeg\n------\t-----\t-----\na.fits\t10.5\t-3\n",
        "file , ra , dec\n\na.fits , 10.5 , -3 , \n",
    ],
)
def test_texts_of_all_kinds(text: str) -> None:
    (only,) = read(text)
    assert (only.file, only.metadata) == ("a.fits", {"ra_deg": 10.5, "dec_deg": -3.0})


def test_a_quoted_cell_may_hold_the_delimiter_and_lines_keep_their_numbers() -> None:
    table = read_delimited(StringIO('# c\nfile,name\n"a,b.fits","two\nlines"\nc.fits,x\n'), name="t")
    rows = list(table.rows)
    assert [(one.number, one.cells) for one in rows] == [(4, ("a,b.fits", "two\nlines")), (5, ("c.fits", "x"))]


def test_an_unclosed_quote_costs_no_memory_and_is_told() -> None:
    table = read_delimited(StringIO('file,name\na,"' + "x,y\n" * 100_000), name="t")
    assert any(one.fault for one in table.rows)


@pytest.mark.parametrize("text", ["", "# only\n# comments\n", ",".join("c" * 5000)])
def test_what_is_no_table(text: str) -> None:
    with pytest.raises(TableUnreadable):
        read_delimited(StringIO(text), name="t.csv")


def archive_table() -> AstropyTable:
    table = AstropyTable()
    table["file"] = ["a.fits", "b.fits"]
    table["RA_x"] = MaskedColumn([12.5, 1.0], mask=[False, True], unit="deg")
    table["DE_x"] = MaskedColumn([-0.5, 1.0], mask=[False, True], unit="deg")
    table["objID"] = np.array([OBJECT_ID, 7], dtype=np.int64)
    table["mag"] = np.array([17.25, np.nan])
    table["spectrum"] = np.ones((2, 3))
    return table


EXPECTED = [
    ("a.fits", {"ra_deg": 12.5, "dec_deg": -0.5, "extra": {"object_id": str(OBJECT_ID), "mag": "17.25"}}),
    ("b.fits", {"extra": {"object_id": "7"}}),
]


def test_a_votable_is_read_by_its_ucds(tmp_path: Path) -> None:
    document = votable.from_table(archive_table())
    fields = document.get_first_table().fields
    fields[1].ucd, fields[2].ucd = "pos.eq.ra;meta.main", "pos.eq.dec;meta.main"
    path = tmp_path / "t.vot"
    document.to_xml(str(path))
    assert [(one.file, one.metadata) for one in opened(path)] == EXPECTED


def test_a_fits_table_is_read_and_told_from_a_picture(tmp_path: Path) -> None:
    table = archive_table()
    table.rename_columns(["RA_x", "DE_x"], ["RAJ2000", "DEJ2000"])
    path = tmp_path / "t.fits"
    table.write(path)
    assert is_table(path)
    assert [(one.file, one.metadata) for one in opened(path)] == EXPECTED
    catalogue = tmp_path / "catalogue.fits"
    table["RAJ2000", "mag"].write(catalogue)
    assert not is_table(catalogue), "a catalogue of sources names no files"
    picture = tmp_path / "p.fits"
    fits.PrimaryHDU(np.ones((32, 32), "f4")).writeto(picture)
    assert not is_table(picture)
    packed = tmp_path / "p.fits.fz"
    fits.CompImageHDU(np.ones((32, 32), "f4")).writeto(packed)
    assert not is_table(packed)


def test_a_parquet_file_is_read(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="Parquet is optional")
    from pyarrow import parquet

    columns = {"file": ["a.fits", "b.fits"], "ra": [12.5, None], "dec": [-0.5, None], "objID": [OBJECT_ID, 7]}
    columns["mag"] = [17.25, float("nan")]
    path = tmp_path / "t.parquet"
    parquet.write_table(arrow.table(columns), path)
    assert [(one.file, one.metadata) for one in opened(path)] == EXPECTED


def test_icrs_is_taken_before_other_frames() -> None:
    others = [
        *(Column("file"), Column("RA", frame="eq_FK4 B1950"), Column("DE", frame="eq_FK4 B1950")),
        *(Column("RAB1950"), Column("DEB1950"), Column("GLON"), Column("GLAT")),
    ]
    uses = assign_columns([*others, Column("_RAJ2000"), Column("_DEJ2000")])
    assert uses.used_names == ["_RAJ2000", "_DEJ2000"]
    assert uses.frame == ICRS
    assert str(assign_columns(others).frame) == "FK4 B1950"
    assert assign_columns([Column("file"), Column("RA", frame="unheard of"), Column("DE")]).has_position is False


FK4_M87 = (187.0706, 12.6661)
M87 = SkyCoord(*FK4_M87, unit="deg", frame=FK4(equinox="B1950")).icrs


@pytest.mark.parametrize(
    "table",
    [
        "ra,dec,equinox\n187.0706,12.6661,1950",
        "ra,dec,Equinox\n187.0706,12.6661,B1950.0",
        "RA,DEC,RADESYS,EPOCH\n187.0706,12.6661,FK4,B1950",
        "RA,DEC,EPOCH\n187.0706,12.6661,1950.0",
        "ra,dec,coord_sys\n187.0706,12.6661,FK4 (B1950)",
        "ra,dec,frame\n187.0706,12.6661,fk4",
        "RAdeg,DEdeg,system\n187.0706,12.6661,B1950",
        "ra_b1950,dec_b1950\n187.0706,12.6661",
        "_RAB1950,_DEB1950\n187.0706,12.6661",
        "RA1950,DE1950\n187.0706,12.6661",
        "alpha_1950,delta_1950\n187.0706,12.6661",
        "RA (B1950),DEC (B1950)\n187.0706,12.6661",
        '"RA (1950, hours)","DEC (1950)"\n12.47137333333,12.6661',
        "ra,dec,equinox\n12:28:16.944,+12:39:57.96,1950",
        "RAh,RAm,RAs,DE-,DEd,DEm,DEs,equinox\n12,28,16.944,+,12,39,57.96,1950",
    ],
)
def test_positions_of_1950_are_turned_into_icrs(table: str) -> None:
    header, cells = table.split("\n")
    found = row(f"file,{header}\na.fits,{cells}\n")
    assert SkyCoord(found["ra_deg"], found["dec_deg"], unit="deg").separation(M87).arcsec < 0.1
    assert found["extra"]["given_position"].startswith("FK4 B1950: 187.07")


@pytest.mark.parametrize(
    ("table", "frame"),
    [
        ("ra,dec,equinox\n10,20,J2000", FK5()),
        ("ra,dec,equinox\n10,20,2000", FK5()),
        ("ra,dec,frame\n10,20,1950", FK5()),
        ("ra,dec,system\n10,20,Kepler-90", FK5()),
        ("ra,dec,equinox,radesys\n10,20,1950,ICRS", FK5()),
        ("ra_j2000,dec_j2000,equinox\n10,20,1950", FK5()),
        ("ra,dec,ref_epoch,epoch\n10,20,2016.0,2015.5", FK5()),
        ("ra,dec,equinox\n10,20,2015.5", FK5(equinox="J2015.5")),
        ("ra,dec,radecsys,equinox\n10,20,FK5,1975", FK5(equinox="J1975")),
        ("ra_j1975,dec_j1975\n10,20", FK5(equinox="J1975")),
        ("glon,glat\n10,20", Galactic()),
        ("GLON (deg),GLAT (deg)\n10,20", Galactic()),
    ],
)
def test_each_frame_is_the_one_that_is_stated(table: str, frame: BaseCoordinateFrame) -> None:
    header, cells = table.split("\n")
    found = row(f"file,{header}\na.fits,{cells}\n")
    wanted = SkyCoord(10, 20, unit="deg", frame=frame).icrs
    assert SkyCoord(found["ra_deg"], found["dec_deg"], unit="deg").separation(wanted).arcsec < 0.1


@pytest.mark.parametrize(("column", "value"), [("equinox", "soon"), ("radesys", "GALACTIC"), ("coosys", "xy")])
def test_an_unreadable_frame_gives_no_position_and_is_told(column: str, value: str) -> None:
    (found,) = read(f"file,ra,dec,{column}\na.fits,10,20,{value}\n")
    assert "ra_deg" not in found.metadata
    assert value in found.notes[0]


def test_the_frame_may_be_in_the_header_of_a_fits_table(tmp_path: Path) -> None:
    table = AstropyTable({"FILENAME": ["a.fits"], "RA": [FK4_M87[0]], "DEC": [FK4_M87[1]]})
    hdu = fits.BinTableHDU(table)
    hdu.header["RADESYS"], hdu.header["EQUINOX"] = "FK4", 1950.0
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "t.fits")
    (found,) = opened(tmp_path / "t.fits")
    where = SkyCoord(found.metadata["ra_deg"], found.metadata["dec_deg"], unit="deg")
    assert where.separation(M87).arcsec < 0.1


@pytest.mark.parametrize("refers", [True, False])
def test_the_frame_may_be_the_coosys_of_a_votable(tmp_path: Path, refers: bool) -> None:
    ref = ' ref="sys"' if refers else ""
    (tmp_path / "t.vot").write_text(
        '<?xml version="1.0"?><VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE>'
        '<COOSYS ID="sys" system="eq_FK4" equinox="B1950"/><TABLE>'
        '<FIELD name="file" datatype="char" arraysize="*"/>'
        f'<FIELD name="RA" datatype="double" unit="deg" ucd="pos.eq.ra;meta.main"{ref}/>'
        f'<FIELD name="DE" datatype="double" unit="deg" ucd="pos.eq.dec;meta.main"{ref}/>'
        f"<DATA><TABLEDATA><TR><TD>a.fits</TD><TD>{FK4_M87[0]}</TD><TD>{FK4_M87[1]}</TD></TR></TABLEDATA></DATA>"
        "</TABLE></RESOURCE></VOTABLE>"
    )
    (found,) = opened(tmp_path / "t.vot")
    where = SkyCoord(found.metadata["ra_deg"], found.metadata["dec_deg"], unit="deg")
    assert where.separation(M87).arcsec < 0.1


def test_radians_may_be_in_the_name() -> None:
    found = row("file,ra_rad,dec_rad\na.fits,3.2,-0.2\n")
    assert (found["ra_deg"], found["dec_deg"]) == pytest.approx((183.3464944, -11.4591559))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_a_table_may_be_in_utf_16(tmp_path: Path, encoding: str) -> None:
    text = "file;ra;dec;name\na.fits;10,5;20;Étoile\n"
    mark = "" if encoding in {"utf-16", "utf-8-sig"} else "\ufeff"
    (tmp_path / "t.csv").write_bytes((mark + text).encode(encoding))
    (found,) = opened(tmp_path / "t.csv")
    assert found.metadata == {"ra_deg": 10.5, "dec_deg": 20.0, "name": "Étoile"}


@pytest.mark.parametrize("name", ["t.vot", "t.fits", "t.parquet"])
def test_a_damaged_file_is_told(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"SIMPLE  = nonsense" * 200)
    with pytest.raises(TableUnreadable, match=r"t\."), open_table(path) as table:
        list(table.rows)
