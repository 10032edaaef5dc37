"""The match radius follows errors, outlines and distances."""

import math

import numpy as np
import pytest
from astrolens.science.match_radius import (
    ERROR_RADIUS_SIGMAS,
    MATCH_COMPLETENESS,
    CatalogObject,
    Target,
    ellipse_radius,
    error_radius_arcsec,
    match_ellipse_arcsec,
    outline_arcsec,
    scaled_radius_arcsec,
)
from astrolens.science.object_kinds import ObjectKind


def test_the_error_radius_holds_the_stated_share_of_true_counterparts() -> None:
    rng = np.random.default_rng(11)
    image, other = rng.normal(0, 1.2, (2, 100_000)), rng.normal(0, 0.7, (2, 100_000))
    inside = np.hypot(*(image - other)) <= error_radius_arcsec(1.2, 0.7)
    assert inside.mean() == pytest.approx(MATCH_COMPLETENESS, abs=0.001)


def test_an_ellipse_reaches_its_axes_in_their_directions_and_a_point_nowhere() -> None:
    assert ellipse_radius(10.0, 4.0, np.array([0.0, 90.0, 180.0])) == pytest.approx([10.0, 4.0, 10.0])
    assert ellipse_radius(0.0, 0.0, 30.0) == 0.0
    radius = float(ellipse_radius(10.0, 4.0, 30.0))
    x, y = radius * math.cos(math.radians(30)), radius * math.sin(math.radians(30))
    assert (x / 10) ** 2 + (y / 4) ** 2 == pytest.approx(1.0)


def test_thirty_kiloparsecs_shrink_with_distance_within_their_limits() -> None:
    radii = scaled_radius_arcsec(np.array([-0.001, 0.0, 0.001, 0.01, 0.05, 0.1, 3.0]))
    assert radii[:3] == pytest.approx([300.0, 300.0, 300.0])
    assert np.all(np.diff(radii[2:]) < 0)
    # Planck-like distances (H0 = 70, matter 0.3): 202 Mpc at z = 0.05, 380 Mpc at z = 0.1.
    assert radii[4:6] == pytest.approx([30.6, 16.3], rel=0.01)
    assert 4.0 < radii[6] < 6.0


def test_an_outline_of_unknown_direction_is_round_and_only_galaxies_scale_with_distance() -> None:
    common = {"name": "x", "ra_deg": 1.0, "dec_deg": 2.0}
    assert outline_arcsec(CatalogObject(**common, semi_major_arcsec=60, semi_minor_arcsec=20)) == (60, 60, 0)
    turned = CatalogObject(**common, semi_major_arcsec=60, semi_minor_arcsec=20, position_angle_deg=35)
    assert outline_arcsec(turned) == (60, 20, 35)
    assert outline_arcsec(CatalogObject(**common, kind=ObjectKind.ACTIVE_NUCLEUS, redshift=0.01)) == (0, 0, 0)
    assert outline_arcsec(CatalogObject(**common, kind=ObjectKind.GALAXY, redshift=0.01))[0] > 100


def test_errors_of_both_sides_and_the_centring_of_a_large_image_widen_the_ellipse() -> None:
    point = CatalogObject(name="x", ra_deg=1.0, dec_deg=2.0, error_arcsec=3.0)
    target = Target(ra_deg=1.0, dec_deg=2.0, error_arcsec=0.0, radius_arcsec=40.0)
    assert match_ellipse_arcsec(target, point)[0] == pytest.approx(ERROR_RADIUS_SIGMAS * 5.0)
