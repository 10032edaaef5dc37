"""Tables as archives write them: which column is what, and what a row says."""

from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astrolens.usecases.tables.columns import Column, assign_columns, plain_name
from astrolens.usecases.tables.delimited import read_delimited
from astrolens.usecases.tables.frames import ICRS
from astrolens.usecases.tables.reading import is_table, open_table
from astrolens.usecases.tables.rows import BadRow, DescribedFile, describe
from astrolens.usecases.tables.table import TableUnreadable
from astropy.coordinates import (
    FK4,
    FK5,
    BarycentricMeanEcliptic,
    BaseCoordinateFrame,
    Galactic,
    SkyCoord,
    Supergalactic,
)
from astropy.io import fits, votable
from astropy.table import MaskedColumn
from astropy.table import Table as AstropyTable
from astropy.time import Time

OBJECT_ID = 2695378462115010012
"""Beyond 2^53, where a double loses digits."""


def read(text: str) -> list[DescribedFile]:
    table = read_delimited(StringIO(text), name="t.csv")
    uses = assign_columns(table.columns)
    return [one for row in table.rows if (one := describe(uses, row.cells)) is not None]


def opened(path: Path) -> list[DescribedFile]:
    with open_table(path) as table:
        uses = assign_columns(table.columns)
        return [one for row in table.rows if (one := describe(uses, row.cells)) is not None]


def row(text: str) -> dict[str, Any]:
    (only,) = read(text)
    return only.metadata


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


_FIELD = SkyCoord(ra=53.1, dec=-28.2, unit="deg")


@pytest.mark.parametrize("suffix", ["ecsv", "parquet", "fits", "vot"])
@pytest.mark.parametrize("unit", ["deg", "rad"])
def test_the_columns_of_rubin_are_in_the_unit_that_the_table_says(tmp_path: Path, suffix: str, unit: str) -> None:
    path = tmp_path / f"t.{suffix}"
    columns = {"coord_ra": [_FIELD.ra.to(unit)], "coord_dec": [_FIELD.dec.to(unit)]}
    AstropyTable({"file": ["a.fits"], **columns}).write(path, **({"format": "votable"} if suffix == "vot" else {}))
    (only,) = opened(path)
    assert (only.metadata["ra_deg"], only.metadata["dec_deg"]) == pytest.approx((53.1, -28.2), abs=1e-9)


