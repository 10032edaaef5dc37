"""Every format and bit depth shows the same sky; deep PNG and TIFF are read in full, or refused by sample type."""

import io

import numpy as np
import pytest
import tifffile
from astrolens.science.cutouts import ImageRejected, decode_cutout, make_cutout
from astropy.io import fits
from PIL import Image

from tests.made_deep_files import WRITERS, as_type, png16, tiff
from tests.made_images import encoded, rgb
from tests.made_scenes import assert_scene, fits_file, grey, scene, stored


def star_field(seed: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Values between 0 and 1 with a noisy sky, a faint and a bright star; row and column of the bright one."""
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(40, 160, 2))
    row, column = int(rng.integers(6, height - 6)), int(rng.integers(6, width - 6))
    y, x = np.mgrid[:height, :width]
    values = rng.normal(0.1, 0.004, (height, width))
    values += 0.8 * np.exp(-((x - column) ** 2 + (y - row) ** 2) / 4)
    other = (row + height // 2) % height, (column + width // 2) % width
    values += 0.03 * np.exp(-((x - other[1]) ** 2 + (y - other[0]) ** 2) / 4)
    return values.clip(0, 1), (row, column)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", sorted(WRITERS))
def test_the_pixel_that_should_be_brightest_is(kind: str, seed: int) -> None:
    values, (row, column) = star_field(seed + 1000 * sorted(WRITERS).index(kind))
    cutout = make_cutout(WRITERS[kind](values))
    picture = decode_cutout(cutout.jpeg).astype(float).mean(axis=2)
    assert picture.shape == values.shape
    assert picture[row, column] >= picture.max() - 6, f"{picture[row, column]} of {picture.max()}"
    assert np.median(picture) < 0.5 * picture.max()
    bright = np.argwhere(picture >= picture.max() - 6)
    assert np.abs(bright - (row, column)).max() <= 4


LEVELS = ((scene() - 150) * 20).clip(0, 60_000)


@pytest.mark.parametrize("kind", ["png", "tiff"])
@pytest.mark.parametrize("colours", [1, 3])
def test_16_bit_pictures_have_one_stretch_in_grey_and_colour(kind: str, colours: int) -> None:
    """A camera of 12 bits uses 2,000 of 65,536 levels: the high bytes alone would be 8 levels of black."""
    samples = np.repeat((LEVELS / 20)[..., None], colours, axis=2).round().astype(np.uint16)
    data = png16(samples) if kind == "png" else tiff(samples[..., 0] if colours == 1 else samples)
    cutout = make_cutout(data)
    assert_scene(cutout)
    assert cutout.stretch.startswith("asinh")
    assert cutout.quality.coverage.keys() == ({"grey"} if colours == 1 else {"red", "green", "blue"})
    assert cutout.quality.significance is not None


def test_both_bytes_of_a_48_bit_png_count() -> None:
    samples = np.random.default_rng(2).integers(0, 65_536, (20, 24, 3)).astype(np.uint16)
    from astrolens.science.decoding_png import read_deep_png

    for data, expected in ((png16(samples), samples), (png16(np.dstack([samples, samples[..., :1]])), samples)):
        planes = read_deep_png(data, Image.open(io.BytesIO(data)))
        assert np.array_equal(planes.values, np.moveaxis(expected, -1, 0))
    data = png16(samples[..., :2])
    planes = read_deep_png(data, Image.open(io.BytesIO(data)))
    assert np.array_equal(planes.values[0], samples[..., 0])


def test_transparent_pixels_of_a_deep_png_are_not_measured() -> None:
    alpha = np.full(LEVELS.shape, 65_535, np.uint16)
    alpha[:, :8] = 0
    samples = np.dstack([LEVELS.astype(np.uint16)] * 3 + [alpha])
    samples[:, :8, :3] = 65_535
    cutout = make_cutout(png16(samples))
    assert_scene(cutout)
    assert cutout.quality.masked_share == pytest.approx(0.1)


def test_an_rgb_tiff_of_16_bits_compressed_with_lzw_keeps_both_bytes() -> None:
    """tifffile alone reads no LZW, and Pillow alone keeps the high bytes."""
    from astrolens.science.decoding_tiff import _by_libtiff

    samples = np.random.default_rng(2).integers(0, 65_536, (32, 48, 3)).astype(np.uint16)
    # libtiff gives samples in the order of the machine, as this file has them.
    data = tiff(samples, photometric="rgb", byteorder="<")
    page = tifffile.TiffFile(io.BytesIO(data)).pages[0]
    assert np.array_equal(_by_libtiff(data, page, "16-bit", 0), samples)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "options", "named"),
    [
        (np.ones((40, 40), np.complex64), {}, "64-bit complex floats"),
        (as_type(rgb() / 255.0, "u2"), {"photometric": "cielab"}, "16-bit unsigned integers in CIELab"),
        (np.dstack([as_type(rgb() / 255.0, "u2")] * 2)[..., :4], {"photometric": "separated"}, "in CMYK"),
    ],
    ids=["complex", "lab", "cmyk"],
)
def test_what_is_not_read_is_refused_by_its_sample_type(values: np.ndarray, options: dict, named: str) -> None:
    with pytest.raises(ImageRejected) as caught:
        make_cutout(tiff(values, **options))
    assert caught.value.code == "unreadable"
    assert named in caught.value.detail
    assert "read are" in caught.value.detail


def test_samples_without_a_meaning_are_one_plane() -> None:
    values = np.dstack([LEVELS] * 5).astype(np.float32)
    cutout = make_cutout(tiff(values, photometric="minisblack", planarconfig="contig"))
    assert_scene(cutout)
    assert any("5 samples" in note for note in cutout.file.notes)


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_a_thumbnail_or_mask_in_front_is_not_the_picture_and_all_pages_are_listed(kind: str) -> None:
    values = as_type(scene().clip(0, 1000) / 1000, kind)
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(values[::2, ::2], subfiletype=1, metadata=None)
        writer.write(values > 100, subfiletype=4, photometric="mask", metadata=None)
        writer.write(values, metadata=None)
        writer.write(values[::-1], metadata=None)
    cutout = make_cutout(buffer.getvalue())
    picture = grey(cutout)
    assert picture.shape == scene().shape
    assert picture[48:53, 62:67].mean() > picture[4:34, 40:76].mean() + 15
    assert cutout.file.image == "page 3"
    assert cutout.file.images == (
        "page 1: 40 x 32 (thumbnail)",
        "page 2: 80 x 64 (mask)",
        "page 3: 80 x 64",
        "page 4: 80 x 64",
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_deep_tiff_is_turned_as_a_shallow_one(orientation: int) -> None:
    extra = [(0x0112, 3, 1, orientation, True)]
    deep = make_cutout(tiff(LEVELS.astype(np.uint16), extratags=extra))
    shallow = make_cutout(encoded(as_type((scene() / 700).clip(0, 1), "u1"), "TIFF", tiffinfo={0x0112: orientation}))
    assert (deep.width, deep.height, deep.turned) == (shallow.width, shallow.height, shallow.turned)
    assert (deep.original_width, deep.original_height) == (80, 64)
    assert np.corrcoef(grey(deep).ravel(), grey(shallow).ravel())[0, 1] > 0.6


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_a_deep_picture_of_noise_is_no_object(kind: str) -> None:
    noise = np.random.default_rng(1).normal(3000, 40, (200, 200)).astype(np.uint16)
    with pytest.raises(ImageRejected, match="no-object"):
        make_cutout(png16(noise[..., None]) if kind == "png" else tiff(noise))


def test_unsigned_64_bit_integers_of_fits_are_exact() -> None:
    """Stored as signed ones with BZERO = 2^63, near which a float64 has steps of 1,024."""
    cutout = make_cutout(fits_file(fits.PrimaryHDU(stored(np.round(scene())).astype(np.uint64))))
    assert_scene(cutout)
    assert cutout.quality.noise == pytest.approx(5.0, rel=0.2)


@pytest.mark.parametrize("cards", [{}, {"CTYPE1": "RGB"}])
def test_a_fits_file_of_rows_columns_and_colours_is_a_colour_picture(cards: dict[str, str]) -> None:
    values = np.stack([stored(scene()), stored(scene(seed=8)), stored(scene(seed=9))], axis=-1).astype(np.float32)
    values[30:34, 30:34, 0] += 500
    cutout = make_cutout(fits_file(fits.PrimaryHDU(np.ascontiguousarray(values)), **cards))
    assert_scene(cutout)
    assert cutout.file.planes == ("red", "green", "blue")
    red, green, blue = decode_cutout(cutout.jpeg)[64 - 33 : 64 - 31, 31:33].astype(int).mean(axis=(0, 1))
    assert red > green + 40
    assert red > blue + 40
    if not cards:
        assert "were assumed" in cutout.file.notes[0]


def test_a_narrow_cube_is_refused_by_its_picture() -> None:
    cube = fits.PrimaryHDU(np.zeros((20, 12, 18), np.float32))
    axes = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CTYPE3": "WAVE", "CRVAL1": 1.0, "CRVAL2": 1.0}
    with pytest.raises(ImageRejected) as caught:
        make_cutout(fits_file(cube, **axes))
    assert (caught.value.code, "18 x 12" in caught.value.detail) == ("too-small", True)
