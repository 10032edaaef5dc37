import csv

import numpy as np
import pytest
from astrolens.science.content_checks import check_picture, looks_like_text
from astrolens.science.cutouts import ImageRejected, make_cutout
from astrolens.science.simulation import simulate
from PIL import Image, ImageDraw

from tests.made_images import encoded
from tests.shared_data import shared_data

ERROR_PAGE = "587729387686002878"
"""The recorded SkyServer error in Galaxy Zoo's sample."""


def message(side: int, *, ink: str = "white", paper: str = "black", lines: int = 4) -> Image.Image:
    picture = Image.new("RGB", (side, side), paper)
    draw = ImageDraw.Draw(picture)
    for line in range(lines):
        draw.text((12, 12 + 16 * line), "SELECT img FROM fGetNearbyFrameEq has failed", fill=ink)
    return picture


@pytest.mark.parametrize("side", [256, 423, 900])
@pytest.mark.parametrize(("ink", "paper"), [("white", "black"), ("black", "white"), ("yellow", "navy")])
def test_rendered_messages_are_refused(side: int, ink: str, paper: str) -> None:
    with pytest.raises(ImageRejected) as caught:
        make_cutout(encoded(message(side, ink=ink, paper=paper), "JPEG", quality=90))
    assert caught.value.code == "error-page"


def test_noise_alone_is_no_object() -> None:
    noise = np.random.default_rng(1).normal(6, 1.5, (256, 256, 3)).clip(0, 255).astype(np.uint8)
    with pytest.raises(ImageRejected) as caught:
        check_picture(Image.fromarray(noise))
    assert caught.value.code == "no-object"


def test_one_faint_galaxy_is_enough() -> None:
    noise = np.random.default_rng(1).normal(6, 1.5, (256, 256)).clip(0, 255)
    noise[120:130, 120:130] += 14
    check_picture(Image.fromarray(noise.astype(np.uint8)))


def _island(side: int, share: float) -> np.ndarray:
    picture = np.zeros((side, side))
    size, start = int(side * share**0.5), side // 3
    picture[start : start + size, start : start + size] = np.random.default_rng(side).normal(60, 8, (size, size))
    return picture.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize(("side", "share"), [(64, 0.24), (128, 0.1), (128, 0.24), (256, 0.03), (256, 0.1), (256, 0.2)])
def test_a_small_island_of_noise_in_a_constant_frame_is_refused(side: int, share: float, kind: str) -> None:
    with pytest.raises(ImageRejected) as caught:
        make_cutout(encoded(Image.fromarray(_island(side, share)), kind))
    # Most of the frame is padding. The blocks of a JPEG may hide that; then nothing stands out of the noise.
    assert caught.value.code in {"no-coverage", "no-object"}


@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_a_noisy_galaxy_of_level_light_that_was_cut_out_is_an_object(noise: float) -> None:
    y, x = np.mgrid[:128, :128]
    light = 60 / (1 + np.exp((np.hypot(x - 64, y - 64) - 25) / 2))
    texture = 12 * np.sin(x / 5) * np.cos(y / 4) * light / 60
    values = light + texture + np.random.default_rng(3).normal(0, noise, light.shape)
    make_cutout(encoded(Image.fromarray(np.where(light > 3, values, 0).clip(0, 255).astype(np.uint8)), "PNG"))


def test_sharp_stars_on_a_clean_sky_are_no_text() -> None:
    picture = np.zeros((256, 256), np.uint8)
    for x, y in np.random.default_rng(2).integers(5, 250, (60, 2)):
        picture[y - 1 : y + 2, x - 1 : x + 2] = 90
        picture[y, x] = 255
    assert not looks_like_text(Image.fromarray(picture))


def test_the_simulated_sky_passes() -> None:
    for index in range(40):
        make_cutout(simulate(4, index, oddity_rate=0.5).jpeg)


def test_of_all_real_pictures_the_error_page_alone_is_refused() -> None:
    """Every real cutout: 8,903 of them, so the sample is thinned where nothing odd is expected."""
    folder = shared_data()
    with (folder / "galaxies" / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    chosen = [row for number, row in enumerate(rows) if row["oddity"] == "dont-know" or number % 12 == 0]
    refused = {}
    for row in chosen:
        try:
            make_cutout((folder / row["file"]).read_bytes())
        except ImageRejected as rejected:
            refused[row["object_id"]] = rejected.code
    assert refused == {ERROR_PAGE: "error-page"}
