"""Preprocessing is exact: trainer and model server must see the same numbers."""

import io

import numpy as np
import pytest
from astrolens.science.cutouts import decode_cutout, encode_jpeg
from astrolens.science.preprocessing import (
    PreprocessingSpec,
    preprocess,
    preprocess_many,
    preprocess_picture,
    preprocessing_digest,
)
from PIL import Image

SPEC = PreprocessingSpec()


def cutout(height: int, width: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_views_are_stacked_as_channels() -> None:
    picture = np.zeros((256, 256, 3), dtype=np.uint8)
    picture[..., 1] = 50
    picture[103:153, 103:153, 0] = 200
    made = preprocess(picture, SPEC)
    assert made.shape == (6, 64, 64)
    assert made.dtype == np.uint8
    assert (made[1] == 50).all()
    assert (made[4] == 50).all()
    # The red square takes a fifth of the frame and so half of the central view of fraction 0.4.
    assert abs((made[0] > 100).mean() - (50 / 256) ** 2) < 0.01
    assert abs((made[3] > 100).mean() - (50 / (0.4 * 256)) ** 2) < 0.02


def test_resizing_averages_instead_of_skipping() -> None:
    stripes = np.zeros((256, 256, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    full = preprocess(stripes, SPEC)[:3]
    assert np.abs(full[:, :, 2:-2].astype(int) - 127).max() <= 3


def test_a_picture_of_the_views_size_keeps_its_pixels() -> None:
    picture = cutout(64, 64)
    assert np.array_equal(preprocess(picture, SPEC)[:3].transpose(1, 2, 0), picture)


@pytest.mark.parametrize("size", [(256, 256), (88, 88), (200, 120), (16, 90)])
def test_a_batch_has_the_results_of_single_cutouts(size: tuple[int, int]) -> None:
    pictures = [cutout(*size, seed=seed) for seed in range(3)]
    batch = preprocess_many(pictures, SPEC)
    for row, picture in zip(batch, pictures, strict=True):
        assert np.array_equal(row, preprocess(picture, SPEC))


def test_an_oblong_cutout_is_padded_with_the_colour_of_its_border() -> None:
    picture = np.full((40, 80, 3), 90, dtype=np.uint8)
    picture[10:30, 20:60] = 220
    full = preprocess(picture, SPEC)[0]
    assert (full[:12] == 90).all()
    assert full[32, 32] == 220


def test_the_digest_names_the_spec() -> None:
    assert preprocessing_digest(SPEC) == preprocessing_digest(PreprocessingSpec())
    assert preprocessing_digest(SPEC) != preprocessing_digest(PreprocessingSpec(views=(1.0,)))


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_anything_but_an_rgb_picture_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="8-bit"):
        preprocess(wrong, SPEC)


def test_the_frame_view_is_the_whole_frame() -> None:
    y, x = np.mgrid[:230, :230]
    picture = np.stack([x, y, 255 - x], axis=2).astype(np.uint8)
    named = preprocess(picture, PreprocessingSpec(size=50, views=("frame",))).astype(int)
    exact = preprocess(picture, PreprocessingSpec(size=50, views=(1.0,))).astype(int)
    assert np.abs(named - exact).max() <= 3


@pytest.mark.parametrize("size", [(256, 256), (200, 120)])
def test_an_opened_jpeg_gives_what_its_pixels_give(size: tuple[int, int]) -> None:
    jpeg = encode_jpeg(cutout(*size))
    spec = PreprocessingSpec(size=112, views=("object", "frame"))
    with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
        assert np.array_equal(preprocess_picture(picture, spec), preprocess(decode_cutout(jpeg), spec))
