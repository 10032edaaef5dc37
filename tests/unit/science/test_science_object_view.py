"""The object view follows the size of the central object, whatever the frame."""

import numpy as np
import pytest
from astrolens.science.object_view import object_view_fraction
from astrolens.science.preprocessing import PreprocessingSpec, preprocess, preprocessing_digest
from PIL import Image


def frame(radius: float, side: int = 200, *, sky: float = 10.0, noise: float = 2.0, centre: float = 0.5) -> Image.Image:
    """A disc of constant brightness, `radius` pixels, on a noisy sky."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:side, :side]
    disc = np.hypot(x - centre * side, y - centre * side) < radius
    values = np.clip(sky + 150.0 * disc + rng.normal(0.0, noise, (side, side)), 0, 255)
    return Image.fromarray(np.repeat(values[..., None], 3, axis=2).astype(np.uint8))


@pytest.mark.parametrize("radius", [20.0, 30.0, 45.0])
def test_the_view_is_a_fixed_number_of_radii_wide(radius: float) -> None:
    # The smoothing widens a hard edge by about one pixel of the reduced frame: 1/64 of the side.
    assert object_view_fraction(frame(radius)) == pytest.approx(3.8 * (radius / 200 + 1 / 64), rel=0.08)


def test_the_view_scales_with_the_frame() -> None:
    assert object_view_fraction(frame(30.0, 200)) == pytest.approx(object_view_fraction(frame(60.0, 400)), rel=0.05)


def test_the_view_has_bounds() -> None:
    assert object_view_fraction(frame(4.0)) == 0.25
    assert object_view_fraction(frame(90.0)) == 1.0


def test_a_frame_without_an_object_at_its_centre_gets_a_typical_view() -> None:
    assert object_view_fraction(frame(0.0)) == 0.6
    assert object_view_fraction(frame(15.0, centre=0.15)) == 0.6
    assert object_view_fraction(Image.new("RGB", (64, 64))) == 0.6


def test_the_object_view_is_the_square_of_that_side() -> None:
    picture = np.asarray(frame(30.0))
    share = object_view_fraction(frame(30.0))
    by_name = preprocess(picture, PreprocessingSpec(size=48, views=("object", 1.0)))
    by_number = preprocess(picture, PreprocessingSpec(size=48, views=(share, 1.0)))
    assert np.array_equal(by_name, by_number)


def test_the_digest_of_older_specs_is_the_same() -> None:
    # The digest of the first bundle's spec: analyses name it.
    assert preprocessing_digest(PreprocessingSpec()).startswith("1da0f4f130cecef8")
    assert preprocessing_digest(PreprocessingSpec(views=("object",))) != preprocessing_digest(PreprocessingSpec())
