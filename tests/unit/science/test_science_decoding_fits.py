"""FITS as astronomers write them: which pixels count, what they mean, and what the planes are."""

import gzip
import io

import numpy as np
import pytest
from astrolens.science.cutouts import Cutout, ImageRejected, decode_cutout, make_cutout
from astropy.io import fits
from astropy.table import Table

from tests.made_scenes import (
    DISC,
    assert_scene,
    fits_file,
    grey,
    scene,
    stored,
    with_cards,
)


def cutout_of(values: np.ndarray, **cards: object) -> Cutout:
    return make_cutout(fits_file(fits.PrimaryHDU(stored(values)), **cards))


def colour(cutout: Cutout, box: tuple[slice, slice]) -> np.ndarray:
    return decode_cutout(cutout.jpeg)[box].astype(float).mean(axis=(0, 1))


# --- numbers keep their meaning ------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["-32768", "-32768.0", "'-32768'", "-3.2768E4"])
def test_blank_counts_however_it_is_written(value: str) -> None:
    values = np.round(scene()).astype(np.int16)
    values[58:] = -32768
    cutout = make_cutout(with_cards(fits_file(fits.PrimaryHDU(stored(values))), BLANK=value))
    assert_scene(cutout)
    assert cutout.quality.masked_share == pytest.approx(6 / 64)
    assert np.median(grey(cutout)[60:]) <= 60


def test_a_blank_that_is_no_whole_number_is_ignored_and_said() -> None:
    values = np.round(scene()).astype(np.int16)
    cutout = make_cutout(with_cards(fits_file(fits.PrimaryHDU(stored(values))), BLANK="1.5"))
    assert_scene(cutout)
    assert any("BLANK" in note for note in cutout.file.notes)


def test_a_pedestal_of_2_to_the_31_is_removed_before_anything_is_a_float32() -> None:
    plain = cutout_of(scene().astype(np.float32))
    cutout = make_cutout(fits_file(fits.PrimaryHDU(stored(np.round(scene())).astype(np.uint32))))
    assert_scene(cutout)
    assert np.abs(grey(cutout) - grey(plain)).mean() < 3
    assert len(np.unique(grey(cutout).round())) >= 40


@pytest.mark.parametrize("factor", [1e41, 1e-41, 1e200, -1e41])
def test_no_unit_is_too_large_or_too_small(factor: float) -> None:
    cards = {"BSCALE": -1.0} if factor < 0 else {}
    data = fits_file(fits.PrimaryHDU(stored(scene() * factor)))
    cutout = make_cutout(with_cards(data, **{name: str(value) for name, value in cards.items()}))
    assert_scene(cutout)


def test_scaled_integers_keep_their_sign_and_zero() -> None:
    values = np.round(-scene() * 10).astype(np.int32)
    data = fits_file(fits.PrimaryHDU(stored(values)))
    cutout = make_cutout(with_cards(data, BSCALE="-0.1", BZERO="5.0"))
    assert_scene(cutout)
    assert cutout.quality.sky_level == pytest.approx(205, abs=5)


@pytest.mark.parametrize("outside", [0.0, np.nan, -999.0, 1e30])
def test_what_fills_the_outside_of_the_footprint_is_no_sky(outside: float) -> None:
    values = scene()
    values[:, 50:] = outside
    cutout = cutout_of(values.astype(np.float32))
    picture = grey(cutout)
    sky = np.median(picture[44:62, 2:32])
    assert 5 <= sky <= 90
    assert picture[DISC].mean() - sky >= 40
    assert cutout.quality.masked_share == pytest.approx(30 / 80, abs=0.03)


@pytest.mark.parametrize("mark", [1e30, -1e30, 3e38, -9999.0, -32768.0])
def test_repeated_sentinels_are_no_measurements(mark: float) -> None:
    values = scene()
    places = np.random.default_rng(3).integers(0, values.size, 60)
    values.ravel()[places] = mark
    cutout = cutout_of(values.astype(np.float32))
    assert_scene(cutout)
    assert cutout.quality.masked_share == pytest.approx(len(set(places)) / values.size, abs=1e-4)


def test_a_saturated_star_is_no_sentinel() -> None:
    values = np.minimum(scene() + 1e5 * (scene() > 500), 65_535)
    assert np.count_nonzero(values == 65_535) > 5
    assert cutout_of(values.astype(np.float32)).quality.masked_share == 0.0


