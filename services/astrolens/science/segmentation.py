"""The object that a cutout is about, separated from the sky and from other objects."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Plane = NDArray[np.float64]
Mask = NDArray[np.bool_]

MAX_SIDE: Final = 256
"""A larger picture is reduced first: the cost grows with its pixels, and the object is resolved well enough."""
MIN_SIDE: Final = 16

_BORDER: Final = 0.06
"""Width of the frame along the edges that the sky is measured in, as a share of the shorter side."""
_DETECTION_SIGMA: Final = 1.5
_SMOOTHING_PX: Final = 1.5
_MIN_NOISE: Final = 0.5
"""In grey levels: JPEG of a dark sky may be constant, and rounding alone gives 0.3."""
_MIN_PIXELS: Final = 30
"""Of an object: fewer tell nothing about its shape."""
_NEAR_CENTRE: Final = 0.15
"""Standard deviation of the weight that picks an object where none is at the centre, as a share of the shorter side."""


class NoObject(Exception):
    """There is no object in the picture whose shape could be measured; the text says why."""


@dataclass(frozen=True, slots=True)
class DetectedObject:
    """The object that is measured.

    Attributes:
        light: [H, W] luminance less the sky, grey levels.
        segments: [H, W] labels of all objects, 0 for the sky.
        label: Of the one that is measured.
        noise: Standard deviation of the sky, grey levels.
        scale: Pixels here per pixel of the cutout, at most 1.
    """

    light: Plane
    segments: NDArray[np.int32]
    label: int
    noise: float
    scale: float

    @property
    def mask(self) -> Mask:
        """Its pixels."""
        found: Mask = self.segments == self.label
        return found


def detect_object(rgb: NDArray[np.uint8]) -> DetectedObject:
    """Find the object that a picture is about: the one at the centre, else the one that has most light near it.

    Args:
        rgb: [H, W, 3], a cutout as displayed.

    Raises:
        NoObject: The picture is too small, or nothing stands out from the sky.
    """
    height, width = rgb.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise NoObject(f"a picture of {width} x {height} pixels is too small")
    scale = min(1.0, MAX_SIDE / max(height, width))
    if scale < 1.0:
        height, width = max(MIN_SIDE, round(height * scale)), max(MIN_SIDE, round(width * scale))
        rgb = np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.BOX))
    # The plain mean of the bands: weights for the eye would favour one band of a survey.
    luminance = rgb.astype(np.float64).mean(axis=2)
    sky, noise = _sky_and_noise(luminance)
    light = luminance - sky
    smooth = ndimage.gaussian_filter(light, _SMOOTHING_PX)
    segments, count = ndimage.label(smooth > _DETECTION_SIGMA * noise)
    if count == 0:
        raise NoObject("no object stands out from the sky")
    label = int(segments[height // 2, width // 2]) or _brightest_near_centre(smooth, segments, count)
    pixels = int((segments == label).sum())
    if pixels < _MIN_PIXELS:
        raise NoObject(f"the object at the centre has {pixels} pixels, too few for a shape")
    return DetectedObject(light=light, segments=segments.astype(np.int32), label=label, noise=noise, scale=scale)


def _sky_and_noise(luminance: Plane) -> tuple[float, float]:
    """Median and robust standard deviation along the edges; an object that fills the frame raises both."""
    border = max(2, round(_BORDER * min(luminance.shape)))
    outside = np.ones(luminance.shape, dtype=bool)
    outside[border:-border, border:-border] = False
    values = luminance[outside]
    sky = float(np.median(values))
    return sky, max(1.4826 * float(np.median(np.abs(values - sky))), _MIN_NOISE)


def _brightest_near_centre(smooth: Plane, segments: NDArray[np.int32], count: int) -> int:
    height, width = smooth.shape
    rows, columns = np.ogrid[:height, :width]
    spread = _NEAR_CENTRE * min(height, width)
    nearness = np.exp(-((rows - height / 2) ** 2 + (columns - width / 2) ** 2) / (2 * spread**2))
    light = ndimage.sum_labels(np.maximum(smooth, 0.0) * nearness, segments, range(1, count + 1))
    return 1 + int(np.argmax(light))
