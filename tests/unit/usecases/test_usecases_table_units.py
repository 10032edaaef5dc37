"""Units, scales and frames that tables state, of angles and times."""

from io import StringIO
from pathlib import Path

import pytest
from astrolens.usecases.tables.columns import Column, assign_columns
from astrolens.usecases.tables.delimited import read_delimited
from astrolens.usecases.tables.rows import BadRow, describe
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
from astropy.table import Table as AstropyTable
from astropy.time import Time

from tests.unit.usecases.reading_tables import opened, read, row

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


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (
            "# ---\n# datatype:\n# - {name: coord_ra, unit: [rad}\n",
            "t.csv, line 4: the ECSV header cannot be read (expected",
        ),
        ("# ---\n# datatype:\n# - !radians {name: coord_ra}\n", "line 4: the ECSV header cannot be read (could not"),
        ("# ---\n# datatype:\n# - {unit: rad}\n", "line 1: the ECSV header cannot be read (`datatype`"),
        ("# ---\n# datatype: [{name: coord_ra}]\n# meta: {__serialized_columns__: {at: {}}}\n", "line 1: the ECSV"),
    ],
    ids=["no-yaml", "unknown-tag", "no-name", "no-class"],
)
def test_an_ecsv_whose_header_cannot_be_read_is_refused_with_the_line(header: str, said: str) -> None:
    with pytest.raises(TableUnreadable) as refusal:
        read(f"# %ECSV 1.0\n{header}file coord_ra coord_dec\na.fits 0.93 -0.49\n")
    assert said in str(refusal.value)
    assert "units" in str(refusal.value)


def test_a_parquet_file_whose_header_cannot_be_read_is_refused(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"file": ["a.fits"]}).replace_schema_metadata({"table_meta_yaml": "datatype: [{"})
    parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(TableUnreadable, match="`table_meta_yaml` cannot be read"):
        opened(tmp_path / "t.parquet")


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
