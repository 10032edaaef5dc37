import io

import numpy as np
import pytest
from astrolens.science.cutouts import ImageRejected, decode_cutout, make_cutout
from astrolens.science.detection import object_significance
from astropy.io import fits
from PIL import Image
from scipy.ndimage import gaussian_filter

from tests.made_images import encoded, fits_bytes, sky
from tests.shared_data import shared_data


def noise(side: int, *, seeing_px: float = 0.0, bands: int = 3, seed: int = 1) -> np.ndarray:
    """Normal noise, [bands, side, side], unit variance; `seeing_px` is the width at half maximum of its grains."""
    values = np.random.default_rng(seed).normal(size=(bands, side, side))
    if seeing_px:
        values = gaussian_filter(values, (0, seeing_px / 2.355, seeing_px / 2.355))
        values /= values.std()
    return values


def ramp(side: int) -> np.ndarray:
    """0 to 1 along the diagonal, [side, side]."""
    along = np.linspace(0, 0.5, side)
    return along[:, None] + along[None, :]


def picture(levels: np.ndarray) -> Image.Image:
    """An 8-bit picture of [3, side, side]."""
    return Image.fromarray(np.moveaxis(levels, 0, -1).clip(0, 255).astype(np.uint8))


def fits_of(values: np.ndarray) -> bytes:
    return fits_bytes(fits.PrimaryHDU(values.astype(np.float32)))


def code_of(data: bytes) -> str:
    """Of the rejection; empty where the file becomes a cutout."""
    try:
        make_cutout(data)
    except ImageRejected as rejected:
        return rejected.code
    return ""


@pytest.mark.parametrize("side", [48, 64, 88, 141, 256, 423])
@pytest.mark.parametrize("sigma", [1.5, 6, 20])
def test_noise_in_a_picture_is_no_object(side: int, sigma: float) -> None:
    for seeing_px in (0.0, 3.0):
        levels = 60 + sigma * noise(side, seeing_px=seeing_px)
        assert code_of(encoded(picture(levels), "PNG")) == "no-object"
        assert code_of(encoded(picture(levels), "JPEG", quality=85)) == "no-object"
        assert code_of(encoded(picture(levels + 50 * ramp(side)), "PNG")) == "no-object"


@pytest.mark.parametrize("side", [48, 64, 88, 128, 256, 600])
def test_noise_in_measured_values_is_no_object(side: int) -> None:
    for seeing_px in (0.0, 3.0):
        for bands in (1, 3):
            values = 200 + 5 * noise(side, seeing_px=seeing_px, bands=bands)
            assert code_of(fits_of(values)) == "no-object"
            assert code_of(fits_of(values + 100 * ramp(side))) == "no-object"


def test_noise_in_other_files_of_numbers_is_no_object() -> None:
    values = 200 + 5 * noise(128, bands=1)[0]
    assert code_of(encoded(Image.fromarray(values.astype(np.float32)), "TIFF")) == "no-object"
    assert code_of(encoded((values * 100).astype(np.uint16), "PNG")) == "no-object"


def test_a_faint_source_in_one_band_is_an_object() -> None:
    values = noise(80)
    y, x = np.mgrid[:80, :80]
    values[2] += 6 * np.exp(-((x - 30) ** 2 + (y - 50) ** 2) / 8)
    assert code_of(fits_of(values)) == ""


def test_a_source_darker_than_the_sky_is_an_object() -> None:
    values = 200 + noise(80, bands=1)
    y, x = np.mgrid[:80, :80]
    assert code_of(fits_of(values - 8 * np.exp(-((x - 30) ** 2 + (y - 50) ** 2) / 8))) == ""


def test_a_galaxy_that_fills_the_frame_is_an_object() -> None:
    y, x = np.mgrid[:88, :88] / 88 - 0.5
    galaxy = 120 * np.exp(-np.hypot(x, y) / 0.4)
    assert code_of(encoded(picture(20 + galaxy + 6 * noise(88)), "JPEG", quality=90)) == ""


@pytest.mark.parametrize("fill", [0.0, np.nan, -9999.0])
@pytest.mark.parametrize("level", [0.0, 200.0])
def test_measured_values_with_padding_are_judged_by_what_was_covered(fill: float, level: float) -> None:
    y, x = np.mgrid[:80, :80]
    source = 40 * np.exp(-((x - 60) ** 2 + (y - 50) ** 2) / 30)
    for scene, code in ((0, "no-object"), (source, "")):
        values = level + 5 * noise(80, bands=1)[0] + scene
        values[:, :30] = fill
        assert code_of(fits_of(values)) == code


