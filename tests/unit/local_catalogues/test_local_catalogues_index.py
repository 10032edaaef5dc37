"""Searches against brute force where they go wrong: at the poles, across RA = 0, at the edges of cells."""

from pathlib import Path

import numpy as np
import pytest
from astrolens.local_catalogues.cells import CELL_WIDTH, KEY_ORDER, keys_of, neighbourhoods, orders_for
from astrolens.local_catalogues.index import CatalogueIndex, Pairs, designation
from astrolens.science.sphere import moved, separation_arcsec

from tests.unit.local_catalogues.made_catalogues import brute_force, everything, made, sky


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> CatalogueIndex:
    return made(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> CatalogueIndex:
    return made(tmp_path_factory.mktemp("rich"), seed=2, moving=True, sized=True)


def pairs(found: Pairs) -> set[tuple[int, int]]:
    return set(zip(found.position.tolist(), found.row.tolist(), strict=True))


def places(seed: int, count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Half of them positions of the sky's clumps, half anywhere."""
    return sky(np.random.default_rng(seed), count)


@pytest.mark.parametrize("seed", range(3))
def test_a_circle_holds_what_brute_force_finds(plain: CatalogueIndex, seed: int) -> None:
    ra, dec = places(100 + seed)
    radius = 10 ** np.random.default_rng(seed).uniform(-3, 4, ra.size)
    found = plain.cone(ra, dec, radius)
    assert pairs(found) == brute_force(plain, ra, dec, radius)
    assert len(pairs(found)) == found.row.size
    assert np.all(np.diff(found.position) >= 0)
    same = np.diff(found.position) == 0
    assert np.all(np.diff(found.separation_arcsec)[same] >= 0)


def test_circles_of_every_size_up_to_the_whole_sky(plain: CatalogueIndex) -> None:
    degrees = np.array([1.0, 5.0, 20.0, 38.0, 39.5, 40.0, 70.0, 120.0, 180.0])
    ra, dec = np.full(degrees.size, 0.0), np.full(degrees.size, 89.5)
    found = plain.cone(ra, dec, degrees * 3600.0)
    assert pairs(found) == brute_force(plain, ra, dec, degrees * 3600.0)
    assert np.count_nonzero(found.position == degrees.size - 1) == plain.manifest.rows


@pytest.mark.parametrize("k", [1, 4])
def test_the_nearest_objects_are_those_of_brute_force(plain: CatalogueIndex, k: int) -> None:
    ra, dec = places(7)
    found = plain.nearest(ra, dec, k=k)
    assert np.all(np.bincount(found.position, minlength=ra.size) == k)
    rows = everything(plain)
    for position in range(ra.size):
        separation = separation_arcsec(
            ra[position], dec[position], plain.column("ra_deg", rows), plain.column("dec_deg", rows)
        )
        own = found.separation_arcsec[found.position == position]
        assert own == pytest.approx(np.sort(separation)[:k], abs=1e-9)


def test_the_nearest_of_more_objects_than_there_are_is_all_of_them(tmp_path: Path) -> None:
    few = made(tmp_path, count=14)
    assert few.nearest([10.0], [20.0], k=50).row.size == 14


@pytest.mark.parametrize("year", [1950.0, 2016.0, 2140.0])
def test_stars_are_searched_where_they_are_in_the_year_of_the_image(rich: CatalogueIndex, year: float) -> None:
    ra, dec = places(9, 200)
    rows = everything(rich)[:60]
    there = moved(
        rich.column("ra_deg", rows),
        rich.column("dec_deg", rows),
        rich.column("pm_ra_mas_yr", rows),
        rich.column("pm_dec_mas_yr", rows),
        year - 2016.0,
    )
    ra, dec = np.concatenate([ra, there[0]]), np.concatenate([dec, there[1]])
    limit = np.full(ra.size, 2.0)
    found = rich.cone(ra, dec, limit, epoch_year=year)
    assert pairs(found) == brute_force(rich, ra, dec, limit, year=year)
    assert {(200 + n, int(row)) for n, row in enumerate(rows)} <= pairs(found)
    moved_one = rich.objects(rows[:1], year)[0]
    assert (moved_one.ra_deg, moved_one.dec_deg) == (pytest.approx(there[0][0]), pytest.approx(there[1][0]))


def test_large_objects_are_found_far_from_their_centres(rich: CatalogueIndex) -> None:
    ra, dec = places(11, 200)
    limit = np.full(ra.size, 5.0)
    found = rich.within_reach(ra, dec, limit)
    assert pairs(found) == brute_force(rich, ra, dec, limit, outline=True)
    assert found.separation_arcsec.max() > 600.0


def test_a_circle_stays_within_its_cell_and_the_neighbours_at_every_order() -> None:
    rng = np.random.default_rng(4)
    ra, dec = sky(rng, 1500)
    # Cells are narrowest around a declination of 41.81 degrees where base cells meet, RA = 0, 90, 180 and 270.
    narrow = rng.normal(0, 1, (2, 1500)) * 10 ** rng.uniform(-8, 0.5, 1500)
    ra = np.concatenate([ra, (90.0 * rng.integers(0, 4, 1500) + narrow[0]) % 360.0])
    dec = np.concatenate([dec, 41.8103149 + narrow[1]])
    angle = rng.uniform(0, 2 * np.pi, ra.size)
    for order in range(1, KEY_ORDER, 3):
        radius = CELL_WIDTH / 2**order * (1 - 1e-9)
        assert orders_for(np.array([radius]))[0] == order
        step = np.tan(radius) * 206_264_806.247
        edge = moved(ra, dec, step * np.cos(angle), step * np.sin(angle), 1.0)
        around = neighbourhoods(keys_of(ra, dec, order), order)
        assert (around == keys_of(*edge, order).astype(np.int64)[:, None]).any(axis=1).all()


def test_the_designation_truncates_a_position() -> None:
    assert designation(10.684708, 41.26875) == "J004244.3+411607"
    assert designation(359.99999, -0.5) == "J235959.9-003000"
