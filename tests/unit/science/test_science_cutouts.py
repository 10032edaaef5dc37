import gzip
import io
import subprocess
import sys
import time

import numpy as np
import pytest
from astrolens.platform.stores.hash_index import distance
from astrolens.science.cutouts import Cutout, DecodeLimits, ImageRejected, decode_cutout, make_cutout
from astrolens.science.phash import perceptual_hash
from astropy.io import fits
from PIL import Image, ImageOps

from tests.made_images import (
    encoded,
    fits_bytes,
    fits_header,
    gzipped_fits_bomb,
    png_bomb,
    rgb,
    sky,
    tiff_header_bomb,
    tile_compressed,
    tile_compressed_bomb,
    unusable_files,
)


def refusal(data: bytes, limits: DecodeLimits | None = None) -> ImageRejected:
    with pytest.raises(ImageRejected) as caught:
        make_cutout(data, limits)
    assert caught.value.detail.endswith(".")
    return caught.value


def bright_corner(cutout: Cutout) -> tuple[str, str]:
    """Where the galaxy of `sky` is: vertical and horizontal half."""
    grey = decode_cutout(cutout.jpeg).mean(axis=2)
    height, width = grey.shape
    smooth = grey.reshape(height // 8, 8, width // 8, 8).mean(axis=(1, 3))
    row, column = np.unravel_index(smooth.argmax(), smooth.shape)
    return ("lower" if row >= smooth.shape[0] // 2 else "upper", "right" if column >= smooth.shape[1] // 2 else "left")


def test_a_jpeg_of_423_pixels_is_resized_to_256_in_rgb() -> None:
    original = rgb(423)
    cutout = make_cutout(encoded(original, "JPEG", quality=95))
    assert (cutout.width, cutout.height) == (256, 256)
    assert (cutout.original_width, cutout.original_height) == (423, 423)
    assert cutout.scale == pytest.approx(256 / 423)
    assert (cutout.media_type, cutout.stretch) == ("image/jpeg", "none")
    expected = np.asarray(Image.fromarray(original).resize((256, 256), Image.Resampling.BOX), dtype=float)
    assert np.abs(decode_cutout(cutout.jpeg) - expected).mean() < 3.0
    with Image.open(io.BytesIO(cutout.jpeg)) as written:
        assert {layer[1:3] for layer in written.layer} == {(1, 1)}, "chroma must not be subsampled"


def test_small_pictures_keep_their_pixels() -> None:
    cutout = make_cutout(encoded(rgb(88), "PNG"))
    assert (cutout.width, cutout.height, cutout.scale) == (88, 88, 1.0)
    assert np.abs(decode_cutout(cutout.jpeg).astype(int) - rgb(88)).mean() < 2.0


def test_the_longer_side_decides() -> None:
    cutout = make_cutout(encoded(rgb(600)[350:500], "PNG"))
    assert (cutout.width, cutout.height) == (256, 64)


def test_big_jpegs_are_drafted_and_report_their_own_size() -> None:
    cutout = make_cutout(encoded(rgb(1600), "JPEG"))
    assert (cutout.width, cutout.original_width, cutout.scale) == (256, 1600, pytest.approx(0.16))


@pytest.mark.parametrize(
    "picture",
    [
        Image.fromarray(rgb()).convert("L"),
        Image.fromarray(rgb()).convert("P"),
        Image.fromarray(rgb()).convert("LA"),
        Image.fromarray(rgb()).convert("RGBA"),
        Image.fromarray((sky() * 300).astype(np.uint16)),
    ],
    ids=lambda picture: picture.mode,
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_every_mode_becomes_rgb(picture: Image.Image, kind: str) -> None:
    cutout = make_cutout(encoded(picture, kind))
    pixels = decode_cutout(cutout.jpeg)
    assert pixels.shape == (120, 120, 3)
    assert bright_corner(cutout) == ("lower", "right")
    assert pixels.max() > 120


def test_transparent_pixels_become_black() -> None:
    picture = Image.fromarray(rgb()).convert("RGBA")
    hidden = np.array(picture)
    hidden[:30, :, :3] = 255
    hidden[:30, :, 3] = 0
    assert decode_cutout(make_cutout(encoded(hidden, "PNG")).jpeg)[:20].max() < 40


def test_16_bit_pictures_are_stretched_by_their_sky_not_by_their_extremes() -> None:
    values = (sky() * 100).astype(np.uint16)
    values[0, 0] = 65_535
    cutout = make_cutout(encoded(values, "PNG"))
    assert cutout.stretch.startswith("asinh")
    assert decode_cutout(cutout.jpeg)[70:100, 70:100].max() > 200


def test_a_float_tiff_gets_the_asinh_stretch() -> None:
    cutout = make_cutout(encoded(Image.fromarray(sky()), "TIFF"))
    assert cutout.stretch.startswith("asinh")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(rgb()[:, :96])
    expected = make_cutout(encoded(ImageOps.exif_transpose(_with_exif(picture, exif)), "PNG"))
    for kind in ("JPEG", "PNG", "TIFF"):
        options = {"tiffinfo": {0x0112: orientation}} if kind == "TIFF" else {"exif": exif}
        cutout = make_cutout(encoded(picture, kind, **options))
        assert (cutout.width, cutout.height) == (expected.width, expected.height), kind
        assert cutout.turned == (orientation >= 5)
        assert (cutout.original_width, cutout.original_height) == (96, 120)
        difference = np.abs(decode_cutout(cutout.jpeg).astype(int) - decode_cutout(expected.jpeg))
        assert difference.mean() < 4.0, kind


def _with_exif(picture: Image.Image, exif: Image.Exif) -> Image.Image:
    return Image.open(io.BytesIO(encoded(picture, "PNG", exif=exif)))


def test_only_the_first_frame_of_many_counts() -> None:
    pages = [Image.fromarray(rgb()), Image.new("RGB", (900, 900))]
    buffer = io.BytesIO()
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:])
    assert make_cutout(buffer.getvalue()).original_width == 120


def test_a_jpeg_with_trailing_garbage_is_accepted() -> None:
    assert make_cutout(encoded(rgb(), "JPEG") + b"garbage" * 100).width == 120


@pytest.mark.parametrize(
    "data",
    [
        fits_bytes(fits.PrimaryHDU(sky())),
        fits_bytes(fits.PrimaryHDU((sky() * 10).astype(np.int32))),
        fits_bytes(fits.PrimaryHDU((sky() * 100).astype(np.uint16))),
        fits_bytes(fits.PrimaryHDU(sky().astype(np.float64))),
        fits_bytes(fits.PrimaryHDU(), fits.ImageHDU(sky())),
        fits_bytes(fits.PrimaryHDU(sky()[None, None])),
        gzip.compress(fits_bytes(fits.PrimaryHDU(sky()))),
        tile_compressed(sky()),
    ],
    ids=["f4", "i4", "u2", "f8", "extension", "4-d", "gzip", "tiles"],
)
def test_fits_is_turned_upright_and_stretched(data: bytes) -> None:
    cutout = make_cutout(data)
    assert cutout.media_type == "image/fits"
    assert cutout.stretch.startswith("asinh")
    # Rows count from the bottom in FITS: what is in the last rows is on top.
    assert bright_corner(cutout) == ("upper", "right")
    sky_level = np.median(decode_cutout(cutout.jpeg))
    assert 5 < sky_level < 90


def test_negative_scale_is_honoured() -> None:
    hdu = fits.PrimaryHDU((-sky() * 100).astype(np.int32))
    data = fits_bytes(hdu).replace(b"EXTEND  =                    T", b"BSCALE  =                 -1.0")
    assert bright_corner(make_cutout(data)) == ("upper", "right")


def test_blank_and_nan_pixels_do_not_spoil_the_rest() -> None:
    values = sky()
    values[:40] = np.nan
    values[50, 50] = np.inf
    cutout = make_cutout(fits_bytes(fits.PrimaryHDU(values)))
    assert bright_corner(cutout) == ("upper", "right")
    blank = (sky() * 10).astype(np.int16)
    blank[:40] = -32768
    header = fits.Header({"BLANK": -32768})
    assert bright_corner(make_cutout(fits_bytes(fits.PrimaryHDU(blank, header)))) == ("upper", "right")


def test_a_hot_pixel_does_not_black_out_a_fits() -> None:
    values = sky()
    values[3, 3] = 1e9
    assert decode_cutout(make_cutout(fits_bytes(fits.PrimaryHDU(values))).jpeg).mean() > 15


def test_a_cube_of_three_bands_is_coloured_red_last() -> None:
    blue, red = sky(), sky()
    red[30:50, 30:50] += 60
    cutout = make_cutout(fits_bytes(fits.PrimaryHDU(np.stack([blue, (blue + red) / 2, red]))))
    patch = decode_cutout(cutout.jpeg)[75:85, 35:45].mean(axis=(0, 1))
    assert patch[0] > patch[1] > patch[2]


def test_headers_that_break_the_standard_are_read_where_the_image_is_clear() -> None:
    plain = fits_bytes(fits.PrimaryHDU(sky(), fits.Header({"OBSERVER": "A. N. Other", "NOTE": 1})))
    latin = plain.replace(b"A. N. Other", "A. N. Öther".encode("latin-1"))
    no_value = plain.replace(b"NOTE    =                    1", b"NOTE    = not a value  at all!")
    assert len({make_cutout(data).phash for data in (plain, latin, no_value)}) == 1


def test_a_header_without_end_is_refused_without_reading_all_of_it() -> None:
    card = b"HISTORY of no end".ljust(80)
    assert refusal(fits_header(SIMPLE=True)[:80] + card * 800_000).code == "unreadable"


def test_a_short_file_is_refused_where_astropy_would_only_warn() -> None:
    table = fits.BinTableHDU(np.zeros(4000, dtype=[("flux", "f8")]))
    for last in (fits.ImageHDU(sky()), fits.CompImageHDU(sky())):
        whole = fits_bytes(fits.PrimaryHDU(), table, last)
        assert refusal(whole[:-5760]).code == "truncated"


@pytest.mark.parametrize("keyword", ["NAXIS1", "BITPIX", "NAXIS"])
@pytest.mark.parametrize("value", ["", "1.5", "T", "-7", "'text'", "99999999999999999999"])
def test_impossible_structural_keywords_are_refused(keyword: str, value: str) -> None:
    data = fits_bytes(fits.PrimaryHDU(sky()))
    at = data.index(keyword.encode().ljust(8) + b"=") + 10
    assert refusal(data[:at] + value.rjust(20).encode() + data[at + 20 :]).code in {"unreadable", "bomb"}


def test_only_fits_files_cost_the_import_of_astropy() -> None:
    code = (
        "import sys\n"
        "from astrolens.science.cutouts import make_cutout\n"
        "make_cutout(sys.stdin.buffer.read())\n"
        "print('astropy' in sys.modules)\n"
    )
    for data, imported in ((encoded(rgb(), "JPEG"), "False"), (fits_bytes(fits.PrimaryHDU(sky())), "True")):
        done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
        assert done.stdout.decode().strip() == imported


def test_of_a_long_cube_one_plane_is_shown() -> None:
    cube = np.random.default_rng(5).normal(0, 1, (40, 96, 96)).astype(np.float32)
    cube[6] = sky(96)
    cutout = make_cutout(fits_bytes(fits.PrimaryHDU(cube)))
    assert (cutout.file.axis_3, cutout.file.planes) == ("unknown", ("plane 7",))
    assert bright_corner(cutout) == ("upper", "right")
    assert np.ptp(decode_cutout(cutout.jpeg).astype(int), axis=2).max() < 12, "one plane has no colour"


def test_a_big_fits_is_reduced_before_it_is_stretched() -> None:
    cutout = make_cutout(fits_bytes(fits.PrimaryHDU(sky(1500))))
    assert (cutout.width, cutout.original_width) == (256, 1500)


@pytest.mark.parametrize("name", sorted(unusable_files()))
def test_unusable_files_are_refused_with_their_code(name: str) -> None:
    data, code = unusable_files()[name]
    assert refusal(data).code == code


@pytest.mark.parametrize("make", [tile_compressed_bomb, png_bomb, tiff_header_bomb], ids=lambda make: make.__name__)
def test_bombs_are_refused_by_their_header(make: object) -> None:
    assert refusal(make()).code == "bomb"  # type: ignore[operator]


def test_a_gzip_is_inflated_no_further_than_its_cap() -> None:
    lying = gzipped_fits_bomb(40, claimed_side=100)
    assert refusal(lying, DecodeLimits(max_inflated_bytes=16 * 2**20)).code == "bomb"


def test_a_gzipped_bomb_is_refused_by_its_header_without_inflating_it() -> None:
    started = time.process_time()
    data = gzipped_fits_bomb(300)
    made = time.process_time()
    assert refusal(data).code == "bomb"
    assert time.process_time() - made < 0.2 * (made - started)


def test_a_large_picture_that_hardly_compresses_is_too_large_not_a_bomb() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    assert refusal(encoded(noise, "PNG"), DecodeLimits(max_pixels=50_000)).code == "too-large"


def test_too_many_bytes_are_refused_before_anything_else() -> None:
    assert refusal(bytes(2000), DecodeLimits(max_bytes=1000)).code == "too-large"


def test_limits_survive_a_round_trip_through_json() -> None:
    limits = DecodeLimits(max_pixels=123)
    assert DecodeLimits.from_json(limits.to_json()) == limits


def test_the_same_bytes_give_the_same_cutout() -> None:
    data = encoded(rgb(423), "JPEG")
    assert make_cutout(data) == make_cutout(data)


def test_hashes_are_near_for_alike_pictures_and_far_for_others() -> None:
    picture = Image.fromarray(rgb(256))
    alike = Image.open(io.BytesIO(encoded(picture.resize((200, 200)), "JPEG", quality=70)))
    other = Image.fromarray(rgb(256, seed=9)[::-1])
    first = perceptual_hash(picture)
    assert len(first) == 16
    assert distance(int(first, 16), int(perceptual_hash(alike), 16)) <= 4
    assert distance(int(first, 16), int(perceptual_hash(other), 16)) >= 16
    assert distance(int("0000000000000000", 16), int("ffffffffffffffff", 16)) == 64
