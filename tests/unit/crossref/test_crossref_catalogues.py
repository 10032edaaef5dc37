"""NED, VizieR, X-Match and SkyBoT: each of their faults reads as a failure, and none as an empty sky."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from astrolens.contracts.catalogues import MatchStatus
from astrolens.contracts.crossmatch import Crossmatch
from astrolens.crossref.catalogues.ned import Ned, NedCone
from astrolens.crossref.catalogues.skybot import Skybot
from astrolens.crossref.catalogues.vizier import VizierTable
from astrolens.crossref.places import Place
from astrolens.crossref.registry import ChosenCatalogue, addresses, chosen_catalogues
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.settings import load_settings

from tests.catalogues.services import FAULTS, FakeNed, FakeSimbad, FakeSkybot, FakeVizier, Reply
from tests.catalogues.sky import Thing
from tests.unit.crossref.crossref_fakes import World, opened

HERE = Place("here", 150.0, 2.0, datetime(2026, 3, 1, tzinfo=UTC))
LOCAL = "http://127.0.0.1:1"
NED = ChosenCatalogue(Ned(f"{LOCAL}/ned/tap"), required=True)
VSX = VizierTable("vizier:B/vsx/vsx", tap_url=f"{LOCAL}/vizier", xmatch_url=f"{LOCAL}/xmatch")
SIMBAD_ONLY = {"wrong-key", "no-position", "lost-rows"}
"""Faults that the others' fakes do not have."""


async def ask(world: World, *places: Place) -> list[Crossmatch]:
    found = await world.catalogues.crossmatch(list(places))
    return [found[place.key] for place in places]


@pytest.mark.parametrize("fault", [each for each in FAULTS if each not in SIMBAD_ONLY - {"lost-rows"}])
async def test_ned_never_reads_as_none(tmp_path: Path, fault: str) -> None:
    ned = FakeNed()
    async with opened(tmp_path, FakeSimbad(), services={"/ned": ned}, catalogues=[NED]) as world:
        assert (await ask(world, HERE))[0].answers[0].status is MatchStatus.NONE
        ned.fault = fault
        world.clock.move(3700)
        (found,) = await ask(world, Place("other", 151.0, 2.0))
    assert found.answers[0].status is MatchStatus.FAILED
    assert not found.possible_discovery


class UnstableSimbad(FakeSimbad):
    """Answers 17 objects at a place, and 11 at a place a hundredth of an arcsecond away (astroquery#1551)."""

    def _written(self, rows: list[list[Any]]) -> Reply:
        shifted = [row for row in rows if str(row[0]).endswith("core-shifted")]
        return super()._written([row for row in rows if row not in shifted[11:]])


async def test_a_cone_that_changes_with_a_tiny_shift_is_not_believed(tmp_path: Path) -> None:
    async with opened(tmp_path, UnstableSimbad()) as world:
        (found,) = await ask(world, HERE)
    assert found.answers[0].status is MatchStatus.FAILED
    assert "unstable" in str(found.answers[0].detail)


async def test_only_the_addresses_of_the_settings_are_asked(tmp_path: Path) -> None:
    """A mirror that is set is the one that is asked; the domains are those of today (astroquery#3465, #3341)."""
    settings = load_settings(
        home=tmp_path,
        vizier_url="https://mirror.example/tap",
        catalogues_required="vizier:B/vsx/vsx",
        catalogues_informative="none",
    )
    (vsx,) = chosen_catalogues(settings)
    assert vsx.catalogue.request_for([HERE]).url == "https://mirror.example/tap"
    default = load_settings(home=tmp_path)
    hosts = {urlsplit(address).hostname for address in addresses(default)}
    assert {host.partition(".")[2] for host in hosts if host} <= {
        "cds.unistra.fr",
        "u-strasbg.fr",
        "ipac.caltech.edu",
        "imcce.fr",
    }
    assert "cdsxmatch.cds.unistra.fr" in hosts


async def test_ned_is_asked_a_second_way_where_the_first_fails(tmp_path: Path) -> None:
    ned = FakeNed()
    ned.fault, ned.cone_fault = "error-param", None
    ned.sky.things.append(Thing("NGC 1", 150.0003, 2.0, redshift=0.02))
    chosen = ChosenCatalogue(Ned(f"{LOCAL}/ned/tap"), required=True, fallback=NedCone(f"{LOCAL}/ned/cone"))
    async with opened(tmp_path, FakeSimbad(), services={"/ned": ned}, catalogues=[chosen]) as world:
        (found,) = await ask(world, HERE)
        assert found.answers[0].status is MatchStatus.MATCHED
        assert found.answers[0].release == "NED cone search"
        ned.cone_fault = "html"
        world.clock.move(3700)
        (found,) = await ask(world, Place("other", 151.0, 2.0))
        assert found.answers[0].status is MatchStatus.FAILED
        ned.fault = None
        world.clock.move(3700)
        (found,) = await ask(world, Place("third", 152.0, 2.0))
        assert (found.answers[0].status, found.answers[0].release) == (MatchStatus.NONE, "NED objdir")