def test_the_unit_in_the_metadata_of_a_parquet_column_is_read(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    fields = [
        pyarrow.field("file", pyarrow.string()),
        *(pyarrow.field(name, pyarrow.float64(), metadata={"unit": "rad"}) for name in ("coord_ra", "coord_dec")),
    ]
    values = [["a.fits"], [_FIELD.ra.rad], [_FIELD.dec.rad]]
    parquet.write_table(pyarrow.table(values, schema=pyarrow.schema(fields)), tmp_path / "t.parquet")
    (only,) = opened(tmp_path / "t.parquet")
    assert only.metadata["ra_deg"] == pytest.approx(53.1, abs=1e-9)


def test_rubin_columns_without_a_unit_are_degrees_where_they_cannot_be_radians() -> None:
    sure, open_ = read("file,coord_ra,coord_dec\na.fits,53.1,-28.2\nb.fits,0.93,-0.49\n")
    assert (sure.metadata["ra_deg"], sure.metadata["dec_deg"]) == (53.1, -28.2)
    assert open_.metadata == {}
    assert "may be radians or degrees" in open_.notes[0]
    assert row("file,coord_ra (deg),coord_dec (deg)\nb.fits,0.93,-0.49\n") == {"ra_deg": 0.93, "dec_deg": -0.49}


def test_right_ascensions_of_an_ecsv_in_hours_are_hours(tmp_path: Path) -> None:
    path = tmp_path / "t.ecsv"
    AstropyTable({"file": ["a.fits"], "ra": [_FIELD.ra.to("hourangle")], "dec": [_FIELD.dec]}).write(path)
    (only,) = opened(path)
    assert only.metadata["ra_deg"] == pytest.approx(53.1)


_LONGITUDES = {
    "l (deg),b (deg)": _FIELD.galactic.data,
    "l[rad],b[rad]": _FIELD.galactic.data,
    "GLON,GLAT": _FIELD.galactic.data,
    "gal_l,gal_b": _FIELD.galactic.data,
    "SGL,SGB": _FIELD.supergalactic.data,
    "elon,elat": _FIELD.barycentricmeanecliptic.data,
    "ecl_lon,ecl_lat": _FIELD.barycentricmeanecliptic.data,
}


@pytest.mark.parametrize("header", _LONGITUDES)
def test_longitudes_and_latitudes_are_turned_into_icrs(header: str) -> None:
    unit = "rad" if "rad" in header else "deg"
    place = _LONGITUDES[header]
    metadata = row(f"file,{header}\na.fits,{place.lon.to_value(unit)},{place.lat.to_value(unit)}\n")
    assert (metadata["ra_deg"], metadata["dec_deg"]) == pytest.approx((53.1, -28.2), abs=1e-7)
    assert metadata["extra"]["given_position"].split()[0].lower().rstrip(":") in {
        "galactic", "supergalactic", "ecliptic"
    }  # fmt: skip


def test_l_and_b_without_a_unit_are_no_position_and_that_is_said() -> None:
    table = read_delimited(StringIO("file,l,b\na.fits,224.2,-54.5\n"), name="t.csv")
    uses = assign_columns(table.columns)
    assert not uses.has_position
    assert "no position without a unit" in uses.notes[0]
    # Luminosity and magnitude beside a position.
    beside = row("file,ra,dec,L,B\na.fits,53.1,-28.2,1e10,18.2\n")
    assert (beside["ra_deg"], beside["extra"]) == (53.1, {"L": "1e10", "B": "18.2"})


@pytest.mark.parametrize("words", [("pos.galactic.lon", "pos.galactic.lat"), ("POS_GAL_LON", "POS_GAL_LAT")])
def test_galactic_columns_are_known_by_their_ucd(words: tuple[str, str]) -> None:
    uses = assign_columns([Column("file"), Column("a", ucd=words[0]), Column("c", ucd=words[1])])
    place = _FIELD.galactic
    described = describe(uses, ["a.fits", str(place.l.deg), str(place.b.deg)])
    assert described is not None
    assert described.metadata["ra_deg"] == pytest.approx(53.1, abs=1e-9)


def test_sexagesimal_longitudes_are_in_degrees() -> None:
    metadata = row("file,GLON,GLAT\na.fits,224:14:11.5,-54:30:30.2\n")
    assert metadata["ra_deg"] == pytest.approx(53.1, abs=1e-4)


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("ra (arcsec),dec (arcsec)", "191160,-101520"),
        ("ra[arcmin],dec[arcmin]", "3186,-1692"),
        ("ra (mas),dec (mas)", "191160000,-101520000"),
        ("ra,dec", "53.1d,-28.2deg"),
        ("ra,dec", "3.54h,-28.2°"),
        ("ra,dec", "3ʰ32ᵐ24ˢ,−28°12′00″"),
    ],
)
def test_units_of_angles_in_header_or_cell(header: str, cells: str) -> None:
    metadata = row(f"file,{header}\na.fits,{cells}\n")
    assert (metadata["ra_deg"], metadata["dec_deg"]) == pytest.approx((53.1, -28.2))


@pytest.mark.parametrize("text", ["# file ra dec\na.fits 53.1 -28.2\n", "# x\n# file,ra,dec\na.fits,53.1,-28.2\n"])
def test_names_of_columns_may_stand_in_a_comment(text: str) -> None:
    assert row(text) == {"ra_deg": 53.1, "dec_deg": -28.2}


