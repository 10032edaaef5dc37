"""Files of several pictures: one that cannot be shown is passed over, said why, and the next is taken."""

import gzip
import io

import numpy as np
import pytest
import tifffile
from astrolens.science.cutouts import ImageRejected, make_cutout
from astropy.io import fits

from tests.made_packets import message, rubin_record
from tests.made_scenes import assert_scene, fits_file, scene, stored

EMPTY = {
    "NaN": np.full((64, 80), np.nan, np.float32),
    "one value": np.full((64, 80), 7.0, np.float32),
    "too small": np.zeros((4, 4), np.float32),
}
PICTURE = stored(scene()).astype(np.float32)


@pytest.mark.parametrize("kind", EMPTY)
@pytest.mark.parametrize("gzipped", [False, True])
def test_the_first_picture_of_a_fits_file_that_can_be_shown_is_taken(kind: str, gzipped: bool) -> None:
    data = fits_file(
        fits.PrimaryHDU(EMPTY[kind]),
        fits.ImageHDU(np.ones_like(PICTURE), name="DQ"),
        fits.ImageHDU(EMPTY[kind], name="SCI", ver=1),
        fits.ImageHDU(PICTURE, name="SCI", ver=2),
        fits.ImageHDU(scene(), name="SCI", ver=3),
    )
    cutout = make_cutout(gzip.compress(data) if gzipped else data)
    assert_scene(cutout)
    why = "too small" if kind == "too small" else "it has no values"
    assert cutout.file.image == "SCI,2"
    size = "4 x 4" if kind == "too small" else "80 x 64"
    assert f"SCI,1: {size} ({why})" in cutout.file.images
    assert "SCI,3: 80 x 64" in cutout.file.images
    assert f"SCI,1 is passed over: {why}." in cutout.file.notes


def test_a_compressed_picture_of_nan_is_passed_over() -> None:
    compressed = {"compression_type": "GZIP_2", "quantize_level": 0}
    first = fits.CompImageHDU(EMPTY["NaN"], **compressed)
    cutout = make_cutout(fits_file(fits.PrimaryHDU(), first, fits.CompImageHDU(PICTURE, **compressed)))
    assert_scene(cutout)
    assert cutout.file.image == "HDU 2"


@pytest.mark.parametrize("kind", EMPTY)
def test_the_first_page_of_a_tiff_that_can_be_shown_is_taken(kind: str) -> None:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        for values in (EMPTY[kind], scene().astype(np.float32), EMPTY["NaN"]):
            file.write(values, metadata=None)
    cutout = make_cutout(buffer.getvalue())
    assert_scene(cutout)
    assert cutout.file.image == "page 2"
    assert len(cutout.file.images) == 3
    assert cutout.file.images[0].endswith("(too small)" if kind == "too small" else "(it has no values)")


def test_pages_of_a_tiff_may_have_different_depths() -> None:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        file.write(np.zeros((64, 80), np.uint8), metadata=None)
        file.write((scene() * 50).astype(np.uint16), metadata=None)
    cutout = make_cutout(buffer.getvalue())
    assert_scene(cutout)
    assert cutout.file.image == "page 2"


def test_where_no_picture_can_be_shown_the_file_is_refused_once() -> None:
    hdus = [fits.ImageHDU(EMPTY["NaN"], name="SCI", ver=number) for number in range(1, 30)]
    with pytest.raises(ImageRejected) as caught:
        make_cutout(fits_file(fits.PrimaryHDU(), *hdus))
    assert caught.value.code == "no-coverage"
    with pytest.raises(ImageRejected) as caught:
        make_cutout(fits_file(fits.PrimaryHDU(), fits.ImageHDU(EMPTY["too small"]), fits.ImageHDU(EMPTY["too small"])))
    assert (caught.value.code, "4 x 4" in caught.value.detail) == ("too-small", True)


@pytest.mark.parametrize(("schema", "words"), [(1000, "schema 1000, v10.0 of Rubin"), (123456, "(schema 123456)")])
def test_a_message_of_a_schema_registry_is_named(schema: int, words: str) -> None:
    with pytest.raises(ImageRejected) as caught:
        make_cutout(message(rubin_record(), schema))
    assert caught.value.code == "not-an-image"
    assert words in caught.value.detail
    assert "--schema" in caught.value.detail
