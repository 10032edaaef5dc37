"""Imports: every format, guessed columns, checked units, bad rows, coverage, and interruptions that change nothing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from astrolens.local_catalogues import importing, spill
from astrolens.local_catalogues.catalogue_folder import LocalCatalogues, current_import
from astrolens.local_catalogues.catalogue_format import BAD_ROWS
from astrolens.local_catalogues.cells import keys_of
from astrolens.local_catalogues.importing import ImportOptions, ImportReport, import_table
from astrolens.platform.errors import ConfigurationError
from astropy.io import votable
from astropy.table import Table

from tests.unit.local_catalogues.made_catalogues import everything, sky

NAME = "stars"


def options(**more: Any) -> ImportOptions:
    return ImportOptions(**{"name": NAME, "coverage": "full-sky", **more})


def imported(path: Path, **more: Any) -> ImportReport:
    return import_table(path, options(**more), folder=path.parent / "catalogues")


def index_of(path: Path) -> Any:
    return LocalCatalogues(path.parent / "catalogues").get(NAME)


def stars() -> Table:
    """Twenty stars, with units as archives write them."""
    rng = np.random.default_rng(8)
    ra, dec = rng.uniform(0, 360, 20), rng.uniform(-90, 90, 20)
    table = Table({"RAJ2000": ra, "DEJ2000": dec, "Name": [f"star {n}" for n in range(20)]})
    table["PM_A"], table["PM_D"] = rng.normal(0, 0.1, 20), rng.normal(0, 0.1, 20)
    table["size"] = rng.uniform(0.1, 3, 20)
    for column, unit in {"RAJ2000": "deg", "DEJ2000": "deg", "PM_A": "arcsec / yr", "PM_D": "arcsec / yr"}.items():
        table[column].unit = unit
    table["size"].unit = "arcmin"
    return table


UCDS = {
    "RAJ2000": "pos.eq.ra;meta.main",
    "DEJ2000": "pos.eq.dec;meta.main",
    "Name": "meta.id;meta.main",
    "PM_A": "pos.pm;pos.eq.ra",
    "PM_D": "pos.pm;pos.eq.dec",
    "size": "phys.angSize",
}


def write(table: Table, path: Path) -> None:
    if path.suffix == ".vot":
        document = votable.from_table(table)
        for column in document.get_first_table().fields:
            column.ucd = UCDS[column.name]
        document.to_xml(str(path))
    elif path.suffix == ".parquet":
        fields = [
            pa.field(
                name, pa.array(table[name].tolist()).type, metadata={"ucd": UCDS[name], "unit": str(table[name].unit)}
            )
            for name in table.colnames
            if name != "Name"
        ]
        fields.append(pa.field("Name", pa.string(), metadata={"ucd": UCDS["Name"]}))
        columns = [pa.array(table[each.name].tolist()) for each in fields]
        pyarrow.parquet.write_table(pa.Table.from_arrays(columns, schema=pa.schema(fields)), path)
    else:
        table.write(path)
        if path.suffix == ".fits":
            from astropy.io import fits

            with fits.open(path, mode="update") as hdus:
                for number, column in enumerate(hdus[1].columns):
                    hdus[1].header[f"TUCD{number + 1}"] = UCDS[column.name]


@pytest.mark.parametrize("suffix", [".fits", ".vot", ".parquet"])
def test_columns_and_units_of_archives_are_understood(tmp_path: Path, suffix: str) -> None:
    table = stars()
    path = tmp_path / f"stars{suffix}"
    write(table, path)
    report = imported(path)
    assert report.manifest.columns == {
        "ra": "RAJ2000",
        "dec": "DEJ2000",
        "name": "Name",
        "pm_ra": "PM_A",
        "pm_dec": "PM_D",
        "major_axis": "size",
    }
    index = index_of(path)
    rows = everything(index)
    names = [each.name for each in index.objects(rows)]
    order = [names.index(f"star {n}") for n in range(20)]
    assert index.column("ra_deg", rows)[order] == pytest.approx(np.array(table["RAJ2000"]))
    assert index.column("pm_ra_mas_yr", rows)[order] == pytest.approx(np.array(table["PM_A"]) * 1000, rel=1e-6)
    assert index.column("semi_major_arcsec", rows)[order] == pytest.approx(np.array(table["size"]) * 30, rel=1e-6)


def test_text_tables_with_sexagesimal_positions_comments_and_bad_rows(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(
        "# made by hand\n"
        "name;RA;Dec;MajAx;mag\n"
        "M 31;00:42:44.3;+41:16:09;177.8;3.4\n"
        "pole;0h0m0s;-89:59:59.9;;\n"
        "decimal;10.5;-0.25;2;not a number\n"
        ";;;;\n"
        "beyond;12.0;95.0;;\n"
        "words;here;there;;\n"
        "short;1.0\n"
        "minutes;00:61:00;10:00:00;;\n"
    )
    report = imported(path)
    assert report.manifest.rows == 3
    assert report.manifest.bad_reasons == {
        "position is no number": 2,
        "no position": 1,
        "position is not on the sky": 1,
        "not the columns of the table": 1,
    }
    assert (report.faults.listed[0].number, report.faults.listed[0].value) == (6, "here, there")
    listed = (current_import(path.parent / "catalogues" / NAME) / BAD_ROWS).read_text()
    assert "beyond" not in listed
    assert "12.0, 95.0" in listed
    assert report.manifest.dropped_values == {"mag": 1}
    assert report.left_out == (
        "MajAx looks like major_axis but tells no unit; give --unit major_axis=arcmin to use it",
    )
    index = index_of(path)
    andromeda = index.objects(index.named("m31"))[0]
    assert (andromeda.ra_deg, andromeda.dec_deg) == (pytest.approx(10.684583), pytest.approx(41.269167))
    assert andromeda.semi_major_arcsec is None
    imported(path, units={"major_axis": "arcmin"})
    again = index_of(path)
    assert again.objects(again.named("M 31"))[0].semi_major_arcsec == pytest.approx(177.8 * 30)


@pytest.mark.parametrize(
    ("text", "more", "fault"),
    [
        ("a,b\n1,2\n", {}, "no column of the table is ra"),
        ("ra,dec\n1,2\n", {"columns": {"ra": "alpha"}}, "has no column 'alpha'"),
        ("ra,dec\n1,2\n", {"columns": {"colour": "ra"}}, "is no role of a column"),
        ("ra,dec\n1,2\n", {"units": {"ra": "kg"}}, "cannot be turned into deg"),
        ("ra,dec\n1,2\n", {"units": {"ra": "parsnip"}}, "cannot be turned into deg"),
        ("ra,dec\nx,y\n", {}, "no row with a position"),
        ("ra,dec\n", {}, "no row with a position"),
        ("ra,ra\n1,2\n", {}, "names a column twice"),
        ("", {}, "has no line with the names"),
        ("ra,dec\n1,2\n", {"coverage": "missing.fits"}, "cannot be read as a MOC"),
    ],
)
def test_what_cannot_be_imported_is_said_in_one_sentence_and_changes_nothing(
    tmp_path: Path, text: str, more: dict[str, Any], fault: str
) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=fault):
        imported(path, **more)
    assert NAME not in LocalCatalogues(tmp_path / "catalogues").names()


def test_an_interrupted_import_leaves_the_old_catalogue_and_the_next_one_clears_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table.csv"
    path.write_text("name,ra,dec\nold,1,2\n")
    imported(path)
    catalogues = LocalCatalogues(tmp_path / "catalogues")
    reader = catalogues.get(NAME)
    path.write_text("name,ra,dec\nnew,1,2\nother,3,4\n")
    with monkeypatch.context() as broken:

        def killed(*_: object) -> None:
            # Nothing clears up after a process that was killed.
            broken.setattr(importing.shutil, "rmtree", lambda *_, **__: None)
            raise KeyboardInterrupt

        broken.setattr(importing, "publish", killed)
        with pytest.raises(KeyboardInterrupt):
            imported(path)
    assert len([each for each in (tmp_path / "catalogues" / NAME).iterdir() if each.is_dir()]) == 2
    assert catalogues.get(NAME) is reader
    imported(path)
    # Who has it open still reads the old files; who looks again sees the new ones.
    assert reader.objects(everything(reader))[0].name == "old"
    assert catalogues.get(NAME).manifest.rows == 2
    assert len([each for each in (tmp_path / "catalogues" / NAME).iterdir() if each.is_dir()]) == 1


def test_only_one_import_runs_and_a_shipped_catalogue_cannot_be_removed(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("ra,dec\n1,2\n")
    with importing.import_lock(tmp_path / "catalogues"), pytest.raises(ConfigurationError, match="another import"):
        imported(path)
    imported(path)
    catalogues = LocalCatalogues(tmp_path / "catalogues")
    catalogues.remove(NAME)
    assert catalogues.names() == ["openngc"]
    with pytest.raises(ConfigurationError, match="comes with the package"):
        catalogues.remove("openngc")
    with pytest.raises(ConfigurationError, match="there is no catalogue"):
        catalogues.remove(NAME)


def test_a_damaged_catalogue_is_told_and_the_others_serve(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("ra,dec\n1,2\n")
    imported(path)
    (current_import(tmp_path / "catalogues" / NAME) / "rows.npy").write_bytes(b"\x93NUMPY spoilt")
    catalogues = LocalCatalogues(tmp_path / "catalogues")
    assert [manifest.name for manifest in catalogues.manifests()] == ["openngc"]
    assert "import it again" in catalogues.damaged()[NAME]


def test_rows_that_do_not_fit_into_memory_are_sorted_outside(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    ra, dec = sky(rng, 5000)
    keys = keys_of(ra, dec)
    rows = np.zeros(5000, dtype=[("number", "<i8")])
    rows["number"] = np.arange(5000)
    classes = rng.integers(0, 2, 5000)
    sorting = spill.Spill(tmp_path, rows.dtype, max_rows=50)
    for part in np.array_split(np.arange(5000), 7):
        sorting.add(classes[part], keys[part], rows[part])
    for each in (0, 1):
        parts = list(sorting.sorted(each))
        assert max(len(part) for part, _ in parts) <= 50
        got = np.concatenate([part for part, _ in parts])
        assert np.all(np.diff(got.astype(np.int64)) >= 0)
        numbers = np.concatenate([part["number"] for _, part in parts])
        assert sorted(numbers) == np.flatnonzero(classes == each).tolist()
        assert np.array_equal(keys[numbers], got)
    assert not list(tmp_path.iterdir())


def hats(folder: Path, partitions: dict[tuple[int, int], tuple[Any, Any]], **properties: str) -> None:
    """A HATS catalogue as `hats-import` writes one."""
    for (order, pixel), (ra, dec) in partitions.items():
        path = folder / "dataset" / f"Norder={order}" / "Dir=0" / f"Npix={pixel}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(pa.table({"id": pa.array(np.arange(len(ra))), "ra0": ra, "dec0": dec}), path)
    lines = {"obs_collection": folder.name, "dataproduct_type": "object", "hats_col_ra": "ra0", "hats_col_dec": "dec0"}
    text = "".join(f"{key}={value}\n" for key, value in {**lines, **properties}.items())
    (folder / "hats.properties").write_text("#HATS catalog\n" + text)


def test_a_hats_collection_keeps_its_coverage_and_the_margin_of_what_is_missing(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    ra, dec = rng.uniform(0, 360, 4000), np.degrees(np.arcsin(rng.uniform(-1, 1, 4000)))
    pixels = keys_of(ra, dec, 1)
    # Of the 48 partitions two were downloaded, 17 and its neighbour across an edge; the margin repeats rows of both,
    # and has those of a third which is missing.
    collection = tmp_path / "demo"
    parts = {(1, pixel): (ra[pixels == pixel], dec[pixels == pixel]) for pixel in (17, 19)}
    hats(collection / "demo", parts)
    edge = (pixels == 19) | (pixels == 16)
    hats(
        collection / "demo_margin",
        {(1, 17): (ra[edge], dec[edge])},
        dataproduct_type="margin",
        hats_margin_threshold="10",
    )
    (collection / "collection.properties").write_text(
        "obs_collection=demo\nhats_primary_table_url=demo\nall_margins=demo_margin\n"
    )
    report = imported(collection, coverage=None)
    assert report.manifest.rows == np.isin(pixels, (17, 19, 16)).sum()
    assert report.manifest.sky_fraction == pytest.approx(2 / 48)
    index = index_of(collection)
    inside = np.isin(keys_of(ra, dec, 1), (17, 19))
    assert np.array_equal(index.covers(ra, dec), inside)
    with pytest.raises(ConfigurationError, match="of the type 'margin'"):
        imported(collection / "demo_margin")


def test_coverage_tells_nothing_there_from_never_looked(tmp_path: Path) -> None:
    rng = np.random.default_rng(12)
    ra, dec = rng.uniform(9.0, 15.0, 20_000) % 360, rng.uniform(-3.0, 3.0, 20_000)
    path = tmp_path / "field.csv"
    path.write_text("ra,dec\n" + "".join(f"{a},{d}\n" for a, d in zip(ra, dec, strict=True)))
    report = imported(path, coverage=None)
    assert report.manifest.coverage.startswith("guessed from the positions")
    assert report.manifest.sky_fraction * 41253 == pytest.approx(34, abs=4)
    index = index_of(path)
    assert index.covers([12.0, 12.0, 20.0], [0.0, 0.0, 0.0], [0.0, 60.0, 0.0]).tolist() == [True, True, False]
    # Within a circle that reaches over the edge it was not looked everywhere.
    edge = 15.0 - 0.3
    assert index.covers([edge], [0.0], [3600.0]).tolist() == [False]


def test_a_moc_file_gives_the_coverage(tmp_path: Path) -> None:
    from mocpy import MOC

    moc = MOC.from_healpix_cells(np.array([17, 19]), np.array([1, 1]), 1)
    path = tmp_path / "table.csv"
    path.write_text("ra,dec\n1,2\n")
    for name, kind in (("moc.fits", "fits"), ("moc.json", "json"), ("moc.txt", "ascii")):
        moc.save(tmp_path / name, format=kind)
        report = imported(path, coverage=str(tmp_path / name))
        assert report.manifest.sky_fraction == pytest.approx(2 / 48)


def test_a_watchlist_is_private_and_covers_the_sky(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("name,ra,dec\nmy star,1,2\n")
    manifest = imported(path, coverage=None, watchlist=True).manifest
    assert (manifest.kind, manifest.private, manifest.sky_fraction) == ("watchlist", True, 1.0)
    assert json.loads((current_import(tmp_path / "catalogues" / NAME) / "manifest.json").read_text())["private"]


def test_only_a_watchlist_names_channels(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("name,ra,dec\nmy star,1,2\n")
    assert imported(path, coverage=None, watchlist=True, notify=("mailto #1",)).manifest.notify == ("mailto #1",)
    with pytest.raises(ConfigurationError, match="--watchlist"):
        imported(path, coverage=None, notify=("mailto #1",))


def test_a_watchlist_of_names_gets_the_positions_of_what_the_catalogues_know(tmp_path: Path) -> None:
    path = tmp_path / "names.csv"
    path.write_text("object\nM 51\nngc0224\nno such thing\n")
    report = imported(path, coverage=None, watchlist=True)
    assert (report.manifest.rows, report.manifest.bad_reasons) == (2, {"no position": 1})
    index = index_of(path)
    whirlpool = index.objects(index.named("M 51"))[0]
    assert (whirlpool.ra_deg, whirlpool.dec_deg) == (pytest.approx(202.47, abs=0.01), pytest.approx(47.195, abs=0.01))
    assert whirlpool.semi_major_arcsec is not None
