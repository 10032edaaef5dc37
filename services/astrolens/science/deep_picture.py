"""The one way from measured values to an 8-bit picture: FITS, and PNG and TIFF of more than 8 bits a sample."""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from astrolens.science.content_checks import check_measurements
from astrolens.science.facts import PixelFacts
from astrolens.science.measuring import MeasuredPlanes, StoredPlanes, measure
from astrolens.science.rejection import DecodeLimits, ImageRejected
from astrolens.science.stretch import asinh_rgb


@dataclass(frozen=True, slots=True)
class DeepPicture:
    """An 8-bit picture of measured values.

    Attributes:
        picture: RGB, at most four times the cutout's size.
        stretch: In words, with the planes that were shown.
        quality: How much was measured.
        shown: The plane that was chosen among candidates; None where all are shown.
    """

    picture: Image.Image
    stretch: str
    quality: PixelFacts
    shown: str | None = None


def deep_picture(planes: StoredPlanes, limits: DecodeLimits, *, must_show_object: bool = True) -> DeepPicture:
    """Stretch one plane to grey, or two or three (red first) to colour.

    What shows nothing is refused by the measured values: the stretch turns noise of any amplitude into a visible
    texture.

    Args:
        planes: What to show.
        limits: The size of the cutout.
        must_show_object: Whether to refuse what shows nothing; a survey's alert shows what the survey has found.

    Raises:
        ImageRejected: `no-coverage`, `no-object`.
    """
    measured = measure(planes, 2 * limits.cutout_side)
    significance = check_measurements(measured, must_show_object=must_show_object)
    bands = _on_display_scale(measured)
    if len(bands) == 2:
        red, blue = bands
        green = np.where(np.isfinite(red), np.where(np.isfinite(blue), (red + blue) / 2, red), blue)
        bands = np.stack([red, green, blue])
    rgb, stretch = asinh_rgb(bands)
    if any(sky is not None and sky.counts for sky in measured.skies):
        stretch += " (counts)"
    quality = replace(measured.facts, significance=round(significance, 3))
    return DeepPicture(Image.fromarray(rgb), stretch, quality)


def first_with_object(planes: StoredPlanes, limits: DecodeLimits) -> DeepPicture:
    """The first plane that shows an object, in grey.

    Raises:
        ImageRejected: That of the first plane with coverage, where none shows an object.
    """
    first: ImageRejected | None = None
    for number, name in enumerate(planes.names):
        one = replace(planes, values=planes.values[number : number + 1], names=(name,))
        try:
            return replace(deep_picture(one, limits), shown=name)
        except ImageRejected as rejected:
            if first is None or first.code == "no-coverage":
                first = rejected
    raise first or ImageRejected("empty", "It has no planes.")


def _on_display_scale(measured: MeasuredPlanes) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    scales = [1.0 if sky is None else sky.noise / sky.shown_noise for sky in measured.skies]
    if all(scale == 1.0 for scale in scales):
        return measured.bands
    return measured.bands * np.array(scales, dtype=np.float32)[:, None, None]
