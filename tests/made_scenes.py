"""A made scene for tests of decoders: a disc in the upper left, a star in the lower right, over a sky with noise."""

import io
import warnings

import numpy as np
from astrolens.science.cutouts import Cutout, decode_cutout
from astropy.io import fits

WIDTH, HEIGHT = 80, 64
DISC = (slice(13, 23), slice(16, 28))
STAR = (slice(48, 53), slice(62, 67))
SKY = (slice(4, 34), slice(40, 76))
"""Rows from the top, and columns, of the picture."""


def scene(*, seed: int = 7, sky: float = 200.0, noise: float = 5.0) -> np.ndarray:
    """[64, 80] float64, the first row on top."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    values = np.random.default_rng(seed).normal(sky, noise, (HEIGHT, WIDTH))
    values += 16 * noise * (np.hypot((x - 22) / 1.2, y - 18) < 8)
    values += 100 * noise * np.exp(-((x - 64) ** 2 + (y - 50) ** 2) / 4)
    return values


def stored(values: np.ndarray) -> np.ndarray:
    """The rows as FITS counts them: the first is the lowest."""
    return values[::-1]


def fits_file(*hdus: fits.hdu.base._BaseHDU, **cards: object) -> bytes:
    """HDUs as a file; `cards` replace or complete the header of the last one, as they are."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for keyword, value in cards.items():
            hdus[-1].header[keyword.replace("__", "-")] = value
        fits.HDUList(list(hdus)).writeto(buffer, output_verify="ignore")
    return buffer.getvalue()


def with_cards(data: bytes, **cards: str) -> bytes:
    """The same file with more cards in its first header, their values as written: astropy would mend them."""
    end = data.index(b"END" + b" " * 77)
    text = b"".join(f"{name:<8}= {value:>20}".ljust(80).encode() for name, value in cards.items()) + b"END" + b" " * 77
    block = -(-(end + len(text)) // 2880) * 2880
    old = -(-(end + 80) // 2880) * 2880
    return (data[:end] + text).ljust(block) + data[old:]


def grey(cutout: Cutout) -> np.ndarray:
    """The mean of its colours, [H, W]."""
    return decode_cutout(cutout.jpeg).astype(float).mean(axis=2)


def assert_scene(cutout: Cutout, *, by: float = 40.0) -> None:
    """The scene is upright and the sky is dark grey."""
    picture = grey(cutout)
    assert picture.shape == (HEIGHT, WIDTH)
    sky = np.median(picture[SKY])
    assert 5 <= sky <= 90
    assert picture[DISC].mean() - sky >= by
    assert picture[STAR].mean() - sky >= by
