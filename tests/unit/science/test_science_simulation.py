import hashlib
import subprocess
import sys

import numpy as np
import pytest
from astrolens.science.cutouts import decode_cutout, make_cutout
from astrolens.science.simulation import INSTRUMENTS, MORPHOLOGIES, ODDITIES, SimulatedImage, simulate
from astrolens.science.simulation.profiles import edge_on, exponential, sersic, spiral_arms
from astrolens.science.simulation.scene import SCENE_SIDE, Scene, frame

SURVEYS = [instrument.survey for instrument in INSTRUMENTS]


def pixels(image: SimulatedImage) -> np.ndarray:
    return decode_cutout(image.jpeg).astype(float)


def core(image: SimulatedImage, half: int = 12) -> np.ndarray:
    """Mean colour of the middle."""
    return pixels(image)[128 - half : 128 + half, 128 - half : 128 + half].mean(axis=(0, 1))


def elongation(image: SimulatedImage) -> float:
    """Minor over major axis of the central object's light, by second moments."""
    grey = pixels(image).mean(axis=2)
    light = np.clip(grey[68:188, 68:188] - np.median(grey) - 25, 0, None)
    y, x = np.mgrid[-60:60, -60:60]
    light = light * (np.hypot(x, y) < 45)
    covariance = np.cov(np.stack([x.ravel(), y.ravel()]), aweights=light.ravel() + 1e-9)
    small, large = np.linalg.eigvalsh(covariance)
    return float(np.sqrt(small / large))


def test_an_image_is_a_pure_function_of_seed_and_index() -> None:
    again = simulate(7, 1234, oddity_rate=0.1)
    for index in (5, 1234, 6):
        image = simulate(7, index, oddity_rate=0.1)
        assert (image == again) == (index == 1234)
    assert simulate(8, 1234, oddity_rate=0.1).jpeg != again.jpeg


