"""Ordinary images as another night or instrument would show them: they are still ordinary and must not be flagged."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from astrolens.science.cutouts import decode_cutout
from astrolens.science.preprocessing import preprocess
from astrolens.trainer.evaluation import Half, clopper_pearson, p_values_of
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from tests.bench.science.bundles import BundleUnderTest
from tests.bench.science.pictures import Cutouts

Pixels = NDArray[np.uint8]
_BUDGET: Final = 0.01


def _blur(radius: float) -> Callable[[Pixels], Pixels]:
    return lambda pixels: np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def _curve(change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Callable[[Pixels], Pixels]:
    """A change of values between 0 and 1."""
    return lambda pixels: _as_pixels(255.0 * change(pixels / 255.0))


def _noise(levels: float) -> Callable[[Pixels], Pixels]:
    def add(pixels: Pixels) -> Pixels:
        # The same noise in every run: the seed comes from the picture itself.
        rng = np.random.default_rng(int(pixels.sum()))
        return _as_pixels(pixels + rng.normal(0.0, levels, pixels.shape))

    return add


def _as_pixels(values: NDArray[np.float64]) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


SHIFTS: Final[Mapping[str, Callable[[Pixels], Pixels]]] = {
    "none": lambda pixels: pixels,
    "gamma 0.8": _curve(lambda values: values**0.8),
    "dimmed to 80 %": _curve(lambda values: 0.8 * values),
    "blur 1 px": _blur(1.0),
    "blur 2 px": _blur(2.0),
    # Stars in the SDSS cutouts have a full width of 4.7 (lower quartile) to 6.2 pixels (median): seeing 1.5 times worse
    # adds a blur of 2.2 to 3.0.
    "blur 2.2 px": _blur(2.2),
    "blur 3 px": _blur(3.0),
    "noise 4 levels": _noise(4.0),
    "noise 10 levels": _noise(10.0),
    "red and blue swapped": lambda pixels: np.ascontiguousarray(pixels[..., ::-1]),
    "one band": lambda pixels: np.repeat(pixels[..., 1:2], 3, axis=2),
}


def shift_figures(bundle: BundleUnderTest, cutouts: Cutouts) -> dict[str, Any]:
    """Share of ordinary test images of a survey that are flagged at 1 % after each change."""
    table = cutouts.table
    rows = np.flatnonzero(table.ordinary & (table.roles == Half.REPORT))
    pictures = [decode_cutout(cutouts.jpegs[row]) for row in rows]
    made = {}
    for name, change in SHIFTS.items():
        inputs = np.stack([preprocess(change(picture), bundle.bundle.preprocessing) for picture in pictures])
        flagged = int((p_values_of(bundle.scores(bundle.features(inputs), table.name)) <= _BUDGET).sum())
        made[name] = {"flagged": round(flagged / len(rows), 4), "interval": clopper_pearson(flagged, len(rows))}
    return made