@pytest.mark.parametrize("places", [1, 40], ids=["tap", "xmatch"])
@pytest.mark.parametrize("fault", [each for each in FAULTS if each not in SIMBAD_ONLY])
async def test_vizier_and_xmatch_never_read_as_none(tmp_path: Path, fault: str, places: int) -> None:
    if fault == "renamed" or (places > 1 and fault == "no-status"):
        pytest.skip("columns are found by their UCD; X-Match sends a status only with an error")
    vizier = FakeVizier()
    asked = [Place(str(number), 150.0 + number, 2.0) for number in range(places)]
    chosen = ChosenCatalogue(VSX, required=True)
    services = {"/vizier": vizier, "/xmatch": vizier}
    async with opened(tmp_path, FakeSimbad(), services=services, catalogues=[chosen]) as world:
        assert {each.answers[0].status for each in await ask(world, *asked)} == {MatchStatus.NONE}
        assert vizier.asked[-1][0] == ("/xmatch" if places > 1 else "/vizier")
        vizier.fault = fault
        world.clock.move(2 * 86_400)
        found = await ask(world, *(Place(f"n{place.key}", place.ra_deg, 5.0) for place in asked))
    assert {each.answers[0].status for each in found} == {MatchStatus.FAILED}


async def test_a_renamed_column_is_found_by_its_ucd(tmp_path: Path) -> None:
    vizier = FakeVizier()
    vizier.fault = "renamed"
    vizier.sky.things.append(Thing("ASAS 1", 150.0003, 2.0))
    async with opened(
        tmp_path, FakeSimbad(), services={"/vizier": vizier}, catalogues=[ChosenCatalogue(VSX, required=False)]
    ) as world:
        (found,) = await ask(world, HERE)
    assert found.answers[0].counterparts[0].name == "VSX ASAS 1"


async def test_skybot_finds_what_moves_at_its_time_and_needs_one(tmp_path: Path) -> None:
    skybot = FakeSkybot()
    skybot.asteroids.append(("Ceres", 150.0003, 2.0, 2461100.5))
    chosen = ChosenCatalogue(Skybot(f"{LOCAL}/skybot"), required=False)
    async with opened(tmp_path, FakeSimbad(), services={"/skybot": skybot}, catalogues=[chosen]) as world:
        assert HERE.observed_at is not None
        later = Place("later", 150.0, 2.0, HERE.observed_at + timedelta(days=1))
        at_once, a_day_later, timeless = await ask(world, HERE, later, Place("timeless", 150.0, 2.0))
        assert at_once.answers[0].counterparts[0].name == "Ceres"
        assert at_once.answers[0].status is MatchStatus.MATCHED
        assert a_day_later.answers[0].status is MatchStatus.NONE
        assert timeless.answers[0].status is MatchStatus.NOT_COVERED
        assert "not known" in str(timeless.answers[0].detail)
        skybot.fault = "empty"
        world.clock.move(3700)
        (found,) = await ask(world, Place("next", 151.0, 2.0, HERE.observed_at))
        assert found.answers[0].status is MatchStatus.FAILED, "Jupiter is not where it was"


def test_the_settings_name_catalogues(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    chosen = chosen_catalogues(settings)
    assert [each.catalogue.name for each in chosen if each.required] == ["simbad", "ned"]
    assert {"skybot", "vizier:I/355/gaiadr3"} <= {each.catalogue.name for each in chosen if not each.required}
    assert (
        chosen_catalogues(load_settings(home=tmp_path, catalogues_required="none", catalogues_informative="none")) == []
    )


@pytest.mark.parametrize(
    ("required", "says"),
    [("sinbad", "no catalogue 'sinbad'"), ("simbad,simbad", "twice"), ("vizier:", "write vizier:TABLE")],
)
def test_a_catalogue_that_there_is_not_stops_the_start(tmp_path: Path, required: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        chosen_catalogues(load_settings(home=tmp_path, catalogues_required=required))