def test_another_process_makes_the_same_image() -> None:
    code = (
        "import hashlib; from astrolens.science.simulation import simulate;"
        "print(hashlib.sha256(simulate(7, 1234, oddity_rate=0.1).jpeg).hexdigest())"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert there == hashlib.sha256(simulate(7, 1234, oddity_rate=0.1).jpeg).hexdigest()


def test_public_metadata_do_not_depend_on_the_truth() -> None:
    image = simulate(1, 123, oddity_rate=1.0)
    assert image.name == "SIM-0000123"
    assert image.truth.oddity in ODDITIES
    metadata = (image.name, image.survey, image.bands, image.pixel_scale_arcsec, image.ra_deg, image.dec_deg)
    # The same index without its oddity has the same metadata.
    plain = simulate(1, 123, oddity_rate=0.0)
    assert plain.truth.oddity is None
    assert metadata == (plain.name, plain.survey, plain.bands, plain.pixel_scale_arcsec, plain.ra_deg, plain.dec_deg)


def test_oddities_come_at_their_rate_and_all_kinds_come() -> None:
    truths = [simulate(3, index, oddity_rate=0.25).truth for index in range(140)]
    odd = [truth.oddity for truth in truths if truth.oddity]
    assert 20 <= len(odd) <= 50
    assert len(set(odd)) >= 8
    assert {truth.morphology for truth in truths} == set(MORPHOLOGIES)


def test_positions_are_uniform_on_the_sphere() -> None:
    images = [simulate(3, index, oddity_rate=0.0) for index in range(100)]
    height = np.sin(np.radians([image.dec_deg for image in images]))
    assert abs(height.mean()) < 0.17
    assert 0.48 < height.std() < 0.68
    assert all(0 <= image.ra_deg < 360 for image in images)
    assert len({image.survey for image in images}) == 3


@pytest.mark.parametrize("survey", SURVEYS)
@pytest.mark.parametrize("morphology", MORPHOLOGIES)
def test_every_class_of_every_survey_passes_the_cutout_maker_unscaled(survey: str, morphology: str) -> None:
    image = simulate(2, 11, oddity_rate=0.0, survey=survey, morphology=morphology)
    cutout = make_cutout(image.jpeg)
    assert (cutout.width, cutout.height, cutout.scale) == (256, 256, 1.0)
    assert core(image).mean() > np.median(pixels(image)) + 15, "the object must stand out from its sky"


@pytest.mark.parametrize("oddity", sorted(ODDITIES))
def test_every_oddity_changes_the_picture(oddity: str) -> None:
    changed = 0.0
    for index in range(3):
        odd = simulate(5, index, oddity_rate=0.0, oddity=oddity)
        assert odd.truth.oddity == oddity
        plain = simulate(5, index, oddity_rate=0.0)
        changed = max(changed, float((np.abs(pixels(odd) - pixels(plain)).max(axis=2) > 50).mean()))
        make_cutout(odd.jpeg)
    assert changed > 0.0005


def test_old_stars_are_yellow_and_young_ones_blue() -> None:
    def red_minus_blue(morphology: str) -> float:
        images = [
            simulate(9, index, oddity_rate=0.0, survey="simulated-sdss", morphology=morphology) for index in range(12)
        ]
        return float(np.median([core(image, 5)[0] - core(image, 5)[2] for image in images]))

    assert red_minus_blue("smooth") > red_minus_blue("spiral") > red_minus_blue("irregular")
    assert red_minus_blue("smooth") > 15
    assert red_minus_blue("irregular") < 0


def test_edge_on_discs_are_thin() -> None:
    def typical(morphology: str) -> float:
        images = (simulate(9, n, oddity_rate=0.0, survey="simulated-lsst", morphology=morphology) for n in range(8))
        return float(np.median([elongation(image) for image in images]))

    assert typical("edge-on") < 0.5 < typical("smooth")


def test_large_and_small_objects_both_occur() -> None:
    radii = [
        image.truth.parameters["effective_radius_arcsec"] / image.pixel_scale_arcsec
        for image in (simulate(12, index, oddity_rate=0.0) for index in range(60))
    ]
    assert min(radii) < 7
    assert max(radii) > 22


def test_half_of_the_light_is_within_the_effective_radius() -> None:
    where = frame(0.0, 0.0, 1.0, 0.0)
    for index in (1.0, 2.5):
        plane = sersic(where, 12.0, index)
        assert plane[where.radius < 12.0].sum() / plane.sum() == pytest.approx(0.5, abs=0.03)


def test_a_disc_falls_by_e_in_a_scale_length() -> None:
    where = frame(0.5, 0.5, 1.0, 0.0, soften=0.0)
    row = exponential(where, 10.0)[SCENE_SIDE // 2]
    assert row[SCENE_SIDE // 2 + 10] / row[SCENE_SIDE // 2] == pytest.approx(np.exp(-1), rel=1e-3)


def test_an_edge_on_disc_follows_sech_squared() -> None:
    where = frame(0.5, 0.5, 1.0, 0.0, soften=0.0)
    column = edge_on(where, 20.0, 5.0)[:, SCENE_SIDE // 2]
    assert column[SCENE_SIDE // 2 + 5] / column[SCENE_SIDE // 2] == pytest.approx(1 / np.cosh(1.0) ** 2, rel=1e-3)


def test_arms_have_their_number_and_their_pitch() -> None:
    where = frame(0.0, 0.0, 1.0, 0.0)
    flat = np.zeros((SCENE_SIDE, SCENE_SIDE), dtype=np.float32)
    pitch = np.radians(20.0)
    arms = spiral_arms(where, arms=3, pitch=pitch, phase=0.3, inner=10.0, warp=flat, width=2.0)

    def around(radius: float) -> np.ndarray:
        theta = np.linspace(0, 2 * np.pi, 360, endpoint=False)
        middle = SCENE_SIDE / 2 - 0.5
        return arms[
            np.round(middle + radius * np.sin(theta)).astype(int), np.round(middle + radius * np.cos(theta)).astype(int)
        ]

    strength = np.abs(np.fft.rfft(around(60.0)))[1:8]
    assert strength.argmax() + 1 == 3
    inner, outer = (np.angle(np.fft.rfft(around(radius))[3]) for radius in (50.0, 65.0))
    turned = -(outer - inner) / 3
    assert np.angle(np.exp(3j * (turned - np.log(65 / 50) / np.tan(pitch)))) == pytest.approx(0.0, abs=0.12)


def test_points_keep_their_flux_and_their_place() -> None:
    scene = Scene(INSTRUMENTS[0], np.random.default_rng(1))
    scene.add_points(np.array([3.3]), np.array([-7.8]), np.array([10.0]), np.array([0.5, 1.0, 2.0], dtype=np.float32))
    assert scene.bands.sum(axis=(1, 2)) == pytest.approx([5.0, 10.0, 20.0])
    y, x = np.mgrid[:SCENE_SIDE, :SCENE_SIDE] - (SCENE_SIDE / 2 - 0.5)
    assert (scene.bands[1] * x).sum() / 10 == pytest.approx(3.3, abs=1e-3)
    assert (scene.bands[1] * y).sum() / 10 == pytest.approx(-7.8, abs=1e-3)


def test_unknown_names_are_errors() -> None:
    with pytest.raises(KeyError):
        simulate(1, 1, oddity_rate=0.0, oddity="unicorn")
    with pytest.raises(ValueError, match="simulated-moon"):
        simulate(1, 1, oddity_rate=0.0, survey="simulated-moon")