def test_the_line_in_which_excel_names_its_delimiter_is_no_header() -> None:
    assert row("sep=;\nfile;ra;dec\na.fits;53,1;-28,2\n") == {"ra_deg": 53.1, "dec_deg": -28.2}


_MOMENT = Time("2019-06-10T10:04:48", scale="utc")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *((f"mjd ({scale})", str(getattr(_MOMENT, scale.lower()).mjd)) for scale in ("TAI", "TT", "TDB", "TCB")),
        ("date_obs", "2019-06-10T10:05:25 TAI"),
        ("date_obs", "2019-06-10 10:04:48 UTC"),
        ("date_obs (TAI)", "2019-06-10T10:05:25"),
        ("date_obs (TAI)", "2019-06-10T12:04:48+02:00"),
    ],
)
def test_a_time_is_turned_from_the_scale_that_is_said(column: str, value: str) -> None:
    assert row(f"file,{column}\na.fits,{value}\n")["observed_at"][:22] in {
        "2019-06-10T10:04:48.00", "2019-06-10T10:04:47.99"
    }  # fmt: skip


def test_a_leap_second_is_a_time() -> None:
    assert row("file,date_obs\na.fits,2016-12-31T23:59:60.5\n")["observed_at"][:21] == "2017-01-01T00:00:00.5"


def test_a_julian_date_without_its_first_digits_is_refused() -> None:
    with pytest.raises(BadRow, match="call the column mjd"):
        row("file,jd\na.fits,58644.92\n")


@pytest.mark.parametrize("suffix", ["ecsv", "parquet"])
@pytest.mark.parametrize(
    "frame",
    [FK5(), FK4(equinox="B1975"), Galactic(), Supergalactic(), BarycentricMeanEcliptic()],
    ids=lambda one: one.name,
)
def test_the_coordinates_and_times_of_astropy_keep_their_frame_and_scale(
    tmp_path: Path, suffix: str, frame: BaseCoordinateFrame
) -> None:
    path = tmp_path / f"t.{suffix}"
    place = SkyCoord([53.1], [-28.2], unit="deg").transform_to(frame)
    AstropyTable(
        {"file": ["a.fits"], "where": place, "date_obs": Time(_MOMENT.tai.isot, scale="tai").reshape(1)}
    ).write(path)
    (only,) = opened(path)
    assert (only.metadata["ra_deg"], only.metadata["dec_deg"]) == pytest.approx((53.1, -28.2), abs=1e-4)
    if suffix == "ecsv":
        assert only.metadata["observed_at"][:19] == "2019-06-10T10:04:48"
    else:
        # Two halves of a number, which stay metadata.
        assert {"date_obs.jd1", "date_obs.jd2"} <= only.metadata["extra"].keys()


@pytest.mark.parametrize(("origin", "scale"), [("MJD-origin", "TAI"), ("JD-origin", "UTC"), ("2455197.5", "TCB")])
def test_the_time_system_of_a_votable_is_followed(tmp_path: Path, origin: str, scale: str) -> None:
    zero = {"MJD-origin": 2400000.5, "JD-origin": 0.0}.get(origin) if "origin" in origin else float(origin)
    value = getattr(_MOMENT, scale.lower()).jd - (zero or 0.0)
    path = tmp_path / "t.vot"
    path.write_text(
        '<?xml version="1.0"?><VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE>'
        f'<TIMESYS ID="t" timeorigin="{origin}" timescale="{scale}" refposition="BARYCENTER"/><TABLE>'
        '<FIELD name="file" datatype="char" arraysize="*"/><FIELD name="obs_time" ref="t" datatype="double" unit="d"/>'
        f"<DATA><TABLEDATA><TR><TD>a.fits</TD><TD>{float(value)!r}</TD></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    )
    (only,) = opened(path)
    moment = Time(only.metadata["observed_at"].rstrip("Z"), scale="utc")
    assert abs((moment - _MOMENT).sec) < 1e-3
