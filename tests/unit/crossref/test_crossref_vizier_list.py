"""Several tables of VizieR in one request: one turn of the limit, and none of its faults reads as "nothing there"."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from astrolens.contracts.catalogues import CatalogueAnswer, MatchStatus
from astrolens.crossref.catalogues.base import CatalogueRequest
from astrolens.crossref.catalogues.vizier import VizierTable
from astrolens.crossref.catalogues.vizier_list import VizierList
from astrolens.crossref.failures import CatalogueFailed
from astrolens.crossref.places import Place
from astrolens.crossref.registry import ChosenCatalogue, chosen_catalogues
from astrolens.crossref.sharing import SharedRequests
from astrolens.platform.settings import load_settings

from tests.catalogues.services import FakeSimbad, FakeVizier
from tests.catalogues.sky import Thing
from tests.unit.crossref.crossref_fakes import World, opened

LOCAL = "http://127.0.0.1:1"
NAMES = ("B/vsx/vsx", "VII/291/gladep", "I/355/gaiadr3")
HERE = Place("here", 150.0, 2.0)
THERE = Place("there", 151.0, 3.0)


def chosen() -> list[ChosenCatalogue]:
    tables = [VizierTable(f"vizier:{name}", tap_url=f"{LOCAL}/vizier", xmatch_url=f"{LOCAL}/xmatch") for name in NAMES]
    members = VizierList(tables, url=f"{LOCAL}/asu").members()
    return [
        ChosenCatalogue(member, required=False, fallback=table, limit_host=table.host)
        for member, table in zip(members, tables, strict=True)
    ]


def world(tmp_path: Path, asu: FakeVizier, tap: FakeVizier | None = None) -> AbstractAsyncContextManager[World]:
    services = {"/asu": asu, "/vizier": tap or broken(), "/xmatch": FakeVizier()}
    return opened(tmp_path, FakeSimbad(), services=services, catalogues=chosen())


def broken() -> FakeVizier:
    tap = FakeVizier()
    tap.fault = "http-503"
    return tap


async def answers(world: World, *places: Place) -> list[Sequence[CatalogueAnswer]]:
    found = await world.catalogues.crossmatch(places)
    return [found[place.key].answers for place in places]


async def test_all_tables_are_asked_in_one_request_and_each_reads_its_own(tmp_path: Path) -> None:
    asu = FakeVizier()
    asu.sky.things.append(Thing("ASAS 1", 150.0003, 2.0))
    async with world(tmp_path, asu) as opened_world:
        first, second = await answers(opened_world, HERE, THERE)
        # Canaries of the start, each twice; then both places with the canaries of three tables.
        assert [path for path, _ in asu.asked] == ["/asu", "/asu"]
        assert [count for _, count in asu.asked] == [6, 5]
        begun = opened_world.clock()
        opened_world.clock.move(60)
        await answers(opened_world, Place("third", 152.0, 4.0))
        # No wait for a turn: three tables one by one would be a second.
        assert (opened_world.clock() - begun).total_seconds() == 60.0
        assert {each.status for each in first} == {MatchStatus.MATCHED}
        assert {each.status for each in second} == {MatchStatus.NONE}
        assert [each.counterparts[0].name for each in first] == ["VSX ASAS 1", "GLADE+ ASAS 1", "Gaia DR3 ASAS 1"]


async def test_two_places_at_one_position_have_the_same_objects(tmp_path: Path) -> None:
    asu = FakeVizier()
    asu.sky.things.append(Thing("ASAS 1", 150.0003, 2.0))
    async with world(tmp_path, asu) as opened_world:
        found = await answers(opened_world, HERE, Place("again", 150.0, 2.0))
    assert {each.status for both in found for each in both} == {MatchStatus.MATCHED}


@pytest.mark.parametrize("fault", ["missing", "empty", "error", "overflow"])
async def test_one_bad_table_never_takes_the_others_along(tmp_path: Path, fault: str) -> None:
    asu = FakeVizier()
    async with world(tmp_path, asu) as opened_world:
        assert {each.status for each in (await answers(opened_world, HERE))[0]} == {MatchStatus.NONE}
        asu.table_faults["B/vsx/vsx"] = fault
        opened_world.clock.move(600)
        by_name = {each.catalogue: each.status for each in (await answers(opened_world, THERE))[0]}
    assert by_name.pop("vizier:B/vsx/vsx") is MatchStatus.FAILED
    assert set(by_name.values()) == {MatchStatus.NONE}


@pytest.mark.parametrize(
    "fault",
    ["http-503", "html", "error-in-200", "error-info", "cut", "overflow", "empty", "renamed", "unit", "elsewhere",
     "stream", "entity", "empty-body", "no-table"],
)  # fmt: skip
async def test_no_fault_of_all_tables_reads_as_none(tmp_path: Path, fault: str) -> None:
    asu = FakeVizier()
    async with world(tmp_path, asu) as opened_world:
        assert {each.status for each in (await answers(opened_world, HERE))[0]} == {MatchStatus.NONE}
        asu.fault = fault
        opened_world.clock.move(2 * 86_400)
        assert {each.status for each in (await answers(opened_world, THERE))[0]} == {MatchStatus.FAILED}


@pytest.mark.parametrize("fault", ["html", "numbers"])
async def test_where_the_list_fails_its_canaries_each_table_is_asked_by_tap(tmp_path: Path, fault: str) -> None:
    """Nobody has asked the live service: were `_q` counted from 0, no row would lie at its place."""
    asu, tap = FakeVizier(), FakeVizier()
    if fault == "numbers":
        asu.count_from = 0
    else:
        asu.fault = fault
    tap.sky.things.append(Thing("ASAS 1", 150.0003, 2.0))
    async with world(tmp_path, asu, tap) as opened_world:
        (found,) = await answers(opened_world, HERE)
    assert {each.status for each in found} == {MatchStatus.MATCHED}
    assert "/vizier" in {path for path, _ in tap.asked}


async def test_many_places_go_to_x_match(tmp_path: Path) -> None:
    asu = FakeVizier()
    async with world(tmp_path, asu) as opened_world:
        found = await answers(opened_world, *(Place(f"p{n}", 100.0 + n, 10.0) for n in range(30)))
    assert {each.status for every in found for each in every} == {MatchStatus.NONE}
    assert len(asu.asked) == 1  # the canaries of the start


def test_tables_of_a_users_own_and_a_single_one_are_asked_by_tap(tmp_path: Path) -> None:
    settings = load_settings(
        home=tmp_path,
        catalogues_required="none",
        catalogues_informative="vizier:B/vsx/vsx,vizier:J/A+A/1/2/table1,vizier:VII/291/gladep",
        vizier_asu_url="https://mirror.example/asu",
    )
    one, own, other = chosen_catalogues(settings)
    assert one.catalogue.request_for([HERE]) == other.catalogue.request_for([HERE])
    assert one.catalogue.request_for([HERE]).form["-source"] == "B/vsx/vsx,VII/291/gladep"
    assert one.limit_host == own.catalogue.host
    assert "QUERY" in own.catalogue.request_for([HERE]).form
    alone = load_settings(home=tmp_path, catalogues_required="none", catalogues_informative="vizier:B/vsx/vsx")
    assert "QUERY" in chosen_catalogues(alone)[0].catalogue.request_for([HERE]).form


async def test_a_request_is_shared_by_all_who_ask_and_sent_again_for_who_asks_again() -> None:
    requests, sent, going = SharedRequests(), [], asyncio.Event()

    async def send() -> bytes:
        sent.append(1)
        await going.wait()
        return b"reply"

    question = CatalogueRequest("https://x/", form={"a": "1"})
    waiters = [asyncio.create_task(requests.reply(question, send, asker=name)) for name in "abc"]
    other = asyncio.create_task(requests.reply(CatalogueRequest("https://x/", form={"a": "2"}), send, asker="a"))
    await asyncio.sleep(0)
    waiters[0].cancel()
    await asyncio.sleep(0)
    going.set()
    assert [await waiters[1], await waiters[2], await other] == [b"reply"] * 3
    assert len(sent) == 2
    # One who comes a little later has the same reply; one who had it asks anew.
    assert await requests.reply(question, send, asker="d") == b"reply"
    assert len(sent) == 2
    assert await requests.reply(question, send, asker="b") == b"reply"
    assert len(sent) == 3


async def test_a_failure_is_told_to_all_who_wait_and_the_end_leaves_nothing() -> None:
    requests, failures = SharedRequests(), []

    async def fail() -> bytes:
        failures.append(1)
        await asyncio.sleep(0)
        raise CatalogueFailed("timeout", "no answer")

    question = CatalogueRequest("https://x/")
    asked = (requests.reply(question, fail, asker=name) for name in "ab")
    told = await asyncio.gather(*asked, return_exceptions=True)
    assert [str(each) for each in told] == [str(told[0])] * 2
    with pytest.raises(CatalogueFailed):
        await requests.reply(question, fail, asker="c")
    assert len(failures) == 2

    async def never() -> bytes:
        await asyncio.Event().wait()
        return b""

    waiting = asyncio.create_task(requests.reply(question, never, asker="a"))
    await asyncio.sleep(0)
    await requests.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
