"""Geometry on the sphere against astropy, at the poles and across RA = 0 too."""

import astropy.units as u
import numpy as np
import pytest
from astrolens.science.sphere import moved, position_angle_deg, separation_arcsec
from astropy.coordinates import SkyCoord

PLACES = np.array(
    [(0.0, 0.0), (359.9999, 0.0001), (12.3, 89.9999), (192.3, 89.9999), (0.0, 90.0), (77.0, -90.0), (266.4, -29.0)]
)


def test_separations_and_directions_are_those_of_astropy() -> None:
    rng = np.random.default_rng(5)
    ra = np.concatenate([PLACES[:, 0], rng.uniform(0, 360, 200)])
    dec = np.concatenate([PLACES[:, 1], np.degrees(np.arcsin(rng.uniform(-1, 1, 200)))])
    one, two = SkyCoord(ra, dec, unit="deg"), SkyCoord(np.roll(ra, 1), np.roll(dec, 1), unit="deg")
    found = separation_arcsec(ra, dec, np.roll(ra, 1), np.roll(dec, 1))
    assert found == pytest.approx(one.separation(two).arcsec, abs=1e-6)
    angle = position_angle_deg(ra, dec, np.roll(ra, 1), np.roll(dec, 1))
    turned = np.abs((angle - one.position_angle(two).deg + 180.0) % 360.0 - 180.0)
    assert turned[found > 1.0].max() < 1e-6


@pytest.mark.parametrize("place", [tuple(place) for place in PLACES[2:]])
def test_a_star_moves_along_a_great_circle_at_the_pole_too(place: tuple[float, float]) -> None:
    ra, dec = place
    star = SkyCoord(ra * u.deg, dec * u.deg)
    direction, speed_arcsec_yr = np.arctan2(0.8, 10.328) * u.rad, np.hypot(0.8, 10.328)
    expected = star.directional_offset_by(direction, 50 * speed_arcsec_yr * u.arcsec)
    # The linear motion falls behind the arc by a third of the cube of its angle: 1.1 mas after 50 years.
    assert SkyCoord(*moved(ra, dec, 800.0, 10328.0, 50.0), unit="deg").separation(expected).arcsec < 1.2e-3


def test_a_star_without_a_known_motion_stays() -> None:
    assert moved(10.0, 20.0, np.nan, np.nan, 30.0) == (pytest.approx(10.0), pytest.approx(20.0))
