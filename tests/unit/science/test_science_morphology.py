"""Morphology of made galaxies whose profile is known."""

import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from astrolens.contracts.morphology import Morphology, MorphologyQuality
from astrolens.science import morphology
from astrolens.science.morphology import measure_morphology
from astrolens.science.segmentation import NoObject, detect_object
from astrolens.science.simulation.profiles import sersic
from astrolens.science.simulation.scene import frame

SKY, NOISE = 12.0, 2.0


def picture(light: np.ndarray, *, side: int = 128, seed: int = 1) -> np.ndarray:
    """[side, side, 3] uint8: the middle of a scene on a noisy sky, without a stretch."""
    margin = (light.shape[0] - side) // 2
    grey = light[margin : margin + side, margin : margin + side]
    noise = np.random.default_rng(seed).normal(SKY, NOISE, (side, side, 3))
    return np.clip(grey[..., None] + noise, 0, 255).astype(np.uint8)


def galaxy(
    index: float, *, axis_ratio: float = 0.8, x: float = 0.0, peak: float = 220.0, radius: float = 12.0
) -> np.ndarray:
    """Light of one galaxy; the softened centre keeps a steep one within 8 bits."""
    light = sersic(frame(x, 0.0, axis_ratio, 0.6, soften=1.5), radius, index).astype(np.float64)
    return light * peak / light.max()


@cache
def measured(kind: str) -> Morphology:
    """A picture of a kind, measured once for all tests."""
    made = {
        "disc": lambda: galaxy(1.0),
        "elliptical": lambda: galaxy(4.0),
        "flat": lambda: galaxy(1.0, axis_ratio=0.4),
        "pair": lambda: galaxy(1.0) + galaxy(1.0, x=16.0, peak=150.0, radius=6.0),
    }
    return measure_morphology(picture(made[kind]()))


def value(kind: str, name: str) -> float:
    found = getattr(measured(kind), name)
    assert isinstance(found, float)
    return found


def test_a_disc_and_an_elliptical_are_told_apart() -> None:
    assert measured("disc").method == measured("elliptical").method == "statmorph"
    assert value("disc", "sersic_index") == pytest.approx(1.0, abs=0.3)
    # Eight bits show neither the cusp nor the wings of n = 4.
    assert value("elliptical", "sersic_index") > value("disc", "sersic_index") + 0.6
    assert value("elliptical", "concentration") > value("disc", "concentration") + 0.3
    assert value("elliptical", "gini") > value("disc", "gini")
    assert value("elliptical", "m20") < value("disc", "m20")


def test_a_pair_is_more_asymmetric_than_a_single_galaxy() -> None:
    assert abs(value("disc", "asymmetry")) < 0.1
    assert value("pair", "asymmetry") > 0.2
    assert value("pair", "m20") > value("disc", "m20")


def test_shape_and_size_are_those_of_the_galaxy() -> None:
    assert value("flat", "ellipticity") == pytest.approx(0.6, abs=0.1)
    assert value("disc", "ellipticity") == pytest.approx(0.2, abs=0.1)
    assert value("disc", "half_light_radius_px") == pytest.approx(12.0, rel=0.2)
    assert value("disc", "sn_per_pixel") > 5.0


def test_a_large_picture_is_reduced_and_its_radius_stays_in_pixels_of_the_cutout() -> None:
    large = np.kron(picture(galaxy(1.0)), np.ones((3, 3, 1), dtype=np.uint8))
    found = detect_object(large)
    assert found.light.shape == (256, 256)
    assert found.scale == pytest.approx(256 / 384)
    simple = measure_morphology(large, without_statmorph="took too long")
    assert simple.half_light_radius_px == pytest.approx(3 * value("disc", "half_light_radius_px"), rel=0.15)


def test_without_statmorph_the_simple_properties_remain_and_say_so() -> None:
    simple = measure_morphology(picture(galaxy(4.0)), without_statmorph="statmorph took too long")
    assert (simple.method, simple.quality) == ("segmentation", MorphologyQuality.FALLBACK)
    assert simple.detail == "statmorph took too long"
    assert simple.asymmetry is simple.sersic_index is simple.m20 is None
    disc = measure_morphology(picture(galaxy(1.0)), without_statmorph="statmorph took too long")
    assert simple.concentration > disc.concentration + 0.3
    assert simple.ellipticity == pytest.approx(0.2, abs=0.1)


def test_where_statmorph_fails_the_simple_properties_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    import statmorph

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("Root not found within range.")

    monkeypatch.setattr(statmorph, "SourceMorphology", fail)
    found = measure_morphology(picture(galaxy(1.0)))
    assert (found.quality, found.detail) == (MorphologyQuality.FALLBACK, "statmorph could not measure this picture")


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.full((64, 64, 3), 20, dtype=np.uint8), "no object stands out"),
        (picture(np.zeros((288, 288))), "no object stands out|too few"),
        (np.full((8, 200, 3), 20, dtype=np.uint8), "200 x 8 pixels is too small"),
    ],
)
def test_a_picture_without_an_object_has_no_morphology_and_says_why(pixels: np.ndarray, reason: str) -> None:
    with pytest.raises(NoObject, match=reason):
        detect_object(pixels)
    found = measure_morphology(pixels)
    assert (found.method, found.quality, found.gini) == ("none", MorphologyQuality.FAILED, None)
    assert found.detail


def test_an_object_beside_the_centre_is_found() -> None:
    found = detect_object(picture(galaxy(1.0, x=25.0)))
    rows, columns = np.nonzero(found.mask)
    assert (rows.mean(), columns.mean()) == (pytest.approx(64, abs=2), pytest.approx(64 + 25, abs=2))


def test_importing_it_does_not_import_what_measures() -> None:
    names = "('statmorph', 'photutils', 'skimage')"
    code = f"import sys, {morphology.__name__}; print([name for name in {names} if name in sys.modules])"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == "[]"