@pytest.mark.parametrize("fill", [0, 255])
def test_a_picture_with_padding_is_judged_by_what_was_covered(fill: int) -> None:
    y, x = np.mgrid[:256, :256]
    source = 90 * np.exp(-((x - 190) ** 2 + (y - 150) ** 2) / 60)
    for scene, code in ((0, "no-object"), (source, "")):
        levels = 60 + 6 * noise(256) + scene
        levels[:, :, :90] = fill
        for kind in ("PNG", "JPEG"):
            assert code_of(encoded(picture(levels), kind)) == code


@pytest.mark.parametrize("value", [0, 60, 255])
def test_one_surface_is_no_coverage(value: int) -> None:
    flat = np.full((3, 64, 64), value)
    assert code_of(encoded(picture(flat), "PNG")) == "no-coverage"
    assert code_of(encoded(picture(flat), "JPEG")) == "no-coverage"
    assert code_of(fits_of(flat)) == "no-coverage"


def test_the_covered_sky_stays_dark_beside_padding() -> None:
    values = np.flipud(sky(80)).copy() + 100
    values[:, :30] = 0
    cutout = decode_cutout(make_cutout(fits_of(values)).jpeg)
    assert 5 < np.median(cutout[:, 50:]) < 90


@pytest.mark.parametrize("missing", [0, 1, 2])
@pytest.mark.parametrize("fill", [0.0, np.nan])
def test_a_band_without_coverage_gets_its_colour_from_the_others(missing: int, fill: float) -> None:
    bands = np.stack([sky(80), sky(80), sky(80)])
    bands[missing] = fill
    cutout = make_cutout(fits_of(bands))
    assert cutout.stretch.endswith(f"without coverage in {('blue', 'green', 'red')[missing]}")
    channels = decode_cutout(cutout.jpeg).mean(axis=(0, 1))
    assert np.ptp(channels) < 3, "the same scene in all bands stays grey"


def test_two_bands_without_coverage_leave_a_grey_picture() -> None:
    bands = np.stack([np.zeros((80, 80)), sky(80), np.full((80, 80), np.nan)])
    assert np.ptp(decode_cutout(make_cutout(fits_of(bands)).jpeg).mean(axis=(0, 1))) < 1


def test_zeros_of_a_map_of_photon_counts_are_measurements() -> None:
    counts = np.random.default_rng(1).poisson(0.02, (120, 120)).astype(np.int16)
    counts[60, 60], counts[60, 61], counts[61, 60] = 33, 20, 18
    assert code_of(fits_bytes(fits.PrimaryHDU(counts))) == ""


@pytest.mark.parametrize("blank", ["-32768.0", "-32768"])
def test_blank_may_be_written_as_a_real(blank: str) -> None:
    values = (sky(80) * 10).astype(np.int16)
    values[:6] = -32768
    written = fits_bytes(fits.PrimaryHDU(values, fits.Header({"BLANK": -32768})))
    at = written.index(b"BLANK   =") + 10
    cutout = make_cutout(written[:at] + blank.rjust(20).encode() + written[at + 20 :])
    assert decode_cutout(cutout.jpeg)[-5:].max() < 60


def test_noise_in_the_packs_is_refused_and_the_faintest_objects_pass() -> None:
    """The whole data were run once (14,701 pictures); these are the nearest to the threshold on both sides."""
    folder = shared_data() / "packs" / "euclid-q1-vis" / "images"
    if not folder.is_dir():
        pytest.skip("the packs are not in the shared data")
    names = ("2d20478ab102", "d29c2ae2d993", "8f250c2ef247", "788e6f7f6613", "2c312fed76fa")
    codes = [code_of((folder / f"{name}.png").read_bytes()) for name in names]
    # The first repeats its edges, of which little is left as measured: either reason is true.
    assert codes[0] in {"no-object", "no-coverage"}
    assert codes[1:] == ["no-object", "", "", ""]


def test_significance_does_not_depend_on_the_unit() -> None:
    values = (noise(96, bands=1)[0] + ramp(96)).astype(np.float32)
    first = object_significance(values, min_noise=0.01)
    assert object_significance(values * 1000 + 5000, min_noise=10) == pytest.approx(first, rel=1e-3)


def test_a_frame_with_hardly_any_covered_pixel_cannot_be_judged() -> None:
    covered = np.zeros((96, 96), bool)
    covered[:8, :8] = True
    assert object_significance(np.zeros((96, 96), np.float32), covered, min_noise=1) == np.inf


def test_long_pictures_are_judged() -> None:
    data = io.BytesIO()
    Image.fromarray((60 + 6 * noise(1200, bands=1)[0][:20]).astype(np.uint8)).save(data, "PNG")
    assert code_of(data.getvalue()) == "no-object"


