"""The shipped OpenNGC: what it knows without a network, and that it is what its script makes."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from astrolens.local_catalogues.catalogue_folder import SHIPPED, LocalCatalogues, PlaceAnswer, match_index
from astrolens.local_catalogues.openngc import display_name, make_openngc
from astrolens.science.match_radius import Target, error_radius_arcsec
from astrolens.science.sphere import moved

from tests.shared_data import shared_data


@pytest.fixture(scope="module")
def catalogues(tmp_path_factory: pytest.TempPathFactory) -> LocalCatalogues:
    return LocalCatalogues(tmp_path_factory.mktemp("none"))


def answer(catalogues: LocalCatalogues, ra_deg: float, dec_deg: float) -> PlaceAnswer:
    return catalogues.match([Target(ra_deg=ra_deg, dec_deg=dec_deg, extended=True)])["openngc"][0]


def test_it_knows_andromeda_and_credits_its_source(catalogues: LocalCatalogues) -> None:
    found = answer(catalogues, 10.6847, 41.2687)
    best = found.result.matches[0]
    assert (found.covered, found.result.status, best.found.name) == (True, "explained", "NGC 224")
    assert {"M 31", "Andromeda Galaxy", "PGC 002557"} <= set(best.found.aliases)
    assert best.found.semi_major_arcsec == pytest.approx(177.83 * 30)
    manifest = catalogues.get("openngc").manifest
    assert "CC-BY-SA 4.0" in manifest.credit
    assert "Mattia Verga" in (SHIPPED / "openngc" / "LICENSE.md").read_text()


def test_where_it_has_nothing_it_says_so_and_names_the_nearest(catalogues: LocalCatalogues) -> None:
    found = answer(catalogues, 150.0, 2.2)
    assert (found.covered, found.result.status) == (True, "nothing")
    assert found.result.nearest is not None
    assert found.result.nearest.separation_arcsec > 600.0


def test_other_names_lead_to_an_object(catalogues: LocalCatalogues) -> None:
    openngc = catalogues.get("openngc")
    rows = {name: openngc.named(name).tolist() for name in ("M31", "NGC0224", "andromeda galaxy", "pgc 2557")}
    assert len(set(map(tuple, rows.values()))) == 1
    assert rows["M31"]
    assert openngc.named("no such object").size == 0


def test_a_place_in_the_disc_of_andromeda_is_a_part_of_it(catalogues: LocalCatalogues) -> None:
    # One degree north-east of the centre, along the major axis.
    best = answer(catalogues, 11.45, 42.09).result.matches[0]
    assert (best.found.name, best.relation) == ("NGC 224", "inside")
    assert best.chance_probability is not None
    assert best.chance_probability < 0.1
    # As far from the centre, across the disc.
    assert answer(catalogues, 11.8, 40.7).result.status == "nothing"


def test_the_galaxies_of_efigi_are_found_by_name(catalogues: LocalCatalogues) -> None:
    with (shared_data() / "galaxies" / "labels.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["survey"] == "EFIGI" and row["ra_deg"]]
    assert len(rows) == 1459
    # Their positions are OpenNGC's own: an error of 2 arcsec along each axis stands for another survey's.
    rng = np.random.default_rng(14)
    ra, dec = moved(
        np.array([float(row["ra_deg"]) for row in rows]),
        np.array([float(row["dec_deg"]) for row in rows]),
        *rng.normal(0.0, 2000.0, (2, len(rows))),
        1.0,
    )
    targets = [
        Target(ra_deg=float(one_ra), dec_deg=float(one_dec), error_arcsec=2.0, extended=True)
        for one_ra, one_dec in zip(ra, dec, strict=True)
    ]
    found = catalogues.match(targets)["openngc"]
    right = 0
    for row, each in zip(rows, found, strict=True):
        explaining = [match.found for match in each.result.matches if match.explains]
        right += bool(explaining) and explaining[0].name == display_name(row["name"])
    assert right / len(rows) >= 0.99


def test_chance_matches_of_shifted_positions_come_as_often_as_predicted(catalogues: LocalCatalogues) -> None:
    """Ten arcminutes from galaxies of EFIGI, in twelve directions, only unrelated objects match."""
    with (shared_data() / "galaxies" / "labels.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["survey"] == "EFIGI" and row["ra_deg"]]
    index = catalogues.get("openngc")
    own = np.array([display_name(row["name"]) for row in rows] * 12)
    angle = np.repeat(np.radians(np.arange(0.0, 360.0, 30.0)), len(rows))
    ra, dec = moved(
        np.tile([float(row["ra_deg"]) for row in rows], 12),
        np.tile([float(row["dec_deg"]) for row in rows], 12),
        600_000.0 * np.sin(angle),
        600_000.0 * np.cos(angle),
        1.0,
    )
    sigma = np.full(ra.size, 1.0)
    covered = index.crowding(ra, dec, sigma).covered
    near = index.within_reach(ra, dec, error_radius_arcsec(sigma, index.manifest.max_error_arcsec))
    chances = np.full(ra.size, 2.0)
    places = np.unique(near.position)
    targets = [Target(ra_deg=float(ra[n]), dec_deg=float(dec[n]), error_arcsec=1.0) for n in places]
    for place, answer in zip(places, match_index(index, targets), strict=True):
        for match in answer.result.matches:
            if match.normalised_separation <= 1.0 and match.found.name != own[place]:
                chances[place] = min(chances[place], match.chance_probability or 0.0)
    for chance in (0.01, 1.0):
        found = int(np.count_nonzero(chances <= chance))
        predicted = float(np.minimum(-np.expm1(-covered), chance).sum())
        # The counts of one neighbour seen from several directions are not independent: a factor of 1.5 and five more.
        assert predicted / 1.5 - 5 <= found <= 1.5 * predicted + 5, (chance, found, predicted)


def test_it_is_what_its_script_makes_of_openngc(tmp_path: Path) -> None:
    table = shared_data() / "catalogs" / "OpenNGC.csv"
    shipped = SHIPPED / "openngc"
    release = json.loads((shipped / "manifest.json").read_text())["release"]
    make_openngc(table, tmp_path / "openngc", release=release, moment=datetime.fromtimestamp(0, UTC))
    names = sorted(path.name for path in shipped.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "openngc").iterdir())
    for name in names:
        assert (tmp_path / "openngc" / name).read_bytes() == (shipped / name).read_bytes(), name
