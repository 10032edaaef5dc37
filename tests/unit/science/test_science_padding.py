"""Frames that were padded to their size, and skies without noise, which are none."""

import numpy as np
import pytest
from astrolens.science.cutouts import ImageRejected, make_cutout
from astrolens.science.padding import border_padding, border_share
from astropy.io import fits
from PIL import Image

from tests.made_images import encoded, fits_bytes

SIDE = 128


def galaxy(noise: float, *, sky: float = 8.0, radius: float = 12.0) -> np.ndarray:
    """A round galaxy in the middle of a frame [SIDE, SIDE]."""
    y, x = np.mgrid[:SIDE, :SIDE]
    light = 180.0 * np.exp(-np.hypot(x - SIDE / 2, y - SIDE / 2) / radius)
    return sky + light + np.random.default_rng(7).normal(0.0, noise, (SIDE, SIDE))


def padded(values: np.ndarray, kind: str, share: float, turns: int) -> np.ndarray:
    turned = np.rot90(values, turns).copy()
    count = int(share * SIDE)
    fill = {"black": 0.0, "white": 255.0, "sky": float(np.median(values)), "edge": turned[:, count : count + 1]}
    turned[:, :count] = fill.get(kind, np.nan)
    return np.rot90(turned, -turns)


def as_8_bit(values: np.ndarray) -> Image.Image:
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("kind", ["black", "white", "sky", "edge"])
@pytest.mark.parametrize("file", ["PNG", "JPEG"])
def test_a_half_padded_picture_has_no_coverage(file: str, kind: str, turns: int) -> None:
    picture = as_8_bit(padded(galaxy(3.0), kind, 0.5, turns))
    with pytest.raises(ImageRejected, match=r"no-coverage: (4\d|50|51) % of it is padding along its border"):
        make_cutout(encoded(picture, file))


@pytest.mark.parametrize("kind", ["nan", "edge", "black"])
def test_a_half_padded_file_of_measured_values_has_no_coverage(kind: str) -> None:
    values = padded(galaxy(3.0), kind, 0.5, 1).astype(np.float32)
    with pytest.raises(ImageRejected, match=r"no-coverage: (50|51) % of it is padding"):
        make_cutout(fits_bytes(fits.PrimaryHDU(values)))


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_a_narrower_band_is_counted_and_the_picture_is_taken(share: float) -> None:
    cutout = make_cutout(encoded(as_8_bit(padded(galaxy(3.0), "edge", share, 2)), "PNG"))
    assert cutout.quality.masked_share == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("file", ["PNG", "JPEG"])
def test_a_white_third_does_not_hide_a_faint_galaxy(file: str) -> None:
    values = 8.0 + 0.2 * (galaxy(0.0, sky=0.0)) + np.random.default_rng(3).normal(0.0, 1.5, (SIDE, SIDE))
    make_cutout(encoded(as_8_bit(padded(values, "white", 0.3, 0)), file))


@pytest.mark.parametrize("radius", [3.0, 12.0, 30.0])
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_a_galaxy_on_a_sky_without_noise_is_not_padded(noise: float, radius: float) -> None:
    picture = as_8_bit(galaxy(noise, sky=0.0, radius=radius) - 2.0)
    assert make_cutout(encoded(picture, "PNG")).quality.masked_share == 0.0
    assert make_cutout(encoded(picture, "JPEG")).quality.masked_share == 0.0


def turned_footprint(half_diagonal: float) -> np.ndarray:
    """A galaxy in a square that stands on its corner, NaN around it, as a FITS frame."""
    y, x = np.mgrid[:SIDE, :SIDE]
    inside = abs(x - SIDE / 2) + abs(y - SIDE / 2) < half_diagonal
    return np.where(inside, galaxy(3.0), np.nan).astype(np.float32)


def test_empty_corners_of_a_turned_footprint_are_no_bands_but_masked() -> None:
    wide, narrow = turned_footprint(0.65 * SIDE), turned_footprint(0.5 * SIDE)
    assert border_share(np.isfinite(narrow)) < 0.02
    assert 0.1 < make_cutout(fits_bytes(fits.PrimaryHDU(wide))).quality.masked_share < 0.4
    with pytest.raises(ImageRejected, match=r"no-coverage: (50|51) % of its pixels have no measured value"):
        make_cutout(fits_bytes(fits.PrimaryHDU(narrow)))


def test_every_other_row_without_values_is_no_coverage_and_every_fourth_is_counted() -> None:
    values = galaxy(3.0).astype(np.float32)
    values[::4] = np.nan
    assert make_cutout(fits_bytes(fits.PrimaryHDU(values.copy()))).quality.masked_share == pytest.approx(0.25)
    values[::2] = np.nan
    with pytest.raises(ImageRejected, match="no-coverage: 50 % of its pixels"):
        make_cutout(fits_bytes(fits.PrimaryHDU(values)))


@pytest.mark.parametrize("bands", [(38, 0, 38, 0), (0, 38, 0, 38), (24, 24, 24, 24), (25, 25, 38, 0)])
@pytest.mark.parametrize(("file", "fill"), [("PNG", 0.0), ("PNG", 255.0), ("PNG", 8.0), ("JPEG", 0.0), ("JPEG", 255.0)])
def test_bands_on_adjacent_sides_have_no_coverage(file: str, fill: float, bands: tuple[int, int, int, int]) -> None:
    top, bottom, left, right = bands
    values = np.full((SIDE, SIDE), fill)
    rows, columns = slice(top, SIDE - bottom), slice(left, SIDE - right)
    values[rows, columns] = galaxy(3.0, radius=8.0)[rows, columns]
    with pytest.raises(ImageRejected, match="no-coverage"):
        make_cutout(encoded(as_8_bit(values), file))


def test_bands_within_bands_are_peeled_one_after_the_other() -> None:
    values = np.pad(galaxy(3.0)[:64, :64], ((12, 12), (0, 0)), constant_values=255.0)
    values = np.pad(values, ((0, 0), (10, 14)), constant_values=0.0)
    padding = border_padding(values)
    assert padding is not None
    assert np.count_nonzero(~padding) == 64 * 64


def test_one_surface_and_noise_have_no_padding() -> None:
    assert border_padding(np.zeros((32, 32))) is None
    assert border_padding(np.random.default_rng(1).normal(size=(32, 32))) is None
    assert border_share(np.zeros((32, 32), dtype=np.bool_)) == 1.0