# --- pictures on a clean sky, which is no padding -------------------------------------------------------------------


def drawn(kind: str, side: int, level: int) -> np.ndarray:
    """An object on one value of the sky, [side, side]."""
    y, x = np.mgrid[:side, :side]
    radius = np.hypot(x - 0.5 * side, y - 0.45 * side)
    shapes = {
        "galaxy": 200 * np.exp(-(radius**2) / (2 * (side / 12) ** 2)),
        "exponential": 200 * np.exp(-radius / (side / 15)),
        "edge-on": 200 * np.exp(-(((x - side / 2) / (side / 5)) ** 2 + ((y - 0.45 * side) / (side / 40)) ** 2) / 2),
        "saturated disc": 150.0 * (radius < side / 8),
        "star": 220 * np.exp(-(radius**2) / 3),
        "at the border": 200 * np.exp(-((x - 0.95 * side) ** 2 + (y - 0.4 * side) ** 2) / (2 * (side / 14) ** 2)),
    }
    return np.round(level + shapes[kind])


@pytest.mark.parametrize("level", [0, 1, 7, 30])
@pytest.mark.parametrize("side", [24, 32, 48, 64, 80, 100, 128, 256])
@pytest.mark.parametrize("kind", ["galaxy", "exponential", "edge-on", "saturated disc", "star", "at the border"])
def test_an_object_on_a_clean_sky_is_one(kind: str, side: int, level: int) -> None:
    levels = np.stack([drawn(kind, side, level)] * 3)
    assert code_of(encoded(picture(levels), "PNG")) == ""
    assert code_of(encoded(picture(levels), "JPEG", quality=90)) == ""


@pytest.mark.parametrize(("level", "sigma"), [(-6, 2), (-2, 1), (7, 0.35)])
def test_an_object_on_a_sky_of_two_or_three_levels_is_one(level: float, sigma: float) -> None:
    """The noise is clipped at black, or lost in the steps of 8 bits."""
    for side in (48, 64, 100, 128):
        for seed in range(4):
            shape = drawn(("galaxy", "exponential")[seed % 2], side, 0) * (0.4 + 0.2 * seed)
            levels = np.round(level + sigma * noise(side, seed=seed) + shape)
            assert code_of(encoded(picture(levels), "PNG")) == ""
            assert code_of(encoded(picture(levels), "JPEG", quality=90)) == ""


@pytest.mark.parametrize("fill", [0, 128, 255])
@pytest.mark.parametrize("side", [64, 96, 128])
def test_noise_with_padding_of_any_form_stays_refused(side: int, fill: int) -> None:
    y, x = np.mgrid[:side, :side]
    footprints = [x > 0.4 * side, (x > 0.5 * side) & (y > 0.4 * side), x + 0.3 * y > 0.4 * side, x > 0.06 * side]
    footprints.append(np.hypot(x - side / 2, y - side / 2) < 0.48 * side)
    for footprint in footprints:
        levels = np.where(footprint, 50 + 5 * noise(side), fill)
        # Bands of 40 % and more are refused as such.
        assert code_of(encoded(picture(levels), "PNG")) in {"no-object", "no-coverage"}
        assert code_of(encoded(picture(levels), "JPEG", quality=90)) in {"no-object", "no-coverage"}


# --- maps of photon counts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mean", [0.01, 0.03, 0.1, 0.3, 0.4, 0.5, 0.7, 1.5, 4, 9])
def test_noise_of_photons_is_no_object(mean: float) -> None:
    rng = np.random.default_rng(int(mean * 1000))
    for side in (64, 100, 300):
        for _ in range(3):
            counts = rng.poisson(mean, (side, side)).astype(np.int16)
            assert code_of(fits_bytes(fits.PrimaryHDU(counts))) == "no-object"
    bands = rng.poisson(mean, (3, 100, 100)).astype(np.int16)
    assert code_of(fits_bytes(fits.PrimaryHDU(bands))) == "no-object"


@pytest.mark.parametrize(("mean", "photons"), [(0.01, 20), (0.05, 30), (0.2, 60), (0.5, 100), (1.5, 160)])
def test_a_source_among_photons_is_an_object(mean: float, photons: int) -> None:
    y, x = np.mgrid[:100, :100]
    source = np.exp(-((x - 70) ** 2 + (y - 30) ** 2) / 8)
    counts = np.random.default_rng(5).poisson(mean + source / source.sum() * photons).astype(np.int16)
    assert code_of(fits_bytes(fits.PrimaryHDU(counts))) == ""
