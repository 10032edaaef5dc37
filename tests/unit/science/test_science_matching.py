"""What explains an image: types, brightness and chance are weighed, and the nearest object is always told."""

import numpy as np
import pytest
from astrolens.science.match_radius import CatalogObject, Target, match_ellipse_arcsec
from astrolens.science.matching import Surroundings, chance_probability, match, surroundings_of_answer
from astrolens.science.object_kinds import ObjectKind
from astrolens.science.sphere import separation_arcsec

PLACE = Target(ra_deg=150.0, dec_deg=2.0, error_arcsec=1.0)
QUIET = Surroundings(covered=1e-4, objects=20)


def at(north_arcsec: float, kind: ObjectKind = ObjectKind.GALAXY, **more: object) -> CatalogObject:
    name = str(more.pop("name", kind.value))
    return CatalogObject(name=name, ra_deg=150.0, dec_deg=2.0 + north_arcsec / 3600.0, kind=kind, **more)


def test_an_object_within_its_ellipse_explains_and_one_outside_is_only_the_nearest() -> None:
    galaxy = at(20, semi_major_arcsec=60, semi_minor_arcsec=30, position_angle_deg=0)
    result = match(PLACE, [galaxy], QUIET)
    assert result.status == "explained"
    assert (result.matches[0].relation, result.matches[0].explains) == ("centred", True)
    across = at(40, semi_major_arcsec=60, semi_minor_arcsec=30, position_angle_deg=90)
    result = match(PLACE, [across], QUIET)
    assert result.status == "nothing"
    assert result.nearest is not None
    assert (result.nearest.relation, result.nearest.separation_arcsec) == ("outside", pytest.approx(40.0))
    assert match(PLACE, [], QUIET).nearest is None


def test_a_foreground_star_explains_nothing_about_a_galaxy() -> None:
    image = Target(ra_deg=150.0, dec_deg=2.0, extended=True)
    star = at(3, ObjectKind.STAR, magnitude=18.0)
    result = match(image, [star], QUIET)
    assert (result.status, result.matches[0].relation) == ("nothing", "foreground")
    # Of an image that may be a point it is the explanation.
    assert match(PLACE, [star], QUIET).status == "explained"
    # Where it outshines what the image shows, it is what the image shows.
    bright = Target(ra_deg=150.0, dec_deg=2.0, extended=True, magnitude=19.0)
    assert match(bright, [star], QUIET).status == "explained"


def test_the_galaxy_around_wins_over_a_faint_star_that_is_nearer() -> None:
    star = at(2, ObjectKind.STAR, magnitude=20.0)
    galaxy = at(15, name="NGC", semi_major_arcsec=80, magnitude=12.0)
    result = match(PLACE, [star, galaxy], QUIET)
    assert [(each.found.name, each.relation) for each in result.matches] == [("NGC", "centred"), ("star", "foreground")]
    assert result.nearest is not None
    assert result.nearest.found.name == "star"


def test_of_two_galaxies_the_brighter_wins_unless_the_fainter_is_much_nearer() -> None:
    bright, faint = at(12, name="bright", semi_major_arcsec=40, magnitude=12.0), at(2, name="faint", magnitude=19.0)
    assert match(PLACE, [faint, bright], QUIET).matches[0].found.name == "bright"
    similar = at(0.1, name="similar", magnitude=13.0)
    assert match(PLACE, [bright, similar], QUIET).matches[0].found.name == "similar"


def test_what_matches_no_better_than_chance_leaves_the_question_open() -> None:
    crowded = Surroundings(covered=3.0, objects=500)
    result = match(PLACE, [at(3)], crowded)
    assert (result.status, result.matches[0].relation) == ("ambiguous", "by_chance")
    assert result.matches[0].chance_probability == pytest.approx(
        chance_probability(result.matches[0].normalised_separation, 3.0)
    )
    assert match(PLACE, [at(0)], crowded).status == "explained"
    assert match(PLACE, [at(3)], None).matches[0].chance_probability is None


def test_a_large_group_does_not_explain_a_member_and_an_error_is_no_object() -> None:
    group = at(200, ObjectKind.GALAXY_GROUP, semi_major_arcsec=600)
    pair = at(20, ObjectKind.GALAXY_GROUP, semi_major_arcsec=45)
    assert [each.relation for each in match(PLACE, [group], QUIET).matches] == ["member"]
    assert match(PLACE, [pair], QUIET).status == "explained"
    assert match(PLACE, [at(0, ObjectKind.ARTEFACT)], QUIET).matches[0].relation == "no_object"


def test_at_random_places_a_chance_below_p_happens_with_probability_p() -> None:
    rng = np.random.default_rng(3)
    side = 2.0
    objects = 4000
    ra, dec = 150.0 + rng.uniform(-side / 2, side / 2, objects), rng.uniform(-side / 2, side / 2, objects)
    sizes = rng.exponential(15.0, objects)
    catalogue = [
        CatalogObject(name=str(row), ra_deg=ra[row], dec_deg=dec[row], semi_major_arcsec=sizes[row])
        for row in range(objects)
    ]
    smallest = []
    for place_ra, place_dec in zip(150 + rng.uniform(-0.8, 0.8, 400), rng.uniform(-0.8, 0.8, 400), strict=True):
        target = Target(ra_deg=place_ra, dec_deg=place_dec, error_arcsec=2.0)
        near = np.flatnonzero(separation_arcsec(place_ra, place_dec, ra, dec) < 600.0)
        found = [catalogue[row] for row in near]
        area = sum(np.pi * a * b for a, b, _ in (match_ellipse_arcsec(target, each) for each in found))
        around = Surroundings(covered=float(area) / (np.pi * 600.0**2), objects=len(found))
        matched = [each for each in match(target, found, around).matches if each.normalised_separation <= 1.0]
        smallest.append(min((each.chance_probability or 0.0 for each in matched), default=1.0))
    # The ellipses cover 17 % of this sky: no chance is larger.
    for p in (0.03, 0.06, 0.12):
        # Three standard deviations of 400 draws.
        assert np.mean(np.array(smallest) <= p) == pytest.approx(p, abs=3 * np.sqrt(p * (1 - p) / 400))


def test_an_answer_estimates_its_surroundings_without_what_matches() -> None:
    alone = surroundings_of_answer(PLACE, [at(0)], radius_arcsec=60.0, mean_density_per_deg2=500.0)
    # One object in a circle of 60 arcsec and the area that one object has on average, 1/500 square degrees.
    circle = np.pi * 60.0**2 / 3600.0**2
    own = np.pi * match_ellipse_arcsec(PLACE, at(0))[0] ** 2 / 3600.0**2
    assert alone.covered == pytest.approx(own / (circle + 1 / 500))
    crowd = [at(0), *(at(distance) for distance in (20, 30, 40, 50))]
    around = surroundings_of_answer(PLACE, crowd, radius_arcsec=60.0, mean_density_per_deg2=500.0)
    assert around.covered == pytest.approx(5 * own / (circle + 1 / 500))
