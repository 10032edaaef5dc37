"""The object view: the centred square of a frame that is scaled to its central object.

Surveys frame their objects differently: an SDSS galaxy fills a fifth of its frame, an EFIGI galaxy all of it. A square
scaled to the object shows both alike, whatever the pixel scale, so that the backbone learns shapes and not framing.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]

_SIDE: Final = 64
"""Side of the reduced frame that is measured, pixels."""
_CENTRE: Final = 4
"""Half the side of the square, in its pixels, in which the object must begin."""
_SIGMAS: Final = 4.0
"""Standard deviations of the sky that the object must exceed."""
_PEAK_SHARE: Final = 0.12
"""Share of the central brightness that belongs to the object: without it, the halo of a bright core has no end."""
_RADIUS_QUANTILE: Final = 0.97
"""Quantile of the distances of the object's pixels from the centre: one spur must not decide."""
_MARGIN: Final = 1.9
"""Half the side of the view in radii of the object."""
_MIN_FRACTION: Final = 0.25
"""Share of the frame. Narrower views would enlarge the seeing, not the object."""
_WITHOUT_OBJECT: Final = 0.6
"""Share of the frame where nothing stands out at its centre."""
_PLACES: Final = np.arange(_SIDE) - (_SIDE - 1) / 2.0
_DISTANCES: Final = np.hypot(_PLACES[:, None], _PLACES[None])
"""Of each pixel of the reduced frame from its centre."""


def object_view_fraction(frame: Image.Image) -> float:
    """Side of the object view as a share of the side of a square RGB frame, 0.25 to 1."""
    # Reduced before it is made grey: fewer pixels to convert.
    grey = np.asarray(
        frame.resize((_SIDE, _SIDE), Image.Resampling.BOX, reducing_gap=1.0).convert("L"), dtype=np.float32
    )
    radius = _object_radius(grey)
    if radius is None:
        return _WITHOUT_OBJECT
    return min(max(2.0 * _MARGIN * radius / _SIDE, _MIN_FRACTION), 1.0)


def _object_radius(grey: Floats) -> float | None:
    """Radius of the connected region of bright pixels that begins at the centre, pixels of the reduced frame."""
    from scipy import ndimage  # noqa: PLC0415 - half a second, and only the model server looks at pixels

    border = np.concatenate((grey[0], grey[-1], grey[:, 0], grey[:, -1]))
    sky = _sky_level(grey, border)
    noise = max(1.4826 * _median(np.abs(border - sky)), 1.0)
    middle = slice(_SIDE // 2 - _CENTRE, _SIDE // 2 + _CENTRE)
    core = _quantile(grey[middle, middle], 0.9) - sky
    bright = ndimage.uniform_filter(grey - sky, 3) > max(_SIGMAS * noise, _PEAK_SHARE * core)
    regions, _ = ndimage.label(bright)
    central = regions[middle, middle]
    central = central[central > 0]
    if central.size == 0:
        return None
    return _quantile(_DISTANCES[regions == np.bincount(central).argmax()], _RADIUS_QUANTILE) + 0.5


def _sky_level(grey: Floats, border: Floats) -> float:
    """The median of the border, unless the object reaches it: then halfway down to the frame's faintest fifth."""
    sky, faint = _median(border), _quantile(grey, 0.2)
    return 0.5 * (sky + faint) if sky - faint > 12.0 else sky


def _median(values: Floats) -> float:
    """The median of an even number of values: the same as NumPy's, in a third of the time."""
    middle = values.size // 2
    ordered = np.partition(values, (middle - 1, middle))
    return float((ordered[middle - 1] + ordered[middle]) / np.float32(2.0))


def _quantile(values: NDArray[np.floating], share: float) -> float:
    """The value that `share` of the values lie below, without interpolation: several times as fast as NumPy's."""
    flat = values.ravel()
    place = round(share * (flat.size - 1))
    return float(np.partition(flat, place)[place])