def test_few_photons_have_poisson_noise() -> None:
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:200, :200]
    source = 300 * np.exp(-((x - 30) ** 2 + (y - 30) ** 2) / 3) / (np.pi * 3)
    counts = rng.poisson(0.02 + source).astype(np.int16)
    cutout = cutout_of(counts)
    picture = grey(cutout)
    assert picture[29:32, 29:32].mean() >= 180
    far = picture[80:, 80:]
    assert far[counts[80:, 80:] == 1].mean() < 0.6 * picture.max()
    assert cutout.quality.noise == pytest.approx(0.02**0.5, rel=0.1)
    assert "counts" in cutout.stretch


@pytest.mark.parametrize("shape", [(16, 2400), (2400, 20)])
def test_a_narrow_strip_keeps_enough_rows(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(1).normal(100, 3, shape)
    values[6:12, 6:12] += 400
    cutout = cutout_of(values.astype(np.float32))
    assert max(cutout.width, cutout.height) == 256


# --- noise alone ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [64, 256, 512, 1100])
@pytest.mark.parametrize("seed", range(3))
def test_pure_noise_is_no_object_and_says_how_significant_it_is(side: int, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(1000, 30, (side, side)).astype(np.float32)
    with pytest.raises(ImageRejected) as caught:
        cutout_of(noise)
    assert caught.value.code == "no-object"
    assert "significance" in caught.value.detail


@pytest.mark.parametrize("mean", [0.002, 0.02, 0.3, 3.0])
def test_photons_without_a_source_are_no_object(mean: float) -> None:
    for seed in range(10):
        with pytest.raises(ImageRejected, match=r"no-object|no-coverage"):
            cutout_of(np.random.default_rng(seed).poisson(mean, (200, 200)).astype(np.int16))


# --- planes ---------------------------------------------------------------------------------------------------------


def blob(plane: int) -> np.ndarray:
    """Three planes of sky with a bright disc in one of them."""
    cube = np.random.default_rng(5).normal(100, 4, (3, 64, 80))
    y, x = np.mgrid[:64, :80]
    cube[:, (np.hypot(x - 40, y - 31) < 6)] += 40
    cube[plane, np.hypot(x - 40, y - 31) < 6] += 400
    return cube.astype(np.float32)


CENTRE = (slice(29, 34), slice(38, 43))


@pytest.mark.parametrize(
    ("cards", "red_plane", "axis_3"),
    [
        ({"CTYPE3": "RGB"}, 0, "bands"),
        ({"BANDS": "grz"}, 2, "bands"),
        ({"BANDS": "z,r,g"}, 0, "bands"),
        ({"BANDS": "RGB"}, 0, "bands"),
        ({"BAND0": "i", "BAND1": "u", "BAND2": "g"}, 0, "bands"),
        ({"FILTER1": "F435W", "FILTER2": "F814W", "FILTER3": "F606W"}, 1, "bands"),
        ({}, 2, "assumed-bands"),
        ({"CTYPE3": "LINEAR"}, 2, "assumed-bands"),
    ],
    ids=str,
)
def test_the_header_says_which_plane_is_red(cards: dict[str, str], red_plane: int, axis_3: str) -> None:
    cutout = make_cutout(fits_file(fits.PrimaryHDU(blob(red_plane)[:, ::-1]), **cards))
    red, green, blue = colour(cutout, CENTRE)
    assert red - max(green, blue) >= 40
    assert cutout.file.axis_3 == axis_3
    assert bool(cutout.file.notes) == (axis_3 == "assumed-bands"), "an assumed order is recorded"


@pytest.mark.parametrize(
    ("cards", "axis_3", "shown"),
    [
        ({"CTYPE3": "STOKES", "CRVAL3": 1.0, "CRPIX3": 1.0, "CDELT3": 1.0}, "stokes", "I"),
        ({"CTYPE3": "FREQ", "CRVAL3": 1.4e9, "CRPIX3": 1.0, "CDELT3": 1e6}, "spectral", "plane 1"),
        ({"CTYPE3": "VRAD"}, "spectral", "plane 1"),
        ({"CTYPE3": "TIME"}, "time", "plane 1"),
        ({"CTYPE3": "GROUP"}, "groups", "plane 1"),
        ({"CTYPE3": "PARALLAX"}, "unknown", "plane 1"),
    ],
    ids=str,
)
def test_no_colour_is_made_of_what_is_none(cards: dict[str, object], axis_3: str, shown: str) -> None:
    cube = np.random.default_rng(5).normal(0, 5, (4, 64, 80))
    cube[0] = scene()
    cutout = make_cutout(fits_file(fits.PrimaryHDU(cube[:, ::-1].astype(np.float32)), **cards))
    assert_scene(cutout)
    assert np.ptp(colour(cutout, DISC)) <= 12
    assert (cutout.file.axis_3, cutout.file.planes) == (axis_3, (shown,))
    assert any("no colour" in note or "polarisation" in note for note in cutout.file.notes)


def test_stokes_i_is_found_where_it_is_not_the_first() -> None:
    cube = np.random.default_rng(5).normal(0, 5, (4, 64, 80))
    cube[3] = scene()
    cards = {"CTYPE3": "STOKES", "CRVAL3": 4.0, "CRPIX3": 1.0, "CDELT3": -1.0}
    cutout = make_cutout(fits_file(fits.PrimaryHDU(cube[:, ::-1].astype(np.float32)), **cards))
    assert_scene(cutout)
    assert cutout.file.planes == ("I",)


def test_of_a_series_the_first_plane_with_an_object_is_shown() -> None:
    cube = np.random.default_rng(5).normal(200, 5, (5, 64, 80))
    cube[2] = scene()
    cutout = make_cutout(fits_file(fits.PrimaryHDU(cube[:, ::-1].astype(np.float32)), CTYPE3="FREQ"))
    assert_scene(cutout)
    assert cutout.file.planes == ("plane 3",)


def test_frequency_and_polarisation_together_are_one_plane() -> None:
    cube = np.random.default_rng(5).normal(0, 5, (2, 3, 64, 80))
    cube[0, 1] = scene()
    cards = {"CTYPE3": "FREQ", "CTYPE4": "STOKES", "CRVAL4": 1.0, "CRPIX4": 1.0, "CDELT4": 1.0}
    assert_scene(make_cutout(fits_file(fits.PrimaryHDU(cube[..., ::-1, :].astype(np.float32)), **cards)))


def test_a_band_without_coverage_does_not_reject_the_rest() -> None:
    cube = np.stack([scene(seed=1), scene(seed=2), np.zeros((64, 80))]).astype(np.float32)
    cutout = make_cutout(fits_file(fits.PrimaryHDU(cube[:, ::-1]), BANDS="grz"))
    assert_scene(cutout)
    assert cutout.quality.coverage == {"z": 0.0, "r": 1.0, "g": 1.0}
    assert cutout.quality.masked_share == 0.0
    with pytest.raises(ImageRejected, match="no-coverage"):
        make_cutout(fits_file(fits.PrimaryHDU(cube * 0), BANDS="grz"))


def test_a_cube_of_two_bands_has_green_between_them() -> None:
    cube = blob(1)[:2]
    cutout = make_cutout(fits_file(fits.PrimaryHDU(cube[:, ::-1]), BANDS="gr"))
    red, green, blue = colour(cutout, CENTRE)
    assert red > green > blue


# --- rows, extensions, archives ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("order", "upright"), [("TOP-DOWN", True), ("BOTTOM-UP", False), ("SIDEWAYS", False)])
def test_roworder_is_honoured(order: str, upright: bool) -> None:
    values = scene() if upright else stored(scene())
    cutout = make_cutout(fits_file(fits.PrimaryHDU(values), ROWORDER=order))
    assert_scene(cutout)
    assert any("ROWORDER" in note for note in cutout.file.notes) == (order == "SIDEWAYS")


def extension(values: np.ndarray, name: str | None, version: int = 1) -> fits.ImageHDU:
    return fits.ImageHDU(stored(values), name=name, ver=version)


def test_the_science_extension_is_the_picture_and_all_are_listed() -> None:
    mask = np.zeros((64, 80), np.int16)
    mask[30:34] = 1
    data = fits_file(
        fits.PrimaryHDU(),
        extension(mask, "DQ"),
        extension(scene() * 0 + 1, "WHT"),
        extension(scene().astype(np.float32), "SCI"),
        extension(stored(scene()).astype(np.float32), "SCI", 2),
    )
    cutout = make_cutout(data)
    assert_scene(cutout)
    assert cutout.file.image == "SCI,1"
    assert cutout.file.images == (
        "DQ,1: 80 x 64 (mask)",
        "WHT,1: 80 x 64 (weights)",
        "SCI,1: 80 x 64",
        "SCI,2: 80 x 64",
    )


def test_a_thumbnail_in_front_is_not_taken() -> None:
    small = scene()[::2, ::2].astype(np.float32)
    cutout = make_cutout(fits_file(fits.PrimaryHDU(), extension(small, "THUMBNAIL"), extension(scene(), None)))
    assert_scene(cutout)


def test_masks_alone_are_no_picture() -> None:
    with pytest.raises(ImageRejected, match=r"empty: .*no picture, only DQ,1 \(mask\)"):
        make_cutout(fits_file(fits.PrimaryHDU(), extension(scene(), "DQ")))


def test_tables_are_named() -> None:
    table = fits.BinTableHDU(Table({"x": [1.0]}), name="EVENTS")
    with pytest.raises(ImageRejected, match=r"empty: .*a table \(EVENTS"):
        make_cutout(fits_file(fits.PrimaryHDU(), table))


def test_damage_behind_the_picture_does_not_spoil_it() -> None:
    whole = fits_file(fits.PrimaryHDU(stored(scene())), extension(scene(), "DQ"))
    cut = whole[: len(whole) - len(whole) % 2880 - 31_000]
    assert_scene(make_cutout(cut))


def test_what_the_primary_header_says_holds_for_its_extensions() -> None:
    primary = fits.PrimaryHDU()
    primary.header["FILTER"] = "r"
    primary.header["DATE-OBS"] = "2019-06-10T10:13:03.5"
    cutout = make_cutout(fits_file(primary, extension(scene(), "SCI")))
    assert cutout.file.bands == ("r",)
    assert cutout.file.observed_at == "2019-06-10T10:13:03.500000+00:00"


def test_gzip_of_several_members_is_read_to_its_end() -> None:
    whole = fits_file(fits.PrimaryHDU(stored(scene())))
    parts = [gzip.compress(whole[at : at + 5000]) for at in range(0, len(whole), 5000)]
    assert_scene(make_cutout(b"".join(parts)))
    assert_scene(make_cutout(b"".join(parts) + bytes(512)))
    with pytest.raises(ImageRejected, match="truncated"):
        make_cutout(b"".join(parts)[:-40])


def test_the_picture_is_the_same_from_a_compressed_file() -> None:
    buffer = io.BytesIO()
    hdu = fits.CompImageHDU(stored(np.round(scene())).astype(np.int16), compression_type="RICE_1")
    hdu.header["FILTER"] = "i"
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(buffer)
    cutout = make_cutout(buffer.getvalue())
    assert_scene(cutout)
    assert cutout.file.bands == ("i",)


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ({"DATE-OBS": "2019-06-10T10:13:03.5"}, "2019-06-10T10:13:03.500000+00:00"),
        ({"DATE-OBS": "2019-06-10T10:13:40", "TIMESYS": "TAI"}, "2019-06-10T10:13:03+00:00"),
        ({"DATE-OBS": "2019-06-10", "TIME-OBS": "10:13:03"}, "2019-06-10T10:13:03+00:00"),
        ({"DATE-OBS": "2019-06-10", "UTC": 36783.5}, "2019-06-10T10:13:03.500000+00:00"),
        ({"DATE-OBS": "2019-06-10", "UTC": 10.2}, "2019-06-10T00:00:00+00:00"),
        ({"DATE-OBS": "10/06/98", "UT": "01:02:03"}, "1998-06-10T01:02:03+00:00"),
        ({"MJD-OBS": 58644.42}, "2019-06-10T10:04:48+00:00"),
        ({"DATE-OBS": "2019-06-10", "MJD-OBS": 58644.42}, "2019-06-10T10:04:48+00:00"),
        ({"JD": 2458644.92}, "2019-06-10T10:04:48+00:00"),
        ({"DATE-OBS": "yesterday"}, None),
        ({"MJD-OBS": 0.0}, None),
        ({"DATE-OBS": "2019-06-10T10:13:03", "TIMESYS": "LOCAL"}, None),
    ],
    ids=str,
)
def test_the_epoch_has_its_time_scale(cards: dict[str, object], expected: str | None) -> None:
    cutout = make_cutout(fits_file(fits.PrimaryHDU(stored(scene())), **cards))
    found = cutout.file.observed_at
    if expected is None:
        assert found is None
    else:
        assert found is not None
        difference = np.datetime64(found[:-6]) - np.datetime64(expected[:-6])
        assert abs(difference) < np.timedelta64(2, "ms")


@pytest.mark.parametrize(
    ("cards", "bands"),
    [
        ({"FILTER": "r DECam SDSS c0002 6415.0 1480.0"}, ("r",)),
        ({"FILTER": "r.MP9601"}, ("r",)),
        ({"FILTER": "SDSS-g"}, ("g",)),
        ({"FILTER1": "CLEAR1L", "FILTER2": "F814W"}, ("F814W",)),
        ({"FILTER": "CLEAR"}, ()),
        ({"FILTER": "[O III] narrow"}, ("[O III] narrow",)),
        ({}, ()),
    ],
    ids=str,
)
def test_filters_have_the_names_of_their_bands(cards: dict[str, object], bands: tuple[str, ...]) -> None:
    assert make_cutout(fits_file(fits.PrimaryHDU(stored(scene())), **cards)).file.bands == bands


def test_the_mosaic_of_a_colour_camera_is_grey_and_says_so() -> None:
    cutout = make_cutout(fits_file(fits.PrimaryHDU(stored(scene())), BAYERPAT="RGGB"))
    assert any("RGGB" in note for note in cutout.file.notes)
