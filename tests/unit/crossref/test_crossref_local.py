"""Catalogues on this machine answer without a network, and take the place of remote ones of their name."""

from pathlib import Path

from astrolens.contracts.catalogues import CrossmatchStatus, MatchStatus
from astrolens.crossref.catalogue_set import CatalogueSet
from astrolens.crossref.local import LocalAnswers
from astrolens.crossref.places import Place
from astrolens.local_catalogues.catalogue_folder import LocalCatalogues

from tests.catalogues.services import FakeSimbad
from tests.unit.crossref.crossref_fakes import World

M31 = Place("m31", 10.6847, 41.2687)
NOWHERE = Place("nowhere", 150.0, 2.0)


async def test_without_a_network_the_bright_sky_is_known_and_the_rest_undetermined(
    world: World, simbad: FakeSimbad, tmp_path: Path
) -> None:
    simbad.fault = "reset"
    local = LocalAnswers(LocalCatalogues(tmp_path / "none"))
    catalogues = CatalogueSet(clients=world.clients, local=local, cache=world.cache, metrics=world.metrics)
    found = await catalogues.crossmatch([M31, NOWHERE])
    openngc, remote = found["m31"].answers
    assert (openngc.catalogue, openngc.status, remote.status) == ("openngc", MatchStatus.MATCHED, MatchStatus.FAILED)
    assert openngc.counterparts[0].matches
    assert "224" in openngc.counterparts[0].name or "31" in openngc.counterparts[0].name
    assert openngc.counterparts[0].link is not None
    assert found["m31"].status is CrossmatchStatus.KNOWN
    assert found["nowhere"].status is CrossmatchStatus.UNDETERMINED
    assert found["nowhere"].answers[0].status in {MatchStatus.NONE, MatchStatus.NOT_COVERED}


async def test_a_copy_of_a_remote_catalogue_is_asked_in_its_place(
    world: World, simbad: FakeSimbad, tmp_path: Path
) -> None:
    world.clients[0].catalogue.name = "openngc"
    local = LocalAnswers(LocalCatalogues(tmp_path / "none"), required=["openngc"])
    catalogues = CatalogueSet(clients=world.clients, local=local, cache=world.cache, metrics=world.metrics)
    found = await catalogues.crossmatch([NOWHERE, M31])
    assert simbad.asked == []
    assert found["m31"].answers[0].required
    assert local.states()["openngc"]["local"]
