"""The ring score of made galaxies."""

import numpy as np
import pytest
from astrolens.science.rings import median_profile, ring_score
from astrolens.science.segmentation import detect_object
from astrolens.science.simulation.scene import frame

from tests.unit.science.test_science_morphology import galaxy, picture


def ringed(axis_ratio: float, *, strength: float) -> np.ndarray:
    """A steep core in a faint disc, with a ring of a given brightness (grey levels) at 30 pixels."""
    where = frame(0.0, 0.0, axis_ratio, 0.6)
    ring = strength * np.exp(-0.5 * ((where.radius - 30.0) / 4.0) ** 2)
    return galaxy(1.0, axis_ratio=axis_ratio, radius=8.0) + ring


def score(light: np.ndarray) -> float:
    found = ring_score(detect_object(picture(light)))
    assert found is not None
    return found


@pytest.mark.parametrize("axis_ratio", [0.9, 0.5])
def test_a_ring_scores_higher_than_any_galaxy_without_one(axis_ratio: float) -> None:
    plain = max(
        score(galaxy(index, axis_ratio=axis_ratio, radius=radius)) for index in (1.0, 2.5, 4.0) for radius in (8, 14)
    )
    faint, bright = score(ringed(axis_ratio, strength=25.0)), score(ringed(axis_ratio, strength=60.0))
    assert plain < faint < bright


def test_a_thin_disc_is_no_ring_where_its_light_ends() -> None:
    assert score(galaxy(1.0, axis_ratio=0.12, radius=20.0)) < score(ringed(0.5, strength=25.0))


def test_the_profile_follows_the_ellipses_of_the_galaxy() -> None:
    radii, profile = median_profile(detect_object(picture(galaxy(1.0, axis_ratio=0.5))))
    assert radii.shape == profile.shape == (40,)
    assert np.all(np.diff(profile[:20]) < 1.0)
    assert profile[0] > 150
    assert profile[30] < 20


def test_a_galaxy_at_the_edge_has_a_score() -> None:
    assert np.isfinite(score(galaxy(1.0, x=55.0)))
