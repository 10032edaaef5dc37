"""Replies that the real services once gave: none of them, errors and other tables alike, reads as "nothing there"."""

from io import BytesIO
from pathlib import Path

import pytest
from astrolens.crossref.catalogues import simbad
from astrolens.crossref.catalogues.base import RemoteCatalogue
from astrolens.crossref.catalogues.ned import Ned, NedCone
from astrolens.crossref.catalogues.simbad import Simbad
from astrolens.crossref.catalogues.skybot import Skybot
from astrolens.crossref.catalogues.vizier import VizierTable
from astrolens.crossref.failures import CatalogueFailed
from astrolens.crossref.places import Place
from astropy.io import votable

from tests.shared_data import shared_data

HERE = Place("here", 150.0, 2.0)
READERS: dict[str, RemoteCatalogue] = {
    "ned": Ned(),
    "ned-cone": NedCone(),
    "simbad": Simbad(),
    "vizier": VizierTable("vizier:B/vsx/vsx", tap_url="https://tap/x", xmatch_url="https://xmatch/x"),
    "skybot": Skybot(),
}


def recorded() -> Path:
    return shared_data() / "recorded"


@pytest.mark.parametrize("service", ["ned", "simbad", "vizier", "xmatch"])
@pytest.mark.parametrize("reader", READERS)
def test_no_recorded_reply_reads_as_nothing_there(service: str, reader: str) -> None:
    files = [path for path in sorted((recorded() / service).iterdir()) if path.suffix in {".xml", ".csv", ".html"}]
    assert files
    for path in files:
        with pytest.raises(CatalogueFailed) as caught:
            READERS[reader].read(path.read_bytes(), [HERE])
        assert str(caught.value), path.name


@pytest.mark.parametrize(
    ("name", "says"),
    [("ned/error.xml", "No note found"), ("vizier/no_server_error.xml", "database is not currently reachable")],
)
def test_an_outage_that_says_ok_is_told_in_the_services_own_words(name: str, says: str) -> None:
    """NED: a PARAM beside a QUERY_STATUS of OK. VizieR: an INFO of its own."""
    reader = READERS["ned" if name.startswith("ned") else "vizier"]
    with pytest.raises(CatalogueFailed, match=says) as caught:
        reader.read((recorded() / name).read_bytes(), [HERE])
    assert caught.value.code == "reported-error"


def test_a_recorded_cone_of_ned_is_read_where_it_was_asked() -> None:
    """The old search's table, by whose column names NED's objects are still found."""
    body = (recorded() / "ned" / "query_near_position.xml").read_bytes()
    table = votable.parse_single_table(BytesIO(body), verify="ignore").to_table()
    # Its cone was larger than ours: each of its objects is taken for a place.
    places = [Place(str(n), float(row["main_col3"]), float(row["main_col4"])) for n, row in enumerate(table)]
    found = NedCone().read(body, places)
    assert {item.name for items in found.values() for item in items} == {str(name) for name in table["main_col2"]}
    assert all(found[place.key] for place in places)


def test_simbad_has_the_columns_that_are_asked_for_in_the_units_that_are_expected() -> None:
    body = (recorded() / "simbad" / "simbad_basic_columns.xml").read_bytes()
    rows = votable.parse_single_table(BytesIO(body), verify="ignore").to_table()
    units = {str(row["column_name"]).strip('"'): str(row["unit"]) for row in rows}
    asked = [name.strip() for name in simbad._SELECTED.split(",")]
    assert set(asked) <= set(units)
    declared = {name: column.units for column in simbad._COLUMNS for name in column.names}
    wrong = {name: units[name] for name in asked if declared[name] and units[name] not in declared[name]}
    assert wrong == {}
